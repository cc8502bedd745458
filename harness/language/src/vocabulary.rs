//! The words of the language as data: every step, fault and world knob is a name with a schema. The checker, the
//! error texts, the JSON Schema, `explain` and the table in docs/scenario-language.md all come from here.
//! `Vocabulary::core()` brings the Kubernetes-shaped words; a harness adds its own with `add`.

mod core;
mod core_faults;
mod describe;
mod json_schema;
mod types;

pub use types::{Key, Rule, Shape, StepKind, StepSchema, Type};

use crate::cel::Environment;
use indexmap::IndexMap;

/// Everything a scenario may say.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    steps: IndexMap<String, StepSchema>,
    kinds: Vec<String>,
    servers: Vec<String>,
    modes: Vec<String>,
    /// How many of them, from the first, a scenario means that does not say.
    usual_modes: usize,
    world: Shape,
    environment: Environment,
}

impl Vocabulary {
    /// Nothing but the structure of the language: `group`, `repeat`, `at`, `use`, `fault`.
    pub fn empty() -> Vocabulary {
        Vocabulary {
            steps: IndexMap::new(),
            kinds: Vec::new(),
            servers: Vec::new(),
            modes: vec!["virtual".to_owned()],
            usual_modes: 1,
            world: Shape::open(),
            environment: Environment::standard(),
        }
    }

    /// The Kubernetes-shaped words: actions on objects, time, assertions, faults of the operator and the API server.
    pub fn core() -> Vocabulary {
        let mut vocabulary = Vocabulary::empty();
        vocabulary.modes = ["virtual", "loopback", "cluster"].map(str::to_owned).to_vec();
        vocabulary.add_kinds(core::KINDS);
        vocabulary.add_servers(["api"]);
        core::steps().into_iter().chain(core_faults::steps()).for_each(|step| vocabulary.add(step));
        vocabulary
    }

    /// Adds a word, or replaces the one of that name.
    pub fn add(&mut self, step: StepSchema) {
        self.steps.insert(step.name.clone(), step);
    }

    /// Adds object kinds that references may name.
    pub fn add_kinds<S: AsRef<str>>(&mut self, kinds: impl IntoIterator<Item = S>) {
        for kind in kinds {
            if !self.kinds.iter().any(|k| k == kind.as_ref()) {
                self.kinds.push(kind.as_ref().to_owned());
            }
        }
        self.kinds.sort();
    }

    /// Adds servers whose calls scenarios may speak of.
    pub fn add_servers<S: AsRef<str>>(&mut self, servers: impl IntoIterator<Item = S>) {
        self.servers.extend(servers.into_iter().map(|server| server.as_ref().to_owned()));
    }

    /// What may stand below `world:`. Open until the harness says.
    pub fn set_world(&mut self, world: Shape) {
        self.world = world;
    }

    /// What may stand in `modes:`; a scenario that does not say runs in the first one.
    pub fn set_modes<S: AsRef<str>>(&mut self, modes: impl IntoIterator<Item = S>) {
        self.modes = modes.into_iter().map(|m| m.as_ref().to_owned()).collect();
    }

    /// A scenario that does not say runs in this many of the modes, from the first on.
    pub fn set_usual_modes(&mut self, count: usize) {
        self.usual_modes = count;
    }

    /// The modes of a scenario that does not say.
    pub fn usual_modes(&self) -> &[String] {
        &self.modes[..self.usual_modes.min(self.modes.len())]
    }

    /// Names and functions of expressions; the harness adds its own.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub fn environment_mut(&mut self) -> &mut Environment {
        &mut self.environment
    }

    pub fn step(&self, name: &str) -> Option<&StepSchema> {
        self.steps.get(name)
    }

    pub fn steps(&self) -> impl Iterator<Item = &StepSchema> {
        self.steps.values()
    }

    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    pub fn modes(&self) -> &[String] {
        &self.modes
    }

    pub fn world(&self) -> &Shape {
        &self.world
    }
}
