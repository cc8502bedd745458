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

/// What a cluster with so many TaskManagers takes: CPUs, and bytes where the size of its processes is configured
/// (`clusterInfo`, reconciler.md 1.5).
pub fn usage(conf: &FlinkConf, task_managers: i64) -> (f64, Option<u64>) {
    let job_managers = conf.value(keys::K8S_JM_REPLICAS).max(1);
    let slots = conf.value(keys::TASK_SLOTS).max(1) as f64;
    let cpu = Some(conf.value(keys::K8S_TM_CPU)).filter(|cpu| *cpu > 0.0).unwrap_or(slots);
    let cpus = conf.value(keys::K8S_JM_CPU) * job_managers as f64 + cpu * task_managers.max(0) as f64;
    let times = |bytes: u64, n: i64| bytes.saturating_mul(u64::try_from(n).unwrap_or_default());
    let memory = conf.get(keys::TM_PROCESS_MEMORY).map(|task_manager| {
        times(job_manager_process(conf), job_managers).saturating_add(times(task_manager.0, task_managers))
    });
    (cpus, memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_every_process() {
        let check = |entries: &[(&str, &str)], task_managers: i64, expected: (f64, Option<u64>)| {
            let conf: FlinkConf = entries.iter().copied().collect();
            assert_eq!(usage(&conf, task_managers), expected, "{entries:?}");
        };
        let sizes = [("jobmanager.memory.process.size", "1 gb"), ("taskmanager.memory.process.size", "2 gb")];
        check(&sizes, 2, (3.0, Some(5 << 30)));
        check(
            &[
                ("kubernetes.jobmanager.replicas", "2"),
                ("kubernetes.taskmanager.cpu", "0.5"),
                sizes[0],
                sizes[1],
            ],
            3,
            (3.5, Some(8 << 30)),
        );
        check(&[("taskmanager.numberOfTaskSlots", "4"), sizes[0]], 1, (5.0, None));
        check(&sizes, 0, (1.0, Some(1 << 30)));
    }
}
