//! What a client submits: a `JobGraph` of 1.x or a `StreamGraph` of 2.x. Read are name, id, configuration, what to
//! restore from, and the arguments the program made job parameters; the operators are not.

use super::read::{Graph, Value};
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct JobGraph {
    pub id: String,
    pub name: String,
    pub batch: bool,
    pub conf: BTreeMap<String, String>,
    /// What the program made known as `GlobalJobParameters`.
    pub parameters: BTreeMap<String, String>,
    pub restore_path: Option<String>,
    pub allow_non_restored: bool,
    pub claim: Option<String>,
}

const PARAMETERS: &str = "pipeline.global-job-parameters";

/// `None`: nothing of that kind.
pub fn read_job_graph(bytes: &[u8]) -> Option<JobGraph> {
    let graph = Graph::read(bytes)?;
    let field = |name: &str| graph.field(graph.root, name);
    let id = field("jobID").or_else(|| field("jobId"))?;
    let restore = field("savepointRestoreSettings").unwrap_or(Value::Null);
    let of_restore = |name: &str| graph.field(restore, name);
    let claim = of_restore("restoreMode").or_else(|| of_restore("recoveryClaimMode"));
    let conf =
        field("jobConfiguration").and_then(|conf| graph.field(conf, "confData")).unwrap_or(Value::Null);
    let parameters = graph.entries(conf).find(|(key, _)| *key == PARAMETERS);
    Some(JobGraph {
        id: abstract_id(&graph, id)?,
        name: graph.text(field("jobName")?)?.to_owned(),
        batch: field("jobType").and_then(|kind| graph.text(kind)) == Some("BATCH"),
        conf: graph.texts(conf),
        parameters: parameters.map(|(_, map)| graph.texts(map)).unwrap_or_default(),
        restore_path: of_restore("restorePath").and_then(|path| graph.text(path)).map(str::to_owned),
        allow_non_restored: of_restore("allowNonRestoredState") == Some(Value::Bits(1)),
        claim: claim.and_then(|mode| graph.text(mode)).map(str::to_owned),
    })
}

fn abstract_id(graph: &Graph, id: Value) -> Option<String> {
    let part = |name: &str| match graph.field(id, name)? {
        Value::Bits(bits) => Some(bits as u64),
        Value::Null | Value::Node(_) => None,
    };
    // As its `toString()` does: the lower part first.
    Some(format!("{:016x}{:016x}", part("lowerPart")?, part("upperPart")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_line_of_1_20_sends() {
        let graph = read_job_graph(include_bytes!("../../tests/data/submitted-1.20.3.bin")).unwrap();
        assert_eq!((graph.name.as_str(), graph.id.as_str()), ("hello", "c1850c91aa084e3b748b80e742747e75"));
        assert_eq!(graph.parameters.get("name").map(String::as_str), Some("hello"));
        assert_eq!(graph.conf.get("parallelism.default").map(String::as_str), Some("2"));
        assert!(graph.restore_path.is_none() && !graph.batch, "{graph:?}");
    }

    #[test]
    fn what_the_command_line_of_2_2_sends() {
        let graph = read_job_graph(include_bytes!("../../tests/data/submitted-2.2.1.bin")).unwrap();
        assert_eq!((graph.name.as_str(), graph.id.as_str()), ("hello", "4162cb0ef79f0d9ced0e22fdaa170920"));
        assert_eq!(graph.parameters.get("name").map(String::as_str), Some("hello"));
        assert_eq!(graph.claim.as_deref(), Some("NO_CLAIM"));
    }

    #[test]
    fn anything_else_is_nothing() {
        let whole = include_bytes!("../../tests/data/submitted-2.2.1.bin");
        for cut in 0..whole.len().min(3000) {
            assert_eq!(read_job_graph(&whole[..cut]), None, "{cut}");
        }
        let mut bent = whole.to_vec();
        for at in (4..bent.len()).step_by(7) {
            let kept = bent[at];
            bent[at] ^= 0x5a;
            let _either = read_job_graph(&bent);
            bent[at] = kept;
        }
    }
}
