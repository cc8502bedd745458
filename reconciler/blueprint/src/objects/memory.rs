//! The memory of a JobManager process where only a part of it is configured.
//!
//! Flink's memory model: process = Flink memory + metaspace + overhead, where overhead is a tenth of the process
//! within bounds, and Flink memory = heap + off-heap. Defaults of Flink 1.20.

use crate::config::{FlinkConf, keys};

const MIB: u64 = 1 << 20;
const METASPACE: u64 = 256 * MIB;
const OFF_HEAP: u64 = 128 * MIB;
const OVERHEAD: std::ops::RangeInclusive<u64> = 192 * MIB..=1024 * MIB;
/// What Flink's own default configuration file says.
const DEFAULT_PROCESS: u64 = 1600 * MIB;

pub(super) fn job_manager_process(conf: &FlinkConf) -> u64 {
    if let Some(process) = conf.get(keys::JM_PROCESS_MEMORY) {
        return process.0;
    }
    let flink = conf.get(keys::JM_FLINK_MEMORY).map(|size| size.0);
    let heap = conf.get(keys::JM_HEAP_MEMORY).map(|size| size.0.saturating_add(OFF_HEAP));
    flink.or(heap).map_or(DEFAULT_PROCESS, with_overhead)
}

fn with_overhead(flink: u64) -> u64 {
    let base = flink.saturating_add(METASPACE);
    base.saturating_add((base / 9).clamp(*OVERHEAD.start(), *OVERHEAD.end()))
}
