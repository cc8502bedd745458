//! A scenario as the runner sees it: header, and one `Case` per cell of the matrix with every param filled in, every
//! word checked against the vocabulary and every value typed. `parse` is the door.
//! Leaves out: what a step does.

mod args;
mod checker;
mod crds;
mod fragments;
mod header;
mod load;
mod matrix;
mod params;
mod values;

pub use args::{Arg, ArgValue, Count, Manifest, ObjectRef, Step};
pub use load::{fragments_of, parse, parse_with};
pub use matrix::MAX_CASES;

pub(crate) use header::{clock_shape, fragment_shape, scenario_shape};

use crate::source::Span;
use crate::vocabulary::StepKind;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use drey_yaml::API_VERSION;

/// One scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// As it was given to `parse`; shown in messages and replay lines.
    pub path: PathBuf,
    pub metadata: Metadata,
    /// Where the scenario may run; the vocabulary's first mode unless the file says.
    pub modes: Vec<String>,
    /// One per matrix cell, in a fixed order; at least one.
    pub cases: Vec<Case>,
    /// The params the file declares, with their defaults, and where.
    pub declared_params: IndexMap<String, Span>,
    /// Params that some `${params.x}` reads, in this file.
    pub used_params: Vec<String>,
}

impl Scenario {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The case of that name: `upgradeMode=savepoint,flink=1.20`, or `default` without a matrix.
    pub fn case(&self, name: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.name == name)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pub name: String,
    pub tags: Vec<String>,
    /// Issues this scenario is about: `FLINK-35857`.
    pub bugs: Vec<String>,
    pub description: String,
}

/// One cell of the matrix, ready to run.
#[derive(Clone, Debug)]
pub struct Case {
    /// `axis=value,axis=value` in axis order; `default` without a matrix.
    pub name: String,
    pub axes: IndexMap<String, Value>,
    /// Declared params overridden by the axes.
    pub params: IndexMap<String, Value>,
    pub clock: Clock,
    /// CustomResourceDefinitions that the world serves besides its own.
    pub crds: Arc<Vec<Value>>,
    /// Checked against the vocabulary's world shape; an empty map when the file has none.
    pub world: Arg,
    pub monitors: Vec<Step>,
    /// Fragments of the top-level `use:` come first, as steps named `use`.
    pub steps: Vec<Step>,
    /// Run after a failure, to show more.
    pub catch: Vec<Step>,
}

impl Case {
    /// All steps, nested ones after the one that holds them.
    pub fn all_steps(&self) -> Vec<&Step> {
        let mut out = Vec::new();
        let mut todo: Vec<&Step> = self.monitors.iter().chain(&self.steps).chain(&self.catch).rev().collect();
        while let Some(step) = todo.pop() {
            out.push(step);
            todo.extend(step.nested().into_iter().flat_map(|(_, steps)| steps).rev());
        }
        out
    }

    /// The params as one JSON object, the way expressions see them.
    pub fn params_json(&self) -> Value {
        Value::Object(self.params.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// Whether any step, at any depth, is of this kind.
    pub fn has(&self, kind: StepKind) -> bool {
        self.all_steps().iter().any(|step| step.kind == kind)
    }
}

/// Scenario time: where it starts and the most of it that may pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    pub start: Timestamp,
    pub limit: Duration,
}
