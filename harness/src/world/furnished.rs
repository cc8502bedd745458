//! What stands in a cluster before anybody deploys: the CRDs, the operator's namespace, the accounts. It is installed
//! once per process and epoch; every other world starts with a copy.

use std::sync::{Arc, Mutex, PoisonError};

use fake_kube_apiserver::{ApiServer, Image, ManualClock, Options, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::boot::NAMESPACE;

/// Scenarios of a library have one epoch, or few: the last image is the one asked for next.
static LAST: Mutex<Option<(Timestamp, Arc<Image>)>> = Mutex::new(None);

/// A server with everything in place since `epoch`.
pub fn server(epoch: Timestamp, options: Options) -> anyhow::Result<ApiServer> {
    Ok(ApiServer::from_image(&*image(epoch)?, options))
}

fn image(epoch: Timestamp) -> anyhow::Result<Arc<Image>> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, image)) = &*last
        && *of == epoch
    {
        return Ok(image.clone());
    }
    let api = ApiServer::new(Options::new(Arc::new(ManualClock::new(epoch))));
    furnish(&api)?;
    let image = Arc::new(api.image());
    *last = Some((epoch, image.clone()));
    Ok(image)
}

fn furnish(api: &ApiServer) -> anyhow::Result<()> {
    let client = api.client("scenario");
    let create = |resource: &Resource, namespace: &str, object: Value| {
        let made = client.create(resource, namespace, object);
        made.map_err(|refusal| anyhow::anyhow!("prepare the cluster: {}", refusal.message))
    };
    let definitions = Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    for crd in drey_api::crd::crds() {
        create(&definitions, "", crd)?;
    }
    let named =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    create(&Resource::core("namespaces"), "", named("Namespace", "flink-operator"))?;
    create(&Resource::core("serviceaccounts"), NAMESPACE, named("ServiceAccount", "flink"))?;
    Ok(())
}
