//! What was worked out from a text or a spec once: the same input comes back on every pass of a resource that runs.
//!
//! Looking something up gives exactly what working it out gives; forgetting costs time and nothing else. So decisions
//! stay functions of what they are given.

use crate::blueprint::Configs;
use drey_api::{FlinkDeploymentSpec, ReconciledSpec, SpecFormatError};
use drey_blueprint::validate::ValidationError;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of each sort; at this size everything is forgotten. An entry is a few kilobytes.
const ENTRIES_MAX: usize = 4096;

/// Shared by clones.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    specs: HashMap<String, Arc<ReconciledSpec>>,
    configs: HashMap<Named, (Seen, Arc<Configs>)>,
    verdicts: HashMap<Named, (Seen, Verdict)>,
}

/// Namespace and name of a resource.
type Named = (String, String);

/// What a spec is refused with.
pub type Verdict = Option<ValidationError>;

/// All that the configurations of a resource and the verdict on it depend on, besides its name and the operator's own
/// configuration.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub current: &'a FlinkDeploymentSpec,
    pub target: &'a FlinkDeploymentSpec,
    pub deployed: Option<&'a FlinkDeploymentSpec>,
}

/// Inputs of before.
struct Seen {
    current: FlinkDeploymentSpec,
    target: FlinkDeploymentSpec,
    deployed: Option<FlinkDeploymentSpec>,
}

impl Seen {
    fn of(inputs: Inputs<'_>) -> Seen {
        Seen {
            current: inputs.current.clone(),
            target: inputs.target.clone(),
            deployed: inputs.deployed.cloned(),
        }
    }

    fn is(&self, inputs: Inputs<'_>) -> bool {
        self.current == *inputs.current
            && self.target == *inputs.target
            && self.deployed.as_ref() == inputs.deployed
    }
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spec stored as text.
    pub fn spec(&self, text: &str) -> Result<Arc<ReconciledSpec>, SpecFormatError> {
        if let Some(known) = self.lock().specs.get(text) {
            return Ok(known.clone());
        }
        let spec = Arc::new(ReconciledSpec::parse(text)?);
        let specs = &mut self.lock().specs;
        keep(specs, text.to_owned(), spec.clone());
        Ok(spec)
    }

    /// The configurations of the resource `name` in `namespace`.
    pub fn configs(
        &self,
        namespace: &str,
        name: &str,
        inputs: Inputs<'_>,
        work_out: impl FnOnce() -> Configs,
    ) -> Arc<Configs> {
        let key = (namespace.to_owned(), name.to_owned());
        self.remembered(|entries| &mut entries.configs, key, inputs, || Arc::new(work_out()))
    }

    /// What the spec of the resource `name` in `namespace` is refused with.
    pub fn verdict(
        &self,
        namespace: &str,
        name: &str,
        inputs: Inputs<'_>,
        work_out: impl FnOnce() -> Verdict,
    ) -> Verdict {
        let key = (namespace.to_owned(), name.to_owned());
        self.remembered(|entries| &mut entries.verdicts, key, inputs, work_out)
    }

    fn remembered<T: Clone>(
        &self,
        of: fn(&mut Entries) -> &mut HashMap<Named, (Seen, T)>,
        key: Named,
        inputs: Inputs<'_>,
        work_out: impl FnOnce() -> T,
    ) -> T {
        if let Some((seen, value)) = of(&mut self.lock()).get(&key)
            && seen.is(inputs)
        {
            return value.clone();
        }
        let value = work_out();
        keep(of(&mut self.lock()), key, (Seen::of(inputs), value.clone()));
        value
    }
}

fn keep<K: std::hash::Hash + Eq, V>(entries: &mut HashMap<K, V>, key: K, value: V) {
    if entries.len() >= ENTRIES_MAX {
        entries.clear();
    }
    entries.insert(key, value);
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        write!(f, "Known({} specs, {} configurations)", entries.specs.len(), entries.configs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_worked_out_again_and_other_input_is() {
        let known = Known::default();
        let spec = |parallelism: i64| {
            let text = format!(r#"{{"spec":{{"job":{{"parallelism":{parallelism}}}}}}}"#);
            known.spec(&text).expect("a spec").spec.clone()
        };
        let configs = |name: &str, target: i64, task_managers: i64| {
            let (current, target) = (spec(1), spec(target));
            let inputs = Inputs { current: &current, target: &target, deployed: None };
            let work_out = || {
                let mut configs = Configs::default();
                configs.deploy.task_managers = task_managers;
                configs
            };
            known.configs("ns", name, inputs, work_out).deploy.task_managers
        };
        assert_eq!(configs("a", 1, 10), 10);
        assert_eq!(configs("a", 1, 11), 10);
        assert_eq!(configs("a", 2, 12), 12);
        assert_eq!(configs("b", 2, 13), 13);
        let verdict = |deployed: i64, rule: &'static str| {
            let (current, deployed) = (spec(1), spec(deployed));
            let inputs = Inputs { current: &current, target: &current, deployed: Some(&deployed) };
            let refused = || Some(ValidationError { rule, message: String::new() });
            known.verdict("ns", "a", inputs, refused).map(|error| error.rule)
        };
        assert_eq!(verdict(1, "first"), Some("first"));
        assert_eq!(verdict(1, "second"), Some("first"));
        assert_eq!(verdict(2, "third"), Some("third"));
        assert!(known.spec("{").is_err());
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let known = Known::default();
        for i in 0..=ENTRIES_MAX {
            known.spec(&format!(r#"{{"spec":{{"job":{{"parallelism":{i}}}}}}}"#)).expect("a spec");
        }
        assert_eq!(known.lock().specs.len(), 1);
    }
}
