//! Faults of pods that stand, on a simulated cluster that others run: struck at its control endpoint, in the case's namespace
//! alone, and lifted when their time is over, when the scenario says so, and at the end of the case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fake_kube::PodSelector;
use http::Method;
use serde_json::{Value, json};

use super::control_endpoint::ask;
use crate::world::ScenarioClock;

/// Clones are the same.
#[derive(Clone)]
pub struct PodFaults {
    endpoint: Arc<str>,
    namespace: Arc<str>,
    clock: ScenarioClock,
    /// Those that stand.
    ids: Arc<Mutex<Vec<String>>>,
}

impl PodFaults {
    pub fn new(endpoint: &str, namespace: &str, clock: ScenarioClock) -> PodFaults {
        PodFaults { endpoint: endpoint.into(), namespace: namespace.into(), clock, ids: Arc::default() }
    }

    fn ids(&self) -> MutexGuard<'_, Vec<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// The endpoint is gone, or knows no such fault.
    pub async fn strike(
        &self,
        selector: &PodSelector,
        deed: &str,
        lasting: Option<Duration>,
    ) -> anyhow::Result<()> {
        let select = json!({"namespace": *self.namespace, "name": selector.name, "labels": selector.labels});
        let fault = json!({"select": select, "do": deed});
        let added = ask(&self.endpoint, Method::POST, "/v1/pods", Some(fault)).await?;
        let Some(id) = added["id"].as_str().map(str::to_owned) else { return Ok(()) };
        self.ids().push(id.clone());
        if let Some(span) = lasting {
            let faults = self.clone();
            tokio::spawn(async move {
                faults.clock.sleep(span).await;
                faults.lift(&id).await;
            });
        }
        Ok(())
    }

    /// Ends all of them.
    pub async fn lift_all(&self) {
        let ids = self.ids().clone();
        for id in ids {
            self.lift(&id).await;
        }
    }

    async fn lift(&self, id: &str) {
        let stood = {
            let mut ids = self.ids();
            let before = ids.len();
            ids.retain(|one| one != id);
            ids.len() < before
        };
        if stood {
            // A server that is gone took its faults along.
            let _: Option<Value> =
                ask(&self.endpoint, Method::DELETE, &format!("/v1/pods/{id}"), None).await.ok();
        }
    }
}
