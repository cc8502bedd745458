//! Every contact with `drey-blueprint` in one place: configuration, differences, objects.

use crate::decision::Restore;
use crate::ids;
use crate::known::Inputs;
use crate::pass::Pass;
use crate::settings::Settings;
use crate::upgrade::choose::Refusal;
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkDeployment, FlinkDeploymentSpec};
use drey_blueprint::config::{FlinkConf, effective};
use drey_blueprint::diff::SpecDiff;
use drey_blueprint::objects::{self, DeployOptions};
use serde_json::Value;

/// Settings of what runs and of what is wanted.
#[derive(Clone, Debug, Default)]
pub struct Configs {
    pub observe: Settings,
    pub deploy: Settings,
}

impl Pass<'_> {
    /// Again after every replacement of the target spec.
    pub fn load_configs(&mut self) {
        let (operator, resource) = (&self.policy.config, &self.o.resource);
        let deployed = self.deployed_spec();
        let inputs = Inputs { current: &resource.spec, target: &self.spec, deployed: deployed.as_deref() };
        let work_out = || {
            let deploy = Settings::read(&effective::deploy(operator, resource, inputs.target));
            let observe = match inputs.deployed {
                Some(deployed) => Settings::read(&effective::observe(operator, resource, deployed)),
                None => deploy.clone(),
            };
            Configs { observe, deploy }
        };
        self.configs = self.policy.known.configs(resource.namespace(), resource.name(), inputs, work_out);
    }
}

/// What a cluster of this spec is started with.
pub fn conf_of(p: &Pass, spec: &FlinkDeploymentSpec) -> FlinkConf {
    effective::deploy(&p.policy.config, &p.o.resource, spec)
}

/// From what is recorded to what is wanted.
pub fn diff(recorded: &FlinkDeploymentSpec, wanted: &FlinkDeploymentSpec) -> SpecDiff {
    drey_blueprint::diff::diff(recorded, wanted, recorded.deployment_mode())
}

/// The objects of the cluster that runs the target spec, the Deployment first.
pub fn objects(p: &Pass, restore: &Restore, job_id: &str, generation: i64) -> Result<Vec<Value>, Refusal> {
    // The annotation tells whose attempt a Deployment is, so it carries the recorded generation.
    let mut resource: FlinkDeployment = p.o.resource.clone();
    resource.metadata.generation = Some(generation);
    let conf = effective::deploy(&p.policy.config, &resource, &p.spec);
    let options = DeployOptions {
        savepoint_path: match restore {
            Restore::Empty | Restore::HaMetadata { guarded: false } => None,
            Restore::From(path) => Some(path.clone()),
            Restore::HaMetadata { guarded: true } => Some(LAST_STATE_SAVEPOINT_PATH.to_owned()),
        },
        job_id: job_id.to_owned(),
        job_result_store_id: job_result_store_id(p, job_id, generation),
    };
    let cluster = objects::application_cluster(&resource, &p.spec, &conf, &options)
        .map_err(|error| Refusal { rule: "objects", reason: "Error", message: error.to_string() })?;
    let mut objects = vec![cluster.deployment.clone()];
    objects.extend(cluster.dependents(""));
    Ok(objects)
}

/// New for every deployment, the same when one is repeated after a crash (T60).
fn job_result_store_id(p: &Pass, job_id: &str, generation: i64) -> String {
    let attempt = p.status.reconciliation_status.reconciliation_timestamp.to_string();
    let id =
        ids::derive(&[p.o.resource.uid(), "job-result-store", job_id, &generation.to_string(), &attempt]);
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}
