//! How a session began, in the words of a scenario file: checked steps written out again.

use std::time::Duration;

use drey_language::duration;
use drey_language::scenario::{Arg, ArgValue, Case, Count, Step};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// The part of the file before what was done by hand.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    pub name: String,
    pub description: String,
    pub seed: u64,
    /// When scenario time began, RFC 3339.
    pub start: String,
    pub limit: Duration,
    pub params: IndexMap<String, Value>,
    pub world: Value,
    pub monitors: Vec<Value>,
    pub steps: Vec<Value>,
    /// World time at which these steps had ended.
    pub ended: Duration,
}

impl Beginning {
    /// Of a case whose first `steps` were played.
    pub fn of(name: &str, case: &Case, steps: usize, seed: u64) -> Beginning {
        Beginning {
            name: name.to_owned(),
            description: String::new(),
            seed,
            start: case.clock.start.to_string(),
            limit: case.clock.limit,
            params: case.params.clone(),
            world: case.world.to_json(),
            monitors: steps_of(&case.monitors),
            steps: steps_of(&case.steps[..steps.min(case.steps.len())]),
            ended: Duration::ZERO,
        }
    }

    pub(crate) fn header(&self) -> Map<String, Value> {
        let mut file = Map::new();
        file.insert("apiVersion".to_owned(), json!(drey_language::scenario::API_VERSION));
        file.insert("kind".to_owned(), json!("Scenario"));
        let mut metadata = json!({"name": self.name, "tags": ["recorded"]});
        if !self.description.is_empty() {
            metadata["description"] = json!(self.description);
        }
        file.insert("metadata".to_owned(), metadata);
        file.insert("clock".to_owned(), json!({"start": self.start, "limit": duration::format(self.limit)}));
        let params: Map<String, Value> =
            self.params.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in [("params", Value::Object(params)), ("world", self.world.clone())] {
            if value.as_object().is_some_and(|map| !map.is_empty()) {
                file.insert(key.to_owned(), value);
            }
        }
        if !self.monitors.is_empty() {
            file.insert("monitors".to_owned(), json!(self.monitors));
        }
        file
    }
}

/// Steps as they would be written by hand; files with objects are written out, since the new file lies elsewhere.
pub fn steps_of(steps: &[Step]) -> Vec<Value> {
    steps.iter().flat_map(step).collect()
}

fn step(step: &Step) -> Vec<Value> {
    // A fragment is what it holds.
    if step.name == "use" {
        return step.nested().into_iter().flat_map(|(_, steps)| steps_of(steps)).collect();
    }
    if let Some(manifest) = step.args.opt_manifest("file") {
        let with = |object: &Value| {
            let mut args = Map::from_iter([("object".to_owned(), object.clone())]);
            let rest = step.args.entries().into_iter().flatten().filter(|(key, _)| *key != "file");
            args.extend(rest.map(|(key, arg)| (key.clone(), value(arg))));
            labelled(step, Value::Object(args))
        };
        return manifest.objects.iter().map(with).collect();
    }
    vec![labelled(step, value(&step.args))]
}

fn labelled(step: &Step, args: Value) -> Value {
    let mut out = Map::from_iter([(step.name.clone(), args)]);
    if let Some(label) = &step.label {
        out.insert("name".to_owned(), json!(label));
    }
    if step.virtual_only {
        out.insert("virtualOnly".to_owned(), json!(true));
    }
    Value::Object(out)
}

fn value(arg: &Arg) -> Value {
    match &arg.value {
        ArgValue::Steps(steps) => json!(steps_of(steps)),
        ArgValue::List(items) => items.iter().map(value).collect(),
        ArgValue::Map(map) => Value::Object(map.iter().map(|(key, arg)| (key.clone(), value(arg))).collect()),
        ArgValue::Count(Count { min, max: Some(max) }) if min == max => json!(min),
        ArgValue::Count(Count { min, max: Some(max) }) => json!({"min": min, "max": max}),
        ArgValue::Count(Count { min, max: None }) => json!({"min": min}),
        ArgValue::ClockTime(time) => json!(duration::format_clock(*time)),
        _ => arg.to_json(),
    }
}
