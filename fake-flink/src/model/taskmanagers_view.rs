//! How TaskManagers look over REST: resources split evenly over slots.

use super::cluster::Cluster;
use crate::version::Version;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MEGABYTE: i64 = 1 << 20;

/// The resources of one TaskManager in megabytes, from the explicit memory keys; the defaults are the split of a
/// 2048m process (reference, kubernetes-objects 1.5).
struct Resources {
    cpu: f64,
    heap: i64,
    off_heap: i64,
    managed: i64,
    network: i64,
}

fn resources(c: &Cluster, slots: u32) -> Resources {
    let bytes = |key: &str, default: i64| c.conf.get(key).and_then(parse_bytes).unwrap_or(default);
    Resources {
        cpu: c.conf.float(
            "taskmanager.cpu.cores",
            c.conf.float("kubernetes.taskmanager.cpu.amount", f64::from(slots)),
        ),
        heap: bytes("taskmanager.memory.task.heap.size", 563_714_445) / MEGABYTE,
        off_heap: bytes("taskmanager.memory.task.off-heap.size", 0) / MEGABYTE,
        managed: bytes("taskmanager.memory.managed.size", 665_719_939) / MEGABYTE,
        network: bytes("taskmanager.memory.network.max", 166_429_984) / MEGABYTE,
    }
}

impl Resources {
    /// The part that `of` of `slots` slots make up.
    fn json(&self, of: usize, slots: usize) -> Value {
        let part = |whole: i64| whole * of as i64 / slots.max(1) as i64;
        json!({
            "cpuCores": self.cpu * of as f64 / slots.max(1) as f64, "taskHeapMemory": part(self.heap),
            "taskOffHeapMemory": part(self.off_heap), "managedMemory": part(self.managed),
            "networkMemory": part(self.network), "extendedResources": {}
        })
    }
}

/// Everything that does not change with the time alone.
pub(crate) fn json(c: &Cluster, id: &str) -> Option<Value> {
    let tm = c.tms.get(id)?;
    let (slots, free) = (tm.slots as usize, tm.free());
    let r = resources(c, tm.slots);
    let host = id.split(':').next().unwrap_or(id);
    let bytes = |key: &str, default: i64| c.conf.get(key).and_then(parse_bytes).unwrap_or(default);
    let framework = bytes("taskmanager.memory.framework.heap.size", 134_217_728);
    let framework_off = bytes("taskmanager.memory.framework.off-heap.size", 134_217_728);
    let metaspace = bytes("taskmanager.memory.jvm-metaspace.size", 268_435_456);
    let overhead = bytes("taskmanager.memory.jvm-overhead.max", 214_748_368);
    let (heap, off_heap) = (r.heap * MEGABYTE, r.off_heap * MEGABYTE);
    let (managed, network) = (r.managed * MEGABYTE, r.network * MEGABYTE);
    let flink = framework + framework_off + heap + off_heap + managed + network;
    Some(json!({
        "id": id,
        "path": format!("pekko.tcp://flink@{host}:{}/user/rpc/taskmanager_0", tm.rpc_port),
        "dataPort": tm.data_port, "jmxPort": -1, "slotsNumber": slots, "freeSlots": free,
        "totalResource": r.json(slots, slots), "freeResource": r.json(free, slots),
        "hardware": {
            "cpuCores": r.cpu.ceil() as i64, "physicalMemory": 25_276_510_208i64, "freeMemory": heap + framework,
            "managedMemory": managed
        },
        "memoryConfiguration": {
            "frameworkHeap": framework, "taskHeap": heap, "frameworkOffHeap": framework_off, "taskOffHeap": off_heap,
            "networkMemory": network, "managedMemory": managed, "jvmMetaspace": metaspace, "jvmOverhead": overhead,
            "totalFlinkMemory": flink, "totalProcessMemory": flink + metaspace + overhead
        }
    }))
}

pub(crate) fn allocated(c: &Cluster, id: &str) -> Value {
    let Some(tm) = c.tms.get(id) else { return json!([]) };
    let each = resources(c, tm.slots).json(1, tm.slots as usize);
    tm.allocated.iter().map(|job| json!({"jobId": job, "resource": each})).collect()
}

/// The metrics block of the details: zeros until the fetcher has seen the TaskManager.
pub(crate) fn metrics(seen: Option<&BTreeMap<String, String>>, version: Version) -> Value {
    let value =
        |name: &str| seen.and_then(|m| m.get(name)).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0) as i64;
    let mut out = json!({
        "heapUsed": value("Status.JVM.Memory.Heap.Used"), "heapCommitted": value("Status.JVM.Memory.Heap.Committed"),
        "heapMax": value("Status.JVM.Memory.Heap.Max"), "nonHeapUsed": value("Status.JVM.Memory.NonHeap.Used"),
        "nonHeapCommitted": value("Status.JVM.Memory.NonHeap.Committed"), "nonHeapMax": value("Status.JVM.Memory.NonHeap.Max"),
        "directCount": value("Status.JVM.Memory.Direct.Count"), "directUsed": value("Status.JVM.Memory.Direct.MemoryUsed"),
        "directMax": value("Status.JVM.Memory.Direct.TotalCapacity"), "mappedCount": value("Status.JVM.Memory.Mapped.Count"),
        "mappedUsed": value("Status.JVM.Memory.Mapped.MemoryUsed"), "mappedMax": value("Status.JVM.Memory.Mapped.TotalCapacity"),
        "nettyShuffleMemorySegmentsAvailable": value("Status.Shuffle.Netty.AvailableMemorySegments"),
        "nettyShuffleMemorySegmentsUsed": value("Status.Shuffle.Netty.UsedMemorySegments"),
        "nettyShuffleMemorySegmentsTotal": value("Status.Shuffle.Netty.TotalMemorySegments"),
        "nettyShuffleMemoryAvailable": value("Status.Shuffle.Netty.AvailableMemory"),
        "nettyShuffleMemoryUsed": value("Status.Shuffle.Netty.UsedMemory"),
        "nettyShuffleMemoryTotal": value("Status.Shuffle.Netty.TotalMemory"),
        "garbageCollectors": []
    });
    if seen.is_some() {
        out["garbageCollectors"] = json!([{"name": "G1_Young_Generation", "count": 5, "time": 60}]);
    }
    if !version.is_2() {
        out["memorySegmentsAvailable"] = value("Status.Network.AvailableMemorySegments").into();
        out["memorySegmentsTotal"] = value("Status.Network.TotalMemorySegments").into();
    }
    out
}

/// Flink's memory sizes: `128m`, `1 gb`, `1024`.
fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: i64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}
