//! What rules cost when they run: at most a million for one run of a rule, ten million for an object (apiserver
//! pkg/apis/cel: PerCallLimit, RuntimeCELCostBudget; apiextensions-apiserver pkg/apiserver/schema/cel/validation.go).
//!
//! What one run costs is counted by `run_cost.rs`. Objects that the schema keeps well within both bounds by the estimate
//! of `cost.rs`, the usual case, are not measured.

use std::cell::Cell;

use cel::{Context, IdedExpr};
use serde_json::{Map, Value};

use super::node::{Arena, NodeId};
use super::{cost, run_cost};

const CALL_MAX: u64 = 1_000_000;
const OBJECT_MAX: u64 = 10_000_000;
/// The estimate takes some operations for cheaper than they turn out to be, by less than this factor.
const MARGIN: u64 = 4;

/// Whether objects of this schema must be measured.
pub(super) fn is_needed(schema: &Map<String, Value>) -> bool {
    cost::can_exceed(schema, CALL_MAX / MARGIN, OBJECT_MAX / MARGIN)
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

    /// One run of an expression over a value of this schema.
    pub(super) fn charge(
        &self,
        expression: &IdedExpr,
        context: &Context<'_>,
        arena: &Arena,
        node: NodeId,
    ) -> Result<(), Exceeded> {
        // A run that goes on beyond what one is allowed is cancelled there.
        let cost = run_cost::of_run(expression, context, arena, node, CALL_MAX);
        if cost > self.left.get() {
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
