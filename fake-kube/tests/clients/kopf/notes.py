"""An operator as people write them with kopf and the official Python client: a page per note, a first try that fails, an
update of one field, a farewell behind a finalizer, log lines as events, and peering with other operators."""

import kopf
import kubernetes

kubernetes.config.load_kube_config()
pages = kubernetes.client.CoreV1Api()


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.peering.name = "notes"
    settings.peering.mandatory = True
    settings.persistence.finalizer = "toys.example.com/kopf"
    settings.posting.loggers = True


@kopf.on.create("toys.example.com", "v1", "notes")
def create(spec, name, namespace, retry, logger, **_):
    if retry == 0:
        raise kopf.TemporaryError("not at the first try", delay=0.1)
    page = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": spec["text"]}}
    kopf.adopt(page)
    pages.create_namespaced_config_map(namespace, page)
    logger.info("page written")
    return {"page": name}


@kopf.on.update("toys.example.com", "v1", "notes", field="spec.text")
def update(old, new, name, namespace, logger, **_):
    pages.patch_namespaced_config_map(name, namespace, [{"op": "replace", "path": "/data/text", "value": new}])
    logger.info("page changed from %s to %s", old, new)


@kopf.on.delete("toys.example.com", "v1", "notes")
def delete(name, logger, **_):
    logger.info("%s goes", name)
