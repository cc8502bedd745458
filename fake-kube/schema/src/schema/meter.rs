//! What rules cost when they run: at most a million for one run of a rule, ten million for an object (apiserver
//! pkg/apis/cel: PerCallLimit, RuntimeCELCostBudget; apiextensions-apiserver pkg/apiserver/schema/cel/validation.go).
//!
//! The interpreter counts nothing, so the cost of a run is the estimate of `cost.rs` with the sizes that the object has
//! in place of those its schema allows. It is the cost of a run that nothing cuts short: an `all` that ends at its first
//! element is charged for every one. Objects that the schema keeps within both bounds, the usual case, are not measured.
//! Leaves out: messageExpressions, which are charged nothing.

use std::cell::Cell;

use cel::IdedExpr;
use serde_json::{Map, Value};

use super::cost::{self, Decl, Kind, expression_cost};
use super::node::{Additional, Arena, NodeId, Type};
use super::rules::escape;
use crate::DEPTH_MAX;

const CALL_MAX: u64 = 1_000_000;
const OBJECT_MAX: u64 = 10_000_000;
/// Beyond what a schema that was accepted allows: the size of something was not known.
const UNKNOWN_MIN: u64 = 1 << 40;

/// Whether objects of this schema must be measured.
pub(super) fn is_needed(schema: &Map<String, Value>) -> bool {
    cost::can_exceed(schema, CALL_MAX, OBJECT_MAX)
}

/// The budget of one object.
pub(super) struct Meter {
    left: Cell<u64>,
    is_spent: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Call,
    Object,
}

impl Meter {
    pub(super) fn new() -> Meter {
        Meter { left: Cell::new(OBJECT_MAX), is_spent: Cell::new(false) }
    }

    /// No further rule is run.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.get()
    }

    /// Before any rule of a value.
    pub(super) fn begin(&self) -> Result<(), Exceeded> {
        if self.left.get() == 0 { self.stop(Exceeded::Object) } else { Ok(()) }
    }

    pub(super) fn charge(&self, rule: &IdedExpr, sizes: &Decl) -> Result<(), Exceeded> {
        let cost = expression_cost(rule, sizes);
        let cost = if cost >= UNKNOWN_MIN { 0 } else { cost };
        // A run that is cancelled has cost no more than what it was allowed.
        if cost.min(CALL_MAX) > self.left.get() {
            return self.stop(Exceeded::Object);
        }
        if cost > CALL_MAX {
            return self.stop(Exceeded::Call);
        }
        self.left.set(self.left.get() - cost);
        Ok(())
    }

    fn stop(&self, why: Exceeded) -> Result<(), Exceeded> {
        self.is_spent.set(true);
        Err(why)
    }
}

/// The sizes of a value; of several, the largest of each part.
pub(super) fn sizes(arena: &Arena, id: NodeId, value: &Value) -> Decl {
    measure(arena, Some(id), &[value], 0)
}

fn measure(arena: &Arena, id: Option<NodeId>, values: &[&Value], depth: usize) -> Decl {
    let node = id.map(|id| arena.node(id));
    let longest = || values.iter().filter_map(|v| v.as_str()).map(|s| s.chars().count() as u64).max();
    let most = |count: &dyn Fn(&Value) -> usize| values.iter().map(|v| count(v) as u64).max().unwrap_or(0);
    if depth > DEPTH_MAX {
        return Decl::simple(Kind::Dyn, 0, 1);
    }
    let kind = node.map_or(Type::Any, |n| n.kind);
    match kind {
        Type::Integer | Type::Number | Type::Boolean => Decl::simple(Kind::Scalar, 1, 1),
        Type::IntOrString | Type::Any => Decl::simple(Kind::Dyn, longest().unwrap_or(1), 1),
        Type::String => {
            let format = node.and_then(|n| n.checks.as_ref()?.format.as_deref());
            match format {
                Some("date" | "date-time" | "duration") => Decl::simple(Kind::Scalar, 1, 1),
                Some("byte") => Decl::simple(Kind::Bytes, longest().unwrap_or(0), 2),
                _ => Decl::simple(Kind::String, longest().unwrap_or(0), 2),
            }
        }
        Type::Array => {
            let items: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
            let element = measure(arena, node.and_then(|n| n.items), &items, depth + 1);
            let longest = most(&|v| v.as_array().map_or(0, Vec::len));
            Decl { element: Some(Box::new(element)), ..Decl::simple(Kind::List, longest, 2) }
        }
        Type::Object => {
            if let Some(Additional::Schema(child)) = node.map(|n| n.additional) {
                let members: Vec<&Value> =
                    values.iter().filter_map(|v| v.as_object()).flat_map(|o| o.values()).collect();
                let element = measure(arena, Some(child), &members, depth + 1);
                let largest = most(&|v| v.as_object().map_or(0, Map::len));
                return Decl { element: Some(Box::new(element)), ..Decl::simple(Kind::Map, largest, 2) };
            }
            let mut out = Decl::simple(Kind::Object, 0, 2);
            for (key, child) in node.into_iter().flat_map(|n| &n.properties) {
                let members: Vec<&Value> = values.iter().filter_map(|v| v.get(key)).collect();
                out.fields.insert(escape(key), measure(arena, Some(*child), &members, depth + 1));
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Schema;

    /// Every pair of an array, as a rule: its cost grows with the square of the length.
    fn pairs(rules: usize) -> Schema {
        let rule = json!({"rule": "self.all(x, self.all(y, x <= y || x > y))", "message": "pairs"});
        let rules: Vec<Value> = (0..rules).map(|_| rule.clone()).collect();
        let list = json!({"type": "array", "maxItems": 700, "items": {"type": "integer"}, "x-kubernetes-validations": rules});
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a": list, "b": {"type": "string", "x-kubernetes-validations": [{"rule": "self == \"x\""}]}}}}});
        Schema::from_crd(&schema).expect("below what a schema may cost")
    }

    fn said(rules: usize, length: usize) -> Vec<String> {
        let object = json!({"spec": {"a": (0..length).collect::<Vec<_>>(), "b": "y"}});
        pairs(rules).validate(&object, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_run_of_a_rule_may_cost_a_million() {
        assert_eq!(said(1, 200), ["spec.b: Invalid value: \"y\": failed rule: self == \"x\""]);
        assert_eq!(
            said(1, 700),
            [
                "spec.a: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further \
              validation rules will be run due to call cost exceeds limit for rule: pairs"
            ]
        );
    }

    #[test]
    fn the_rules_of_an_object_may_cost_ten_million() {
        assert_eq!(
            said(20, 330),
            [
                "spec.a: Invalid value: \"array\": validation failed due to running out of cost budget, no further \
              validation rules will be run"
            ]
        );
    }
}
