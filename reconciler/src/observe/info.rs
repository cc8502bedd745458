//! `status.clusterInfo`: version and revision of the Flink that answers (reconciler.md 3.4).
//!
//! Asked for once per JobManager: the job's start time moves when the JobManager was replaced.

use crate::ask::Ask;
use crate::observation::{JobFact, Seen};
use crate::pass::{Flow, Pass};

const VERSION: &str = "flink-version";
const REVISION: &str = "flink-revision";

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
    }
    Ok(())
}
