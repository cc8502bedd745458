//! `status.clusterInfo`: version and revision of the Flink that answers, and what its cluster takes (reconciler.md 1.5, 3.4).
//!
//! Asked for once per JobManager: the job's start time moves when the JobManager was replaced. Left out: `state-size`, which
//! moves with every checkpoint and would cost a request and a write per pass.

use crate::ask::Ask;
use crate::blueprint;
use crate::observation::{JobFact, Seen};
use crate::pass::{Flow, Pass};
use drey_blueprint::objects;

const VERSION: &str = "flink-version";
const REVISION: &str = "flink-revision";
const CPU: &str = "total-cpu";
const MEMORY: &str = "total-memory";

pub fn refresh(p: &mut Pass, job: &JobFact) -> Flow {
    let known = p.status.cluster_info.contains_key(VERSION);
    let same = p.before.job_status.start_time.as_deref() == Some(job.start_time.to_string().as_str());
    if known && same {
        return Ok(());
    }
    let o = p.o;
    if let Seen::Known(cluster) = p.need(&o.flink.cluster, Ask::Cluster)? {
        p.status.cluster_info.insert(VERSION.into(), cluster.flink_version.clone());
        p.status.cluster_info.insert(REVISION.into(), cluster.flink_revision.clone());
        usage(p);
    }
    Ok(())
}

/// With all the TaskManagers the job needs, whether or not they are there yet. Spelt as Java prints such numbers.
fn usage(p: &mut Pass) {
    let Some(deployed) = p.deployed_spec() else { return };
    let (cpu, memory) = objects::usage(&blueprint::conf_of(p, &deployed), p.configs.observe.task_managers);
    let info = &mut p.status.cluster_info;
    info.insert(CPU.into(), format!("{cpu:?}"));
    match memory {
        Some(bytes) => info.insert(MEMORY.into(), bytes.to_string()),
        None => info.remove(MEMORY),
    };
}
