//! Writes to the custom resource itself: status and finalizer, always in the version decided on.

use drey_api::{FlinkDeployment, FlinkDeploymentStatus};
use serde_json::{Value, json};

use super::{ActError, Actor, RACES_MAX};
use crate::api::ApiError;

impl Actor<'_> {
    /// One PUT with the version decided on. A conflict means somebody else wrote: the answer is a new decision,
    /// never a second PUT over it.
    pub(crate) async fn persist(&mut self, status: &FlinkDeploymentStatus) -> Result<(), ActError> {
        if self.stored.as_ref() == Some(status) {
            return Ok(());
        }
        let text = |status: &FlinkDeploymentStatus| {
            serde_json::to_value(status).map_err(|e| ApiError::Nonsense {
                call: "write the status".to_owned(),
                detail: e.to_string(),
            })
        };
        let wanted = text(status)?;
        // Different values can be the same text: an empty list and none.
        if self.stored.as_ref().map(text).transpose()?.is_some_and(|stored| stored == wanted) {
            return Ok(());
        }
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": FlinkDeployment::KIND,
            "metadata": {
                "name": self.key.name,
                "namespace": self.key.namespace,
                "uid": self.resource.uid(),
                "resourceVersion": self.version,
            },
            "status": wanted,
        });
        match self.api.replace_status(&self.resources(), &self.key.name, &body).await {
            Ok(written) => {
                self.adopt(&written);
                self.stored = Some(status.clone());
                Ok(())
            }
            Err(e) if e.is_conflict() || e.is_not_found() => {
                self.look_again().await?;
                Err(ActError::Outdated(format!("the resource changed meanwhile ({e})")))
            }
            // The reply was lost, the write perhaps not: the server knows.
            Err(e @ ApiError::Unanswered { .. }) => {
                let live = self.look_again().await?;
                let is_ours = live.as_ref().is_some_and(|l| same_status(&l["status"], &wanted));
                match live {
                    Some(live) if is_ours => {
                        self.adopt(&live);
                        self.stored = Some(status.clone());
                        Ok(())
                    }
                    Some(_) | None => Err(e.into()),
                }
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Reads the resource past the watch, so that the next pass has the newest picture.
    async fn look_again(&self) -> Result<Option<Value>, ApiError> {
        match self.api.get(&self.resources(), &self.key.name).await {
            Ok(live) if live["metadata"]["uid"] == self.resource.uid() => {
                self.world.assume(&live);
                Ok(Some(live))
            }
            Ok(live) => {
                self.world.bury_resource(self.key, self.resource.uid());
                self.world.assume(&live);
                Ok(None)
            }
            Err(e) if e.is_not_found() => {
                self.world.bury_resource(self.key, self.resource.uid());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    pub(super) async fn finalizer(&mut self, wanted: bool) -> Result<(), ActError> {
        let ours = drey_api::constants::FLINK_DEPLOYMENT_FINALIZER;
        let mut finalizers = self.resource.metadata.finalizers.clone().unwrap_or_default();
        for _ in 0..RACES_MAX {
            if finalizers.iter().any(|f| f == ours) == wanted {
                return Ok(());
            }
            finalizers.retain(|f| f != ours);
            if wanted {
                finalizers.push(ours.to_owned());
            }
            let patch = json!({ "metadata": {
                "uid": self.resource.uid(),
                "resourceVersion": self.version,
                "finalizers": finalizers,
            } });
            match self.api.merge(&self.resources(), &self.key.name, &patch).await {
                Ok(written) => {
                    self.adopt(&written);
                    if !wanted && finalizers.is_empty() {
                        self.bury();
                    }
                    return Ok(());
                }
                Err(e) if e.is_not_found() && !wanted => {
                    self.bury();
                    return Ok(());
                }
                // Adding must precede everything else and rests on what was decided; removing is the end of it.
                Err(e) if e.is_conflict() && !wanted => {
                    let Some(live) = self.look_again().await? else {
                        self.is_gone = true;
                        return Ok(());
                    };
                    self.adopt(&live);
                    finalizers = strings(&live["metadata"]["finalizers"]);
                }
                Err(e) if e.is_conflict() => {
                    self.look_again().await?;
                    return Err(ActError::Outdated(format!("the resource changed meanwhile ({e})")));
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(ActError::Outdated("the resource keeps changing".to_owned()))
    }
}

/// Stored and wanted status are the same once both went through our types.
fn same_status(stored: &Value, wanted: &Value) -> bool {
    if stored == wanted {
        return true;
    }
    let read: Option<FlinkDeploymentStatus> = serde::Deserialize::deserialize(stored).ok();
    read.and_then(|s| serde_json::to_value(s).ok()).is_some_and(|s| s == *wanted)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}
