//! The metrics of running subtasks: names as recorded, values from the job's flow of records.
//!
//! Rates are those of the instant, where Flink's meters average over a minute. Mailbox latencies and buffers are
//! zeros: nothing in the model waits in them but a full output of a back-pressured task.

use super::cache::MetricStore;
use crate::model::cluster::Cluster;
use crate::model::flow::{Flow, Rates, share};
use crate::model::job::{Job, Vertex};
use std::collections::BTreeMap;

/// Bytes of a record on the wire; what the recorded jobs ship.
const RECORD_BYTES: f64 = 21.0;

const ZEROS: &[&str] = &[
    "changelogBusyTimeMsPerSecond",
    "checkpointAlignmentTime",
    "checkpointStartDelayNanos",
    "mailboxLatencyMs_max",
    "mailboxLatencyMs_min",
    "mailboxQueueSize",
    "maxHardBackPressureTimeMs",
    "maxSoftBackPressureTimeMs",
    "numBuffersInLocal",
    "numBuffersInRemote",
    "numBuffersOut",
    "numBytesInRemote",
    "Shuffle.Netty.Input.Buffers.inputQueueLength",
    "Shuffle.Netty.Input.Buffers.inputQueueSize",
    "Shuffle.Netty.Input.numBuffersInLocal",
    "Shuffle.Netty.Input.numBuffersInRemote",
    "Shuffle.Netty.Input.numBytesInRemote",
    "Shuffle.Netty.Output.Buffers.outputQueueLength",
    "Shuffle.Netty.Output.Buffers.outputQueueSize",
];

const ZERO_FRACTIONS: &[&str] = &[
    "mailboxLatencyMs_mean",
    "mailboxLatencyMs_median",
    "mailboxLatencyMs_p75",
    "mailboxLatencyMs_p90",
    "mailboxLatencyMs_p95",
    "mailboxLatencyMs_p98",
    "mailboxLatencyMs_p99",
    "mailboxLatencyMs_p999",
    "mailboxLatencyMs_stddev",
    "mailboxMailsPerSecond",
    "numBuffersInLocalPerSecond",
    "numBuffersInRemotePerSecond",
    "numBuffersOutPerSecond",
    "numBytesInRemotePerSecond",
    "Shuffle.Netty.Input.Buffers.inputExclusiveBuffersUsage",
    "Shuffle.Netty.Input.Buffers.inputFloatingBuffersUsage",
    "Shuffle.Netty.Input.numBuffersInLocalPerSecond",
    "Shuffle.Netty.Input.numBuffersInRemotePerSecond",
    "Shuffle.Netty.Input.numBytesInRemotePerSecond",
];

/// The buffer metrics that 1.x shows under a second, older name.
const OLD_BUFFERS: &[&str] = &[
    "inPoolUsage",
    "inputExclusiveBuffersUsage",
    "inputFloatingBuffersUsage",
    "inputQueueLength",
    "inputQueueSize",
    "outPoolUsage",
    "outputQueueLength",
    "outputQueueSize",
];

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Values {
    fn whole(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), (value as i64).to_string());
    }

    /// As Java prints a double.
    fn fraction(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), format!("{value:?}"));
    }

    /// A counter and its meter.
    fn counted(&mut self, name: &str, total: f64, rate: f64) {
        self.whole(name, total);
        self.fraction(&format!("{name}PerSecond"), rate);
    }
}

/// Everything the subtasks of a running job show.
pub(super) fn collect(c: &Cluster, job: &Job, store: &mut MetricStore) {
    let flow = job.flow_at(c.now);
    let rates = flow.rates(&job.vertices, job.program.rate as f64);
    let watermarks = watermarks(&flow, job, c.now);
    for (at, rate) in rates.iter().enumerate() {
        let looks = Look { c, job, flow: &flow, at, rate, watermarks: &watermarks };
        let is_there = |s: &usize| !job.is_staged() || job.vertices[at].subtasks[*s].start() >= 0;
        for subtask in (0..job.vertices[at].subtasks.len()).filter(is_there) {
            let key = format!("{}/{}/{subtask}", job.id, job.vertices[at].id);
            store.insert(key, looks.subtask(subtask).0);
        }
    }
}

/// One vertex as it is seen now.
struct Look<'a> {
    c: &'a Cluster,
    job: &'a Job,
    flow: &'a Flow,
    at: usize,
    rate: &'a Rates,
    /// Per vertex what leaves it; `i64::MIN` without event time.
    watermarks: &'a [i64],
}

impl Look<'_> {
    fn vertex(&self) -> &Vertex {
        &self.job.vertices[self.at]
    }

    fn subtask(&self, subtask: usize) -> Values {
        let mut out = Values::default();
        ZEROS.iter().for_each(|name| out.whole(name, 0.0));
        ZERO_FRACTIONS.iter().for_each(|name| out.fraction(name, 0.0));
        self.records(&mut out, subtask);
        self.times(&mut out, subtask);
        self.operators(&mut out, subtask);
        if let Some(waiting) = self.flow.backlog(&self.job.vertices, self.at) {
            self.source(&mut out, subtask, waiting);
        }
        if !self.c.version.is_2() {
            for name in OLD_BUFFERS {
                let place = if name.starts_with("out") { "Output" } else { "Input" };
                let value = out.0.get(&format!("Shuffle.Netty.{place}.Buffers.{name}")).cloned();
                out.0.insert(format!("buffers.{name}"), value.unwrap_or_default());
            }
        }
        if self.c.version.since_1_20() {
            out.counted("numFiredTimers", 0.0, 0.0);
        }
        out
    }

    /// The task's own counters: a source reads no network, a sink writes none.
    fn records(&self, out: &mut Values, subtask: usize) {
        let share = share(self.vertex(), subtask);
        let totals = self.flow.totals(self.at);
        let reads = if self.vertex().spec.is_source() { 0.0 } else { share };
        let writes = if self.is_sink() { 0.0 } else { share };
        let (total_in, rate_in) = (totals.records_in * reads, self.rate.records_in * reads);
        let (total_out, rate_out) = (totals.records_out * writes, self.rate.records_out * writes);
        out.counted("numRecordsIn", total_in, rate_in);
        out.counted("numRecordsOut", total_out, rate_out);
        for name in ["numBytesIn", "numBytesInLocal", "Shuffle.Netty.Input.numBytesInLocal"] {
            out.counted(name, total_in * RECORD_BYTES, rate_in * RECORD_BYTES);
        }
        out.counted("numBytesOut", total_out * RECORD_BYTES, rate_out * RECORD_BYTES);
    }

    fn is_sink(&self) -> bool {
        !self.job.vertices.iter().any(|v| v.spec.inputs.iter().any(|input| input.from == self.at))
    }

    /// Gauges are whole milliseconds; busy is what the other two leave of the second, as Flink computes it.
    fn times(&self, out: &mut Values, subtask: usize) {
        let vertex = self.vertex();
        let now = self.rate.times(vertex, subtask);
        let (idle, pressed) = (now.idle_ms.round(), now.back_pressured_ms.round());
        out.whole("idleTimeMsPerSecond", idle);
        out.whole("backPressuredTimeMsPerSecond", pressed);
        out.whole("softBackPressuredTimeMsPerSecond", pressed);
        out.whole("hardBackPressuredTimeMsPerSecond", 0.0);
        out.fraction("busyTimeMsPerSecond", 1000.0 - (idle + pressed).min(1000.0));
        out.0.insert("isBackPressured".into(), (pressed > 0.0).to_string());
        out.fraction("Shuffle.Netty.Output.Buffers.outPoolUsage", if pressed > 0.0 { 1.0 } else { 0.0 });
        let full = now.busy_ms >= 999.5 && !vertex.spec.is_source();
        out.fraction("Shuffle.Netty.Input.Buffers.inPoolUsage", if full { 1.0 } else { 0.0 });
        let so_far = self.flow.totals(self.at).times(vertex, subtask);
        out.whole("accumulateBusyTimeMs", so_far.busy_ms);
        out.whole("accumulateIdleTimeMs", so_far.idle_ms);
        out.whole("accumulateBackPressuredTimeMs", so_far.back_pressured_ms);
        let task = &vertex.subtasks[subtask];
        out.whole("initializationTime", task.initialization_ms() as f64);
        if !vertex.spec.is_source() {
            out.0.insert("currentInputWatermark".into(), self.input_watermark().to_string());
        }
    }

    fn input_watermark(&self) -> i64 {
        let inputs = &self.vertex().spec.inputs;
        inputs.iter().map(|input| self.watermarks[input.from]).min().unwrap_or(i64::MIN)
    }

    /// Each operator of the chain reads what the one before wrote; the last one applies the selectivity.
    fn operators(&self, out: &mut Values, subtask: usize) {
        let share = share(self.vertex(), subtask);
        let totals = self.flow.totals(self.at);
        let count = self.vertex().spec.operators().count();
        for (place, operator) in self.vertex().spec.operators().enumerate() {
            let operator = metric_name(operator);
            let (written, rate) = match place + 1 == count {
                true => (totals.records_out, self.rate.records_out),
                false => (totals.records_in, self.rate.records_in),
            };
            let mut put = |name: &str, total: f64, rate: f64| {
                out.counted(&format!("{operator}.{name}"), total * share, rate * share);
            };
            put("numRecordsIn", totals.records_in, self.rate.records_in);
            put("numRecordsOut", written, rate);
            put("numBytesIn", 0.0, 0.0);
            put("numBytesOut", 0.0, 0.0);
            let head_of_source = place == 0 && self.vertex().spec.is_source();
            let reads = if place == 0 { self.input_watermark() } else { self.watermarks[self.at] };
            if !head_of_source {
                out.0.insert(format!("{operator}.currentInputWatermark"), reads.to_string());
            }
            out.0.insert(format!("{operator}.currentOutputWatermark"), self.watermarks[self.at].to_string());
        }
    }

    /// What FLIP-33 asks of a source, and the offsets of a Kafka source's partitions.
    fn source(&self, out: &mut Values, subtask: usize, waiting: f64) {
        let vertex = self.vertex();
        let Some(topic) = &vertex.spec.topic else { return };
        let head = metric_name(vertex.spec.operators().next().unwrap_or_default());
        out.whole(&format!("{head}.pendingRecords"), (waiting * share(vertex, subtask)).round());
        out.whole(&format!("{head}.numRecordsInErrors"), 0.0);
        let lag = self.flow.lag_ms(&self.job.vertices, self.at).unwrap_or(0);
        for name in ["currentFetchEventTimeLag", "currentEmitEventTimeLag"] {
            out.whole(&format!("{head}.{name}"), lag as f64);
        }
        if let Some(late) = topic.out_of_orderness {
            out.whole(&format!("{head}.watermarkLag"), lag as f64 + late.as_millis() as f64);
        }
        let Some(partitions) = topic.partitions else { return };
        let read = self.flow.position(self.at) / f64::from(partitions.max(1));
        for partition in (subtask as u32..partitions).step_by(vertex.subtasks.len().max(1)) {
            let prefix = format!("{head}.KafkaSourceReader.topic.{}.partition.{partition}", topic.name);
            out.whole(&format!("{prefix}.currentOffset"), read);
            out.whole(&format!("{prefix}.committedOffset"), read);
        }
    }
}

/// Event time that has left each vertex: of a source that of its oldest unread record, of others the least of their
/// inputs.
fn watermarks(flow: &Flow, job: &Job, now: i64) -> Vec<i64> {
    let mut marks: Vec<i64> = Vec::new();
    for (at, vertex) in job.vertices.iter().enumerate() {
        let own = vertex.spec.topic.as_ref().and_then(|topic| topic.out_of_orderness).map(|late| {
            let lag = flow.lag_ms(&job.vertices, at).unwrap_or(0);
            now - lag - i64::try_from(late.as_millis()).unwrap_or(i64::MAX / 4) - 1
        });
        let fed = vertex.spec.inputs.iter().map(|input| marks[input.from]).min();
        marks.push(own.or(fed).unwrap_or(i64::MIN));
    }
    marks
}

/// `MetricQueryService.replaceInvalidChars`.
fn metric_name(operator: &str) -> String {
    operator.replace([':', ' ', '.', ','], "_")
}
