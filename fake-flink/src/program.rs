//! What a jar's entry class does: the jobs the model can run, by class name.
//!
//! A program is data: a topology, a rate at which progress is made, and when it ends or fails by itself. Arguments are
//! `--key value` pairs; `--name`, `--records`, `--fail-at` and `--uid` mean what they mean to the conformance jar.

use crate::ids::stable_hex32;
use crate::throwable::{Throwable, class};
use indexmap::IndexMap;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexSpec {
    pub name: String,
    /// The plan's description, `a<br/>+- b<br/>`.
    pub description: String,
    /// Uid of the head operator; the vertex id follows from it.
    pub uid: String,
    pub parallelism: Option<u32>,
    pub max_parallelism: Option<u32>,
    /// Upstream vertices by index, with the ship strategy.
    pub inputs: Vec<(usize, &'static str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub name: String,
    pub vertices: Vec<VertexSpec>,
    pub batch: bool,
    /// Records per second and source subtask; the unit of `progress`.
    pub rate: u64,
    /// Ends after this many records.
    pub records: Option<u64>,
    /// Fails at this record of every attempt.
    pub fail_at: Option<u64>,
    pub failure: Throwable,
    /// Index of the vertex whose tasks fail.
    pub failing_vertex: usize,
    pub counts_records: bool,
    pub user_config: IndexMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    Job(Job),
    /// `main()` throws.
    Throws(Throwable),
    /// `main()` returns without a job.
    NoJob,
    /// There is no `main()`.
    NotMain,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub behaviour: Behaviour,
}

impl Program {
    pub fn job(job: Job) -> Program {
        Program { behaviour: Behaviour::Job(job) }
    }

    /// The behaviour under these arguments.
    pub fn with_args(&self, args: &[String]) -> Behaviour {
        let options = options(args);
        match &self.behaviour {
            Behaviour::Job(job) => Behaviour::Job(job.clone().with_options(options)),
            Behaviour::Throws(t) if t.message.as_deref() == Some("main refused ") => {
                Behaviour::Throws(Throwable::new(&t.class, format!("main refused {}", args.join(","))))
            }
            other => other.clone(),
        }
    }
}

impl Job {
    fn with_options(mut self, options: IndexMap<String, String>) -> Job {
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
            last.uid.clone_from(uid);
        }
        self.user_config = options;
        self
    }
}

impl VertexSpec {
    pub fn new(name: &str, uid: &str) -> VertexSpec {
        let mut parts = name.split(" -> ");
        let mut description = format!("{}<br/>", parts.next().unwrap_or_default());
        for (depth, part) in parts.enumerate() {
            description.push_str(&format!("{}+- {part}<br/>", "&nbsp;&nbsp;&nbsp;".repeat(depth)));
        }
        VertexSpec {
            name: name.to_owned(),
            description,
            uid: uid.to_owned(),
            parallelism: None,
            max_parallelism: None,
            inputs: Vec::new(),
        }
    }

    pub fn fed_by(mut self, vertex: usize, ship: &'static str) -> VertexSpec {
        self.inputs.push((vertex, ship));
        self
    }

    pub fn fixed(mut self, parallelism: u32) -> VertexSpec {
        self.parallelism = Some(parallelism);
        self
    }

    pub fn id(&self) -> String {
        stable_hex32(&self.uid)
    }
}

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

/// Programs by entry class, and one for every class that is not named.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramTable {
    by_class: BTreeMap<String, Program>,
    default: Program,
}

impl Default for ProgramTable {
    fn default() -> ProgramTable {
        let mut table = ProgramTable { by_class: BTreeMap::new(), default: Program::job(state_machine()) };
        table.insert("conformance.Stream", Program::job(stream()));
        table.insert("conformance.Wide", Program::job(wide()));
        let refused = Throwable::new(class::ILLEGAL_ARGUMENT, "main refused ");
        table.insert("conformance.MainThrows", Program { behaviour: Behaviour::Throws(refused) });
        table.insert("conformance.NoJob", Program { behaviour: Behaviour::NoJob });
        table.insert("conformance.NotMain", Program { behaviour: Behaviour::NotMain });
        table
    }
}

impl ProgramTable {
    pub fn insert(&mut self, class: &str, program: Program) {
        self.by_class.insert(class.to_owned(), program);
    }

    pub fn set_default(&mut self, program: Program) {
        self.default = program;
    }

    pub fn find(&self, class: Option<&str>) -> &Program {
        class.and_then(|c| self.by_class.get(c)).unwrap_or(&self.default)
    }
}

fn job(name: &str, vertices: Vec<VertexSpec>) -> Job {
    Job {
        name: name.to_owned(),
        failing_vertex: vertices.len().saturating_sub(1),
        vertices,
        batch: false,
        rate: 50,
        records: None,
        fail_at: None,
        failure: Throwable::new(class::ILLEGAL_STATE, "deliberate failure"),
        counts_records: false,
        user_config: IndexMap::new(),
    }
}

/// The two-vertex job of the conformance jar.
pub fn stream() -> Job {
    let source = VertexSpec::new("Source: numbers -> throttle", "numbers");
    let count = VertexSpec::new("count -> out: Writer", "count").fed_by(0, "HASH");
    Job { counts_records: true, ..job("stream", vec![source, count]) }
}

/// The five-vertex job of the conformance jar.
pub fn wide() -> Job {
    let middle = VertexSpec::new("middle", "middle").fed_by(0, "REBALANCE").fed_by(2, "REBALANCE").fixed(1);
    job(
        "wide",
        vec![
            VertexSpec::new("Source: left -> slow left", "left"),
            VertexSpec::new("Source: right", "right"),
            VertexSpec::new("slow right", "slow-right").fed_by(1, "FORWARD"),
            VertexSpec { max_parallelism: Some(8), ..middle },
            VertexSpec::new("tail -> out: Writer", "tail").fed_by(3, "FORWARD").fixed(1),
        ],
    )
}

/// The job of the operator's example resources.
pub fn state_machine() -> Job {
    let source = VertexSpec::new("Source: Events Generator Source", "events");
    let machine = VertexSpec::new("Flat Map -> Sink: Print to Std. Out", "machine").fed_by(0, "HASH");
    job("State machine job", vec![source, machine])
}
