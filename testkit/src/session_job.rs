//! FlinkSessionJobs.

use drey_api::{FlinkSessionJob, FlinkSessionJobSpec, FlinkSessionJobStatus, JobSpec, UpgradeMode};
use serde_json::Value;

use crate::{NAMESPACE, uid_of};

/// A FlinkSessionJob in the making.
#[derive(Debug, Clone)]
pub struct SessionJobBuilder(FlinkSessionJob);

/// A valid stateless job on the session cluster `cluster`.
pub fn session_job(name: &str, cluster: &str) -> SessionJobBuilder {
    let job = JobSpec {
        jar_uri: Some("https://jars.example.com/job.jar".to_owned()),
        parallelism: 2,
        ..JobSpec::default()
    };
    let spec = FlinkSessionJobSpec {
        job: Some(job),
        deployment_name: Some(cluster.to_owned()),
        ..FlinkSessionJobSpec::default()
    };
    let mut cr = FlinkSessionJob::new(name, spec);
    cr.metadata.namespace = Some(NAMESPACE.to_owned());
    cr.metadata.uid = Some(uid_of(name));
    cr.metadata.generation = Some(1);
    SessionJobBuilder(cr)
}

impl SessionJobBuilder {
    pub fn build(self) -> FlinkSessionJob {
        self.0
    }

    pub fn config(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.spec.flink_configuration.set(key, value);
        self
    }

    pub fn upgrade_mode(self, mode: UpgradeMode) -> Self {
        self.job(|job| job.upgrade_mode = mode)
    }

    pub fn jar(self, uri: &str) -> Self {
        self.job(|job| job.jar_uri = Some(uri.to_owned()))
    }

    pub fn job(mut self, change: impl FnOnce(&mut JobSpec)) -> Self {
        if let Some(job) = &mut self.0.spec.job {
            change(job);
        }
        self
    }

    pub fn spec(mut self, change: impl FnOnce(&mut FlinkSessionJobSpec)) -> Self {
        change(&mut self.0.spec);
        self
    }

    pub fn status(mut self, change: impl FnOnce(&mut FlinkSessionJobStatus)) -> Self {
        change(self.0.status.get_or_insert_default());
        self
    }
}
