//! JSON Schema (draft 2020-12) of scenario and fragment files, for completion and checks in editors. Every scalar
//! that is not text also admits `${params.x}`. The parser stays the judge: what a schema cannot say (exactly one word
//! per step with its own arguments, expressions, files) it says loosely.

use super::{Rule, Shape, StepKind, StepSchema, Type, Vocabulary};
use crate::scenario::{fragment_shape, scenario_shape};
use serde_json::{Map, Value, json};

impl Vocabulary {
    /// The schema of scenario files.
    pub fn json_schema(&self) -> Value {
        self.document("Scenario", self.top_level(&scenario_shape()))
    }

    /// The schema of fragment files.
    pub fn fragment_json_schema(&self) -> Value {
        self.document("Fragment", self.top_level(&fragment_shape()))
    }

    fn document(&self, title: &str, mut root: Value) -> Value {
        let step = self.step_schema(|_| true);
        let monitor = self.step_schema(|kind| kind == StepKind::Monitor);
        root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        root["title"] = json!(title);
        root["$defs"] = json!({"step": step, "monitor": monitor, "param": PARAM.clone()});
        root
    }

    fn top_level(&self, shape: &Shape) -> Value {
        let mut schema = self.shape(shape);
        let list = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/$defs/{name}")}});
        let properties = &mut schema["properties"];
        let mut refine = |key: &str, refined: Value| {
            if let Some(slot) = properties.get_mut(key) {
                let doc = slot.get("description").cloned().unwrap_or_default();
                *slot = refined;
                slot["description"] = doc;
            }
        };
        refine("steps", list("step"));
        refine("catch", list("step"));
        refine("monitors", list("monitor"));
        refine("modes", json!({"type": "array", "items": {"enum": self.modes()}}));
        refine("clock", self.shape(&crate::scenario::clock_shape()));
        refine("world", self.shape(self.world()));
        if let Some(StepSchema { args, .. }) = self.step("use") {
            refine("use", json!({"type": "array", "items": self.ty(args)}));
        }
        schema
    }

    fn step_schema(&self, admits: impl Fn(StepKind) -> bool) -> Value {
        let mut properties = Map::new();
        let words: Vec<&StepSchema> = self.steps().filter(|s| admits(s.kind)).collect();
        for step in &words {
            let mut schema = self.ty(&step.args);
            schema["description"] = json!(format!("{}\n\n- {}", step.doc, step.example));
            properties.insert(step.name.clone(), schema);
        }
        properties
            .insert("name".to_owned(), json!({"type": "string", "description": "how reports call the step"}));
        let doc = "reported as skipped outside virtual time";
        properties.insert("virtualOnly".to_owned(), json!({"type": "boolean", "description": doc}));
        let one: Vec<Value> = words.iter().map(|step| json!({"required": [step.name]})).collect();
        json!({"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one})
    }

    fn shape(&self, shape: &Shape) -> Value {
        let mut properties = Map::new();
        for key in &shape.keys {
            let mut schema = self.ty(&key.ty);
            schema["description"] = json!(key.doc);
            properties.insert(key.name.clone(), schema);
        }
        let required: Vec<&str> = shape.keys.iter().filter(|k| k.required).map(|k| k.name.as_str()).collect();
        let mut schema =
            json!({"type": ["object", "null"], "properties": properties, "additionalProperties": shape.open});
        if !required.is_empty() {
            // Nothing can be missing from a null: where keys are required, the map is.
            schema["type"] = json!("object");
            schema["required"] = json!(required);
        }
        if !shape.rules.is_empty() {
            schema["allOf"] = shape.rules.iter().map(rule).collect();
        }
        schema
    }

    fn ty(&self, ty: &Type) -> Value {
        match ty {
            Type::Any | Type::Tree => json!({}),
            Type::Text | Type::Cel | Type::Manifest | Type::File => json!({"type": "string"}),
            Type::Bool => or_param(json!({"type": "boolean"})),
            Type::Int { min, max } => or_param(json!({"type": "integer", "minimum": min, "maximum": max})),
            Type::Number { min, max } => or_param(json!({"type": "number", "minimum": min, "maximum": max})),
            Type::Scalar => json!({"type": ["string", "number", "boolean"]}),
            Type::Duration => or_param(json!({"type": "string", "pattern": duration_pattern("")})),
            Type::SignedDuration => or_param(json!({"type": "string", "pattern": duration_pattern("-?")})),
            Type::ClockTime => {
                or_param(json!({"type": "string", "pattern": "^[0-9]{2,4}:[0-5][0-9]:[0-5][0-9]$"}))
            }
            Type::Timestamp => or_param(json!({"type": "string", "format": "date-time"})),
            Type::Enum(words) => or_param(json!({"enum": words})),
            Type::Ref { .. } => {
                or_param(json!({"type": "string", "pattern": "^([^:/]+:)?[A-Z][A-Za-z0-9]*(\\.[^/]+)?/.+$"}))
            }
            Type::Kind => or_param(json!({"enum": self.kinds()})),
            Type::Server => or_param(json!({"enum": self.servers()})),
            Type::FieldPath => json!({"type": "string"}),
            Type::Object => json!({"type": "object"}),
            Type::Count => {
                let natural = json!({"type": "integer", "minimum": 0});
                let range = json!({"type": "object", "properties": {"min": natural, "max": natural}, "additionalProperties": false});
                or_param(json!({"anyOf": [natural, range]}))
            }
            Type::Map(value) => json!({"type": "object", "additionalProperties": self.ty(value)}),
            Type::List(item) => json!({"type": "array", "items": self.ty(item)}),
            Type::Shape(shape) => self.shape(shape),
            Type::OneOf(types) => match types.as_slice() {
                [one] => self.ty(one),
                several => json!({"anyOf": several.iter().map(|ty| self.ty(ty)).collect::<Vec<_>>()}),
            },
            Type::Steps => json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/step"}}),
        }
    }
}

static PARAM: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| json!({"type": "string", "pattern": "\\$\\{params\\.[^}]+\\}"}));

fn or_param(schema: Value) -> Value {
    json!({"anyOf": [schema, {"$ref": "#/$defs/param"}]})
}

fn duration_pattern(sign: &str) -> String {
    format!("^{sign}(?=.)([0-9]+ ?d ?)?([0-9]+ ?h ?)?([0-9]+ ?m ?)?([0-9]+ ?s ?)?([0-9]+ ?ms)?$")
}

fn rule(rule: &Rule) -> Value {
    let each: Vec<Value> = rule.keys().iter().map(|key| json!({"required": [key]})).collect();
    match rule {
        Rule::ExactlyOne(_) => json!({"oneOf": each}),
        Rule::AtLeastOne(_) => json!({"anyOf": each}),
        Rule::AtMostOne(keys) => {
            let pairs = keys
                .iter()
                .enumerate()
                .flat_map(|(i, a)| keys[i + 1..].iter().map(move |b| json!({"required": [a, b]})));
            json!({"not": {"anyOf": pairs.collect::<Vec<_>>()}})
        }
    }
}
