//! FlinkDeployments: applications with `flink_deployment`, session clusters with `session_cluster`.

use drey_api::{
    FlinkConfiguration, FlinkDeployment, FlinkDeploymentSpec, FlinkDeploymentStatus, FlinkJobState,
    FlinkVersion, JobManagerDeploymentStatus, JobManagerSpec, JobSpec, JobState, ReconciledSpec,
    ReconciliationState, Resource, TaskManagerSpec, UpgradeMode,
};
use serde_json::Value;

use crate::{JOB_ID, NAMESPACE, uid_of};

/// A FlinkDeployment in the making.
#[derive(Debug, Clone)]
pub struct DeploymentBuilder(FlinkDeployment);

/// A valid stateless application of parallelism 2 on Flink 1.20, never reconciled.
pub fn flink_deployment(name: &str) -> DeploymentBuilder {
    let job = JobSpec {
        jar_uri: Some("local:///opt/flink/examples/streaming/StateMachineExample.jar".to_owned()),
        parallelism: 2,
        ..JobSpec::default()
    };
    let mut builder = session_cluster(name);
    builder.0.spec.job = Some(job);
    builder
}

/// A valid session cluster, never reconciled.
pub fn session_cluster(name: &str) -> DeploymentBuilder {
    let resource =
        Resource { cpu: Some(1.into()), memory: Some("2048m".to_owned()), ephemeral_storage: None };
    let spec = FlinkDeploymentSpec {
        image: Some("flink:1.20".to_owned()),
        flink_version: Some(FlinkVersion::V1_20),
        service_account: Some("flink".to_owned()),
        flink_configuration: FlinkConfiguration::from_iter([("taskmanager.numberOfTaskSlots", "2")]),
        job_manager: Some(JobManagerSpec { resource: Some(resource.clone()), ..JobManagerSpec::default() }),
        task_manager: Some(TaskManagerSpec { resource: Some(resource), ..TaskManagerSpec::default() }),
        ..FlinkDeploymentSpec::default()
    };
    let mut cr = FlinkDeployment::new(name, spec);
    cr.metadata.namespace = Some(NAMESPACE.to_owned());
    cr.metadata.uid = Some(uid_of(name));
    cr.metadata.generation = Some(1);
    DeploymentBuilder(cr)
}

impl DeploymentBuilder {
    pub fn build(self) -> FlinkDeployment {
        self.0
    }

    pub fn namespace(mut self, namespace: &str) -> Self {
        self.0.metadata.namespace = Some(namespace.to_owned());
        self
    }

    pub fn uid(mut self, uid: &str) -> Self {
        self.0.metadata.uid = Some(uid.to_owned());
        self
    }

    pub fn generation(mut self, generation: i64) -> Self {
        self.0.metadata.generation = Some(generation);
        self
    }

    pub fn version(mut self, version: FlinkVersion) -> Self {
        self.0.spec.flink_version = Some(version);
        self
    }

    pub fn image(mut self, image: &str) -> Self {
        self.0.spec.image = Some(image.to_owned());
        self
    }

    /// One key of `spec.flinkConfiguration`.
    pub fn config(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.spec.flink_configuration.set(key, value);
        self
    }

    pub fn without_config(mut self, key: &str) -> Self {
        self.0.spec.flink_configuration.remove(key);
        self
    }

    /// Kubernetes HA with a storage directory.
    pub fn with_ha(self) -> Self {
        self.config("high-availability.type", "kubernetes")
            .config("high-availability.storageDir", "file:///flink/ha")
    }

    /// Directories for checkpoints and savepoints, and periodic checkpoints.
    pub fn with_state_dirs(self) -> Self {
        self.config("state.checkpoints.dir", "file:///flink/checkpoints")
            .config("state.savepoints.dir", "file:///flink/savepoints")
            .config("execution.checkpointing.interval", "1 min")
    }

    pub fn stateless(self) -> Self {
        self.upgrade_mode(UpgradeMode::Stateless)
    }

    /// Upgrades by savepoint, with the directories that needs.
    pub fn savepoint(self) -> Self {
        self.upgrade_mode(UpgradeMode::Savepoint).with_state_dirs()
    }

    /// Upgrades from the last state, with the directories that needs. HA is a choice of its own: `with_ha`.
    pub fn last_state(self) -> Self {
        self.upgrade_mode(UpgradeMode::LastState).with_state_dirs()
    }

    pub fn upgrade_mode(self, mode: UpgradeMode) -> Self {
        self.job(|job| job.upgrade_mode = mode)
    }

    pub fn suspended(self) -> Self {
        self.job(|job| job.state = JobState::Suspended)
    }

    pub fn running(self) -> Self {
        self.job(|job| job.state = JobState::Running)
    }

    pub fn parallelism(self, parallelism: i64) -> Self {
        self.job(|job| job.parallelism = parallelism)
    }

    pub fn initial_savepoint(self, path: &str) -> Self {
        self.job(|job| job.initial_savepoint_path = Some(path.to_owned()))
    }

    pub fn restart_nonce(self, nonce: i64) -> Self {
        self.spec(|spec| spec.restart_nonce = Some(nonce))
    }

    /// Any change of the job; a session cluster gets none by it.
    pub fn job(mut self, change: impl FnOnce(&mut JobSpec)) -> Self {
        if let Some(job) = &mut self.0.spec.job {
            change(job);
        }
        self
    }

    pub fn spec(mut self, change: impl FnOnce(&mut FlinkDeploymentSpec)) -> Self {
        change(&mut self.0.spec);
        self
    }

    pub fn status(mut self, change: impl FnOnce(&mut FlinkDeploymentStatus)) -> Self {
        change(self.0.status.get_or_insert_default());
        self
    }

    /// Submitted and starting: the spec so far is recorded, nothing has been seen running.
    pub fn deploying(self) -> Self {
        let recorded = ReconciledSpec::new(self.0.spec.clone(), true).to_text();
        let generation = self.0.metadata.generation;
        let has_job = self.0.spec.job.is_some();
        self.status(|status| {
            status.observed_generation = generation;
            status.job_manager_deployment_status = JobManagerDeploymentStatus::Deploying;
            status.reconciliation_status.state = ReconciliationState::Deployed;
            status.reconciliation_status.last_reconciled_spec = Some(recorded);
            if has_job {
                status.job_status.job_id = Some(JOB_ID.to_owned());
                status.job_status.state = Some(FlinkJobState::Reconciling);
            }
        })
    }

    /// Up and running: the spec so far is recorded and stable. Changes made after this are the user's next wish.
    pub fn stable(self) -> Self {
        self.deploying().status(|status| {
            let recorded = status.reconciliation_status.last_reconciled_spec.clone();
            status.reconciliation_status.last_stable_spec = recorded;
            status.job_manager_deployment_status = JobManagerDeploymentStatus::Ready;
            if status.job_status.job_id.is_some() {
                status.job_status.state = Some(FlinkJobState::Running);
            }
        })
    }
}

impl From<DeploymentBuilder> for FlinkDeployment {
    fn from(builder: DeploymentBuilder) -> Self {
        builder.build()
    }
}
