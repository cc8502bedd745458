//! `execution.runtime-mode`: whether a program becomes a streaming or a batch job, and what that makes of its edges.
//!
//! In batch mode stages hand over what they have finished, so every edge is as `execution.batch-shuffle-mode` says. The
//! scheduler of batch jobs decides late how many tasks a stage has (`parallelism` -1 until then); what then cannot be joined
//! subtask by subtask is rescaled. All of it recorded on 1.20.3 and 2.2.1.

use super::job::{Exchange, Job, Ship, VertexSpec};
use crate::conf::Conf;
use crate::throwable::{Throwable, class};
use crate::version::Version;

/// Which scheduler a batch job gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchScheduler {
    /// `AdaptiveBatchScheduler`.
    Adaptive(Sizing),
    /// `DefaultScheduler`.
    Default,
}

/// Whose parallelism the graph of a batch job leaves to the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    Nobody,
    /// Of all for whom nobody has set it.
    Unset,
    /// Up to 1.18 not of those behind a `keyBy`, and sources are not given any either: they have one task.
    UnsetButKeyed,
}

impl Sizing {
    pub fn of(job: &Conf, version: Version) -> Sizing {
        let is_on = job.bool("execution.batch.adaptive.auto-parallelism.enabled", true);
        match is_for_batch(job) && is_on {
            false => Sizing::Nobody,
            true if version.since_1_20() => Sizing::Unset,
            true => Sizing::UnsetButKeyed,
        }
    }

    pub fn leaves_open(self, vertex: &VertexSpec) -> bool {
        let is_keyed = || vertex.inputs.iter().any(|input| input.ship == Ship::Hash);
        match self {
            Sizing::Nobody => false,
            Sizing::Unset => vertex.parallelism.is_none(),
            Sizing::UnsetButKeyed => vertex.parallelism.is_none() && !is_keyed(),
        }
    }
}

const SCHEDULER: &str = "jobmanager.scheduler";

impl BatchScheduler {
    /// The job's configuration names a scheduler to the client, which makes the graph for it; the cluster's names the one
    /// that runs it, and `adaptive` is that of batch jobs then.
    pub fn of(job: &Conf, cluster: &Conf, version: Version) -> BatchScheduler {
        let adaptive = BatchScheduler::Adaptive(Sizing::of(job, version));
        match cluster.get(SCHEDULER) {
            Some(name) if name.eq_ignore_ascii_case("default") => BatchScheduler::Default,
            Some(_) => adaptive,
            None if is_for_batch(job) => adaptive,
            None => BatchScheduler::Default,
        }
    }

    pub fn sizing(self) -> Sizing {
        match self {
            BatchScheduler::Adaptive(sizing) => sizing,
            BatchScheduler::Default => Sizing::Nobody,
        }
    }
}

fn is_for_batch(job: &Conf) -> bool {
    job.get(SCHEDULER).is_none_or(|name| name.eq_ignore_ascii_case("adaptivebatch"))
}

/// Records per second of a program that does nothing else.
const UNTHROTTLED: u64 = 10_000;
const MODES: [&str; 3] = ["STREAMING", "BATCH", "AUTOMATIC"];
const SHUFFLES: [(&str, Exchange); 4] = [
    ("ALL_EXCHANGES_PIPELINED", Exchange::Pipelined),
    ("ALL_EXCHANGES_BLOCKING", Exchange::Blocking),
    ("ALL_EXCHANGES_HYBRID_FULL", Exchange::HybridFull),
    ("ALL_EXCHANGES_HYBRID_SELECTIVE", Exchange::HybridSelective),
];

const UNBOUNDED: &str = "Detected an UNBOUNDED source with the 'execution.runtime-mode' set to 'BATCH'. This combination is not allowed, please set the 'execution.runtime-mode' to STREAMING or AUTOMATIC";

impl Job {
    /// Whether all its sources come to an end.
    fn is_bounded(&self) -> bool {
        self.batch || self.bounded || self.records.is_some()
    }

    /// As `main()` builds it under this configuration, or what it throws.
    pub(crate) fn in_mode(mut self, conf: &Conf, version: Version) -> Result<Job, Throwable> {
        let mode = word(conf, "execution.runtime-mode", "RuntimeExecutionMode", &MODES)?.unwrap_or(0);
        let shuffles = SHUFFLES.map(|(name, _)| name);
        let shuffle = word(conf, "execution.batch-shuffle-mode", "BatchShuffleMode", &shuffles)?.unwrap_or(1);
        if mode == 1 && !self.is_bounded() {
            // Public knowledge of `StreamGraphGenerator`.
            return Err(Throwable::new(class::ILLEGAL_STATE, UNBOUNDED));
        }
        self.batch |= mode == 1 || mode == 2 && self.is_bounded();
        if !self.batch {
            return Ok(self);
        }
        if self.counts_records && self.records.is_some() {
            // The conformance job waits between records only where it has no end.
            self.rate = UNTHROTTLED;
        }
        let rescales = Sizing::of(conf, version) != Sizing::Nobody;
        for input in self.vertices.iter_mut().flat_map(|v| &mut v.inputs) {
            if input.exchange == Exchange::Pipelined {
                input.exchange = SHUFFLES[shuffle].1;
            }
            if rescales && input.ship == Ship::Forward {
                input.ship = Ship::Rescale;
            }
        }
        Ok(self)
    }
}

/// Which of the words a key has.
fn word(conf: &Conf, key: &str, kind: &str, words: &[&str]) -> Result<Option<usize>, Throwable> {
    // An empty text is no word either.
    let Some((_, text)) = conf.entries().find(|(name, _)| *name == key) else { return Ok(None) };
    let found = words.iter().position(|word| word.eq_ignore_ascii_case(&text.replace('-', "_")));
    found.map(Some).ok_or_else(|| {
        let expected = format!(
            "Could not parse value for enum class org.apache.flink.api.common.{kind}. Expected one of: [[{}]]",
            words.join(", ")
        );
        let text = format!("Could not parse value '{text}' for key '{key}'.");
        Throwable::new(class::ILLEGAL_ARGUMENT, text)
            .caused_by(Throwable::new(class::ILLEGAL_ARGUMENT, expected))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(bounded: bool, settings: &[(&str, &str)]) -> String {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let conf = Conf::default().overlaid(&settings.iter().map(pair).collect());
        let vertices = vec![VertexSpec::named("a"), VertexSpec::named("b").fed_by(0, Ship::Forward)];
        let job = Job { bounded, ..Job::streaming("j", vertices).unwrap() };
        match job.in_mode(&conf, Version::V1_20) {
            Ok(job) => {
                let input = job.vertices[1].inputs[0];
                format!("batch {}, {} {}", job.batch, input.ship.name(), input.exchange.name())
            }
            Err(why) => why.message.unwrap_or_default(),
        }
    }

    #[test]
    fn modes_make_edges() {
        let mode = |mode| ("execution.runtime-mode", mode);
        assert_eq!(made(true, &[]), "batch false, FORWARD pipelined_bounded");
        assert_eq!(made(true, &[mode("batch")]), "batch true, RESCALE blocking");
        assert_eq!(made(true, &[mode("AUTOMATIC")]), "batch true, RESCALE blocking");
        assert_eq!(made(false, &[mode("AUTOMATIC")]), "batch false, FORWARD pipelined_bounded");
        assert!(made(false, &[mode("BATCH")]).starts_with("Detected an UNBOUNDED source"));
        let hybrid = ("execution.batch-shuffle-mode", "ALL_EXCHANGES_HYBRID_FULL");
        assert_eq!(made(true, &[mode("BATCH"), hybrid]), "batch true, RESCALE hybrid_full");
        let default = ("jobmanager.scheduler", "Default");
        assert_eq!(made(true, &[mode("BATCH"), default]), "batch true, FORWARD blocking");
        assert_eq!(
            made(true, &[mode("nope")]),
            "Could not parse value 'nope' for key 'execution.runtime-mode'."
        );
    }
}
