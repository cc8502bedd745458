//! What the objects of a walk hold: values that fit the schemas of the fixtures, and now and then one that does not.

use serde_json::{Map, Value, json};

use super::chance::Chance;
use super::walk::{Target, Walk};

impl Walk {
    pub(super) fn metadata(&mut self, object: &mut Map<String, Value>) {
        let meta = &mut object["metadata"];
        if self.rng.rarely(3) {
            meta["labels"] = json!({"app": self.rng.one(&["x", "y", "x y"]), "b": self.rng.one(&["1", ""])});
        }
        if self.rng.rarely(5) {
            meta["annotations"] = json!({self.rng.one(&["a/b", "note"]): "n"});
        }
        if self.rng.rarely(12) {
            meta["finalizers"] = json!([self.rng.one(&["t.example.com/f", "bad finalizer", "plain"])]);
        }
        if self.rng.rarely(25) {
            meta["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}]);
        }
        if self.rng.rarely(40) {
            meta["strange"] = json!(1);
        }
    }

    pub(super) fn metadata_change(&mut self, t: &Target) -> Value {
        let short = t.name.rsplit('-').next().unwrap_or("a");
        match self.rng.u32(..6) {
            0 => json!({"labels": {"app": null}}),
            1 => json!({"labels": {"app": self.rng.one(&["x", "y"]), "c": "d"}}),
            2 => {
                json!({"finalizers": self.rng.one(&[&[][..], &["t.example.com/f"][..], &["t.example.com/f", "t.example.com/g"][..]])})
            }
            3 => json!({"resourceVersion": format!("{{{{rv-{short}}}}}")}),
            4 => json!({"annotations": {"note": self.rng.one(&["one", "two"]), "a/b": null}}),
            _ => json!({"name": "other"}),
        }
    }

    pub(super) fn fill(&mut self, t: &Target, object: &mut Map<String, Value>) {
        if self.rng.rarely(15) {
            return;
        }
        let mut spec = self.spec(t);
        if t.kind == "Widget" && !self.rng.rarely(8) {
            spec.insert("size".to_owned(), json!(self.rng.i32(1..20)));
        }
        object.insert("spec".to_owned(), Value::Object(spec));
        if self.rng.rarely(25) {
            object.insert("surplus".to_owned(), json!({"a": 1}));
        }
    }

    pub(super) fn spec(&mut self, t: &Target) -> Map<String, Value> {
        if t.kind == "Widget" {
            return self.widget_spec();
        }
        let mut spec = Map::new();
        spec.insert(
            "a".to_owned(),
            self.rng.one(&[json!("x"), json!("y"), json!(1), Value::Null].each_ref()).clone(),
        );
        if self.rng.bool() {
            spec.insert(
                "b".to_owned(),
                self.rng.one(&[json!(1), json!(2), json!("s"), json!({"c": 1})].each_ref()).clone(),
            );
        }
        spec
    }

    /// One to four members; about one in four values breaks a rule of the schema.
    pub(super) fn widget_spec(&mut self) -> Map<String, Value> {
        let mut spec = Map::new();
        for _ in 0..self.rng.usize(1..5) {
            let (key, value) = self.member();
            spec.insert(key.to_owned(), value);
        }
        spec
    }

    pub(super) fn member(&mut self) -> (&'static str, Value) {
        match self.rng.u32(..22) {
            0 => ("size", self.value(&[json!(3), json!(7), json!(0), json!(101), json!("3"), json!(2.5)])),
            1 => ("minSize", self.value(&[json!(1), json!(5), json!(50), Value::Null])),
            2 => ("replicas", self.value(&[json!(2), json!(0), json!(-1), Value::Null])),
            3 => ("color", self.value(&[json!("red"), json!("black"), json!("banned"), json!(3)])),
            4 => ("mode", self.value(&[json!("fast"), json!("slow"), json!("warp"), Value::Null])),
            5 => ("code", self.value(&[json!("abc"), json!("a"), json!("ABC"), json!("abcdefg")])),
            6 => ("ratio", self.value(&[json!(0.5), json!(2), json!(0), json!(0.3), json!(-1.5)])),
            7 => ("enabled", self.value(&[json!(true), json!(false), json!("true")])),
            8 => ("when", self.value(&[json!("2024-01-02T03:04:05Z"), json!("2024-01-02"), json!("soon")])),
            9 => ("period", self.value(&[json!("5m"), json!("1h30m"), json!("5 minutes"), json!("")])),
            10 => ("port", self.value(&[json!(80), json!("http"), json!(1.5), json!(true)])),
            11 => ("maybe", self.value(&[json!("m"), Value::Null, json!(1)])),
            12 => ("fixed", self.value(&[json!("one"), json!("two")])),
            13 | 14 => ("items", Value::Array((0..self.rng.usize(0..4)).map(|_| self.item()).collect())),
            15 => ("tags", self.value(&[json!(["x", "y"]), json!(["y"]), json!(["x", "x"]), json!([1])])),
            16 => ("plain", self.value(&[json!([{"a": 1}, {"a": 1}]), json!([{"b": 2}]), json!([]), json!([{"a": "s"}])])),
            17 => ("options", self.value(&[json!({"p": "1"}), json!({"q": "2", "r": "3"}), json!({"a": "", "b": "", "c": "", "d": ""}), json!({"p": 1})])),
            18 => ("nested", self.value(&[json!({}), json!({"b": "n"}), json!({"a": "m"}), json!({"c": 1}), Value::Null])),
            19 => ("single", self.value(&[json!({"a": "1"}), json!({"b": "2"}), json!({"a": "1", "b": "2"})])),
            20 => ("extra", self.value(&[json!({"known": 1, "x": {"y": [1]}}), json!({"known": "s"}), json!({"z": null})])),
            _ => match self.rng.u32(..3) {
                0 => ("choice", self.value(&[json!({"a": "1"}), json!({"b": "1"}), json!({"a": "1", "b": "1"}), json!({})])),
                1 => ("template", self.value(&[
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"x": "y"}}, "any": 1}),
                    json!({"kind": "Pod"}),
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"strange": 1}}),
                ])),
                _ => ("unknown", json!({"deep": [1, 2]})),
            },
        }
    }

    pub(super) fn value(&mut self, of: &[Value]) -> Value {
        // The first ones are good: they come twice as often.
        let at = self.rng.usize(..of.len()).min(self.rng.usize(..of.len()));
        of[at].clone()
    }

    pub(super) fn item(&mut self) -> Value {
        let mut item = json!({"name": self.rng.one(&["i", "j", "k"])});
        if self.rng.bool() {
            item["value"] = json!(self.rng.one(&["1", "2"]));
        }
        if self.rng.rarely(3) {
            item["weight"] = self.value(&[json!(1), json!(5), json!("w")]);
        }
        if self.rng.rarely(20) {
            item = json!({"value": "nameless"});
        }
        item
    }

    pub(super) fn status(&mut self) -> Value {
        let condition = |w: &mut Walk| json!({"type": w.rng.one(&["Ready", "Done"]), "status": w.rng.one(&["True", "False"])});
        match self.rng.u32(..5) {
            0 => json!({"phase": self.rng.one(&["Up", "Down"])}),
            1 => json!({"conditions": [condition(self)]}),
            2 => json!({"conditions": [condition(self), condition(self)]}),
            3 => json!({"replicas": self.rng.i32(0..4), "selector": "app=x"}),
            _ => json!({"phase": 1, "observedGeneration": 1, "strange": true}),
        }
    }
}
