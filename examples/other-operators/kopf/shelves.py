"""The operator of shelves with kopf: a ledger (a ConfigMap) for each shelf, and in the status how many books there are.

With BUG=1 it makes a mistake that every unit test passes: a new shelf, it believes, has no ledger yet. Whoever dies after
the ledger and before the status finds one when it comes back. With BUG=leak it forgets to say whose the ledger is: it stays
when the shelf goes.
"""

import os

import kopf
import kubernetes

kubernetes.config.load_kube_config()
ledgers = kubernetes.client.CoreV1Api()
IS_BUGGY = os.environ.get("BUG") == "1"
IS_LEAKY = os.environ.get("BUG") == "leak"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.persistence.finalizer = "toys.example.com/shelf"
    settings.posting.enabled = False
    # A server that is away for a moment is asked again soon.
    settings.networking.error_backoffs = [0.5, 1, 2, 4]


@kopf.on.create("toys.example.com", "v1", "shelves", backoff=1)
@kopf.on.update("toys.example.com", "v1", "shelves", field="spec.books", backoff=1)
@kopf.on.resume("toys.example.com", "v1", "shelves", backoff=1)
def keep(spec, name, namespace, meta, status, patch, **_):
    ledger = f"{name}-ledger"
    write(namespace, ledger, {"books": str(spec["books"])}, is_new="ledger" not in status)
    patch.status["ledger"] = ledger
    patch.status["books"] = spec["books"]
    patch.status["observedGeneration"] = meta["generation"]


def write(namespace, ledger, data, is_new):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ledger}, "data": data}
    if not IS_LEAKY:
        kopf.adopt(body)
    try:
        if is_new or not IS_BUGGY:
            ledgers.create_namespaced_config_map(namespace, body)
            return
    except kubernetes.client.ApiException as refusal:
        if refusal.status != 409 or IS_BUGGY:
            raise
    ledgers.patch_namespaced_config_map(ledger, namespace, {"data": data})


if __name__ == "__main__":
    watched = os.environ.get("WATCH_NAMESPACE")
    kopf.run(standalone=True, clusterwide=not watched, namespaces=[watched] if watched else [])
