//! A job as data: vertices and how they are connected, how fast it runs, when it ends or fails by itself.
//!
//! Built in code with [`Job::streaming`] and [`VertexSpec`], or read from a file (`file.rs`). Vertices stand in
//! topological order: an input is always an earlier vertex, so a graph has no cycles by construction.

use super::identity::{self, Chain};
use super::workload::{Topic, Work};
use crate::throwable::{Throwable, class};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How records travel along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Ship {
    Forward,
    Hash,
    Rebalance,
    Rescale,
    Broadcast,
    Global,
    Shuffle,
    Custom,
}

impl Ship {
    pub const ALL: [Ship; 8] = [
        Ship::Forward,
        Ship::Hash,
        Ship::Rebalance,
        Ship::Rescale,
        Ship::Broadcast,
        Ship::Global,
        Ship::Shuffle,
        Ship::Custom,
    ];

    /// As a job's plan names it.
    pub fn name(self) -> &'static str {
        match self {
            Ship::Forward => "FORWARD",
            Ship::Hash => "HASH",
            Ship::Rebalance => "REBALANCE",
            Ship::Rescale => "RESCALE",
            Ship::Broadcast => "BROADCAST",
            Ship::Global => "GLOBAL",
            Ship::Shuffle => "SHUFFLE",
            Ship::Custom => "CUSTOM",
        }
    }
}

/// When what travels along an edge can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exchange {
    #[default]
    Pipelined,
    /// The upstream vertex finishes before the downstream one starts.
    Blocking,
    HybridFull,
    HybridSelective,
}

impl Exchange {
    /// As a job's plan names it.
    pub fn name(self) -> &'static str {
        match self {
            Exchange::Pipelined => "pipelined_bounded",
            Exchange::Blocking => "blocking",
            Exchange::HybridFull => "hybrid_full",
            Exchange::HybridSelective => "hybrid_selective",
        }
    }
}

/// An edge, seen from the vertex that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Index of the upstream vertex.
    pub from: usize,
    pub ship: Ship,
    pub exchange: Exchange,
}

impl Input {
    /// Parts two stages of a batch job.
    pub fn is_staged(&self) -> bool {
        self.exchange != Exchange::Pipelined
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VertexSpec {
    /// The chain, operators joined by ` -> `.
    pub name: String,
    /// The plan's description, `a<br/>+- b<br/>`.
    pub description: String,
    /// Uid of the head operator. Without it the vertex id follows from the place in the graph.
    pub uid: Option<String>,
    id: String,
    pub parallelism: Option<u32>,
    pub max_parallelism: Option<u32>,
    pub inputs: Vec<Input>,
    /// A source that reads what arrives somewhere; sources without one make their records themselves, at the job's
    /// `rate`.
    pub topic: Option<Topic>,
    pub work: Work,
    /// How long its tasks take to open, INITIALIZING; without it what the model's knob for restored state says.
    pub opening: Option<Duration>,
}

impl VertexSpec {
    /// A vertex whose head operator has a uid.
    pub fn new(name: &str, uid: &str) -> VertexSpec {
        VertexSpec { uid: Some(uid.to_owned()), id: identity::of_uid(uid), ..VertexSpec::named(name) }
    }

    /// A vertex without a uid; its id is known once it is part of a job.
    pub fn named(name: &str) -> VertexSpec {
        VertexSpec {
            name: name.to_owned(),
            description: description(name),
            uid: None,
            id: String::new(),
            parallelism: None,
            max_parallelism: None,
            inputs: Vec::new(),
            topic: None,
            work: Work::default(),
            opening: None,
        }
    }

    pub fn fed_by(mut self, vertex: usize, ship: Ship) -> VertexSpec {
        self.inputs.push(Input { from: vertex, ship, exchange: Exchange::Pipelined });
        self
    }

    /// Fed over a batch edge.
    pub fn after(mut self, vertex: usize, ship: Ship) -> VertexSpec {
        self.inputs.push(Input { from: vertex, ship, exchange: Exchange::Blocking });
        self
    }

    pub fn fixed(mut self, parallelism: u32) -> VertexSpec {
        self.parallelism = Some(parallelism);
        self
    }

    /// With this max parallelism.
    pub fn at_most(mut self, max_parallelism: u32) -> VertexSpec {
        self.max_parallelism = Some(max_parallelism);
        self
    }

    pub fn reading(mut self, topic: Topic) -> VertexSpec {
        self.topic = Some(topic);
        self
    }

    /// Its tasks take so long to open; zero runs as soon as it is deployed.
    pub fn opening(mut self, time: Duration) -> VertexSpec {
        self.opening = Some(time);
        self
    }

    pub fn working(mut self, work: Work) -> VertexSpec {
        self.work = work;
        self
    }

    /// The vertex id, 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The operators of the chain, head first.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.name.split(" -> ")
    }

    pub fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }
}

/// As `JsonPlanGenerator` shows a chain (recorded).
fn description(name: &str) -> String {
    let mut parts = name.split(" -> ");
    let mut out = format!("{}<br/>", parts.next().unwrap_or_default());
    for (depth, part) in parts.enumerate() {
        out.push_str(&format!("{}+- {part}<br/>", "   ".repeat(depth)));
    }
    out
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub name: String,
    pub vertices: Vec<VertexSpec>,
    pub batch: bool,
    /// Its sources end, if late: without `records` nobody waits for it, but it may run in batch mode.
    #[serde(default)]
    pub bounded: bool,
    /// Records per second and source subtask; the unit of `progress`.
    pub rate: u64,
    /// Ends after this many records of each source subtask.
    pub records: Option<u64>,
    /// Fails at this record of every attempt.
    pub fail_at: Option<u64>,
    pub failure: Throwable,
    /// Index of the vertex whose tasks fail.
    pub failing_vertex: usize,
    pub counts_records: bool,
    pub user_config: IndexMap<String, String>,
    pub shaped_by: ShapedBy,
}

/// What the arguments of the program change about its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShapedBy {
    /// `--name`, `--records`, `--fail-at` and `--uid`, read as Flink's `ParameterTool` does.
    #[default]
    Options,
    /// The same options, taken two by two: the conformance jar.
    Pairs,
    /// Everything: the operator's autoscaling example.
    LoadSimulation,
}

/// Why vertices do not make a job: which one, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidJob {
    pub vertex: Option<usize>,
    pub why: String,
}

impl fmt::Display for InvalidJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vertex {
            Some(at) => write!(f, "vertex {at}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl std::error::Error for InvalidJob {}

/// More vertices than this are a mistake in whoever generates them.
const VERTICES_MAX: usize = 1_000;
/// `KeyGroupRangeAssignment.UPPER_BOUND_MAX_PARALLELISM`.
pub const MAX_PARALLELISM: u32 = 32_768;

impl Job {
    /// An endless job; [`Job::batch`] for one that ends.
    pub fn streaming(name: &str, vertices: Vec<VertexSpec>) -> Result<Job, InvalidJob> {
        let job = Job {
            name: name.to_owned(),
            failing_vertex: vertices.len().saturating_sub(1),
            vertices,
            batch: false,
            bounded: false,
            rate: 50,
            records: None,
            fail_at: None,
            failure: Throwable::new(class::ILLEGAL_STATE, "deliberate failure"),
            counts_records: false,
            user_config: IndexMap::new(),
            shaped_by: ShapedBy::default(),
        };
        job.check()?;
        Ok(job.identified())
    }

    pub fn batch(name: &str, records: u64, vertices: Vec<VertexSpec>) -> Result<Job, InvalidJob> {
        let job = Job::streaming(name, vertices)?;
        Ok(Job { batch: true, records: Some(records), ..job })
    }

    /// Whether its speed is described rather than assumed.
    pub fn has_workload(&self) -> bool {
        self.vertices.iter().any(|v| v.topic.is_some() || v.work.cost.is_some())
    }

    fn check(&self) -> Result<(), InvalidJob> {
        let wrong = |vertex: usize, why: String| Err(InvalidJob { vertex: Some(vertex), why });
        if self.vertices.is_empty() {
            return Err(InvalidJob { vertex: None, why: "a job has at least one vertex".into() });
        }
        if self.vertices.len() > VERTICES_MAX {
            return Err(InvalidJob { vertex: None, why: format!("more than {VERTICES_MAX} vertices") });
        }
        for (at, v) in self.vertices.iter().enumerate() {
            if let Some(input) = v.inputs.iter().find(|input| input.from >= at) {
                return wrong(at, format!("its input {} does not stand before it", input.from));
            }
            if v.topic.is_some() && !v.is_source() {
                return wrong(at, "reads a topic and has inputs: only a source reads".into());
            }
            let bound = v.max_parallelism.unwrap_or(MAX_PARALLELISM);
            if !(1..=MAX_PARALLELISM).contains(&bound) {
                return wrong(at, format!("max parallelism {bound} is not within 1 to {MAX_PARALLELISM}"));
            }
            if let Some(p) = v.parallelism.filter(|p| !(1..=bound).contains(p)) {
                return wrong(at, format!("parallelism {p} is not within 1 to {bound}"));
            }
            if let Some(other) = self.vertices[..at].iter().position(|o| o.uid.is_some() && o.uid == v.uid) {
                return wrong(at, format!("has the uid of vertex {other}"));
            }
        }
        Ok(())
    }

    /// Gives every vertex its id. Needed again after a uid changed.
    fn identified(mut self) -> Job {
        let chains: Vec<Chain> = self
            .vertices
            .iter()
            .map(|v| Chain {
                uid: v.uid.as_deref(),
                operators: v.operators().count(),
                inputs: v.inputs.iter().map(|input| input.from).collect(),
            })
            .collect();
        let ids = identity::vertex_ids(&chains);
        for (vertex, id) in self.vertices.iter_mut().zip(ids) {
            vertex.id = id;
        }
        self
    }

    /// This job as `main()` builds it under these arguments; all of them are the job's `user-config`.
    pub(super) fn with_args(self, args: &[String]) -> Job {
        let options = match self.shaped_by {
            ShapedBy::Pairs => pairs(args),
            ShapedBy::Options | ShapedBy::LoadSimulation => options(args),
        };
        let job = match self.shaped_by {
            ShapedBy::Options | ShapedBy::Pairs => self.with_options(&options),
            ShapedBy::LoadSimulation => super::known::load_simulation(&options),
        };
        Job { user_config: options, ..job }
    }

    fn with_options(mut self, options: &IndexMap<String, String>) -> Job {
        if let Some(name) = options.get("name") {
            self.name.clone_from(name);
        }
        if let Some(n) = options.get("records").and_then(|n| n.parse().ok()) {
            self.records = Some(n);
        }
        if let Some(n) = options.get("fail-at").and_then(|n| n.parse().ok()) {
            self.fail_at = Some(n);
        }
        if let (Some(uid), Some(last)) = (options.get("uid"), self.vertices.last_mut()) {
            last.uid = Some(uid.clone());
            self = self.identified();
        }
        self
    }
}

/// `ParameterTool.fromArgs`: `--key value`, `-key value`, and keys without a value.
fn options(args: &[String]) -> IndexMap<String, String> {
    let mut out = IndexMap::new();
    let mut at = 0;
    while at < args.len() {
        let Some(key) = args[at].strip_prefix("--").or_else(|| args[at].strip_prefix('-')) else {
            at += 1;
            continue;
        };
        match args.get(at + 1) {
            Some(value) if !value.starts_with("--") => {
                out.insert(key.to_owned(), value.clone());
                at += 2;
            }
            _ => {
                out.insert(key.to_owned(), "__NO_VALUE_KEY".to_owned());
                at += 1;
            }
        }
    }
    out
}

/// Every argument in an even place is a key, with or without `--`; a last one without a value is dropped.
fn pairs(args: &[String]) -> IndexMap<String, String> {
    let key = |arg: &String| arg.strip_prefix("--").unwrap_or(arg).to_owned();
    args.chunks_exact(2).map(|pair| (key(&pair[0]), pair[1].clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_make_a_job_says_why() {
        let check = |vertices, expected: &str| {
            assert_eq!(Job::streaming("j", vertices).unwrap_err().to_string(), expected);
        };
        check(vec![], "a job has at least one vertex");
        check(
            vec![VertexSpec::named("a").fed_by(0, Ship::Hash)],
            "vertex 0: its input 0 does not stand before it",
        );
        let twice = || VertexSpec::new("a", "same");
        check(vec![twice(), twice()], "vertex 1: has the uid of vertex 0");
        let wide = VertexSpec { max_parallelism: Some(4), ..VertexSpec::named("a").fixed(5) };
        check(vec![wide], "vertex 0: parallelism 5 is not within 1 to 4");
    }

    #[test]
    fn a_chain_is_described_as_recorded() {
        assert_eq!(
            description("stateful -> drop -> Sink: out"),
            "stateful<br/>+- drop<br/>   +- Sink: out<br/>"
        );
    }
}
