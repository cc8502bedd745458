//! Ports of a JobManager. Flink may pick random ones; behind a Service they must be known, so they are fixed.

use crate::config::{FlinkConf, keys};
use crate::upgrade::HighAvailability;

const BLOB_SERVER: i64 = 6124;
const TASK_MANAGER_RPC: i64 = 6122;

pub(super) fn rest(conf: &FlinkConf) -> i64 {
    conf.value(keys::REST_PORT)
}

/// The port the process binds; a range is no use behind a Service.
pub(super) fn rest_bind(conf: &FlinkConf) -> i64 {
    fixed(conf.text(keys::REST_BIND_PORT)).unwrap_or_else(|| rest(conf))
}

pub(super) fn job_manager_rpc(conf: &FlinkConf) -> i64 {
    conf.value(keys::JM_RPC_PORT)
}

pub(super) fn blob_server(conf: &FlinkConf) -> i64 {
    fixed(conf.text(keys::BLOB_SERVER_PORT)).unwrap_or(BLOB_SERVER)
}

/// Writes the ports in use into the configuration.
pub(super) fn fix(conf: &mut FlinkConf) {
    let task_manager_rpc = fixed(conf.text(keys::TM_RPC_PORT)).unwrap_or(TASK_MANAGER_RPC);
    conf.set(keys::BLOB_SERVER_PORT, blob_server(conf).to_string());
    conf.set(keys::TM_RPC_PORT, task_manager_rpc.to_string());
    conf.set(keys::REST_BIND_PORT, rest_bind(conf).to_string());
    if HighAvailability::of(conf).is_active() {
        let port = fixed(conf.text(keys::HA_JOB_MANAGER_PORT)).unwrap_or_else(|| job_manager_rpc(conf));
        conf.set(keys::HA_JOB_MANAGER_PORT, port.to_string());
    }
}

/// A single port that is not 0 ("any").
fn fixed(text: Option<&str>) -> Option<i64> {
    text.and_then(|text| text.trim().parse().ok()).filter(|port| *port > 0)
}
