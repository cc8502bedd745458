//! `x-kubernetes-validations`: compiling and evaluating CEL rules over an object.
//!
//! The `cel` crate interprets, `kube-cel` adds the Kubernetes functions, this file does what surrounds them: which
//! rules run, with what variables, and how a failure is worded (reference 2.9; cases crv-cel*, crv-ratchet).
//! What rules may cost is estimated beforehand (`cost.rs`) and, where an object can be too expensive, for that object
//! (`meter.rs`).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::common::ast::{EntryExpr, Expr};
use cel::objects::{Key, Map, OptionalValue};
use cel::parser::Expression;
use cel::parser::Parser;
use cel::{Context, ExecutionError, Value as Cel};
use kube_cel::KubeCelExt;
use serde_json::Value;

use super::formats;
use super::listtype::correlate;
use super::meter::{Exceeded, Meter};
use super::node::{Additional, Arena, Node, NodeId, Type};
use super::path::Path;
use crate::DEPTH_MAX;
use crate::cause::{Cause, Reason};
use crate::equal::equal_members;
use crate::text::go_quote;

/// Longer expressions are refused at CRD creation instead of being handed to the parser.
pub(crate) const EXPRESSION_LENGTH_MAX: usize = 16 * 1024;

/// Longer texts of a messageExpression do not count (apiserver pkg/apis/cel: MaxEvaluatedMessageExpressionSizeBytes).
const MESSAGE_LENGTH_MAX: usize = 5 * 1024;

/// One rule of a schema node, compiled on first use.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) rule: String,
    pub(crate) message: Option<String>,
    pub(crate) message_expression: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) field_path: Option<String>,
    pub(crate) optional_old_self: bool,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    rule: Result<Expression, String>,
    message: Option<Expression>,
    transition: bool,
}

impl Rule {
    pub(crate) fn parse(document: &Value) -> Option<Rule> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_string);
        Some(Rule {
            rule: text("rule")?,
            message: text("message").filter(|m| !m.is_empty()),
            message_expression: text("messageExpression").filter(|m| !m.is_empty()),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old_self: document.get("optionalOldSelf").and_then(Value::as_bool) == Some(true),
            compiled: OnceLock::new(),
        })
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let rule = parse(&self.rule);
            let transition = rule.as_ref().is_ok_and(|e| e.references().has_variable("oldSelf"));
            let message = self.message_expression.as_deref().and_then(|m| parse(m).ok());
            Compiled { rule, message, transition }
        })
    }

    /// Why the rule does not compile, if it does not.
    pub(crate) fn compile_error(&self) -> Option<&str> {
        self.compiled().rule.as_ref().err().map(String::as_str)
    }

    /// How errors other than its failure name it.
    fn named(&self) -> &str {
        self.message.as_deref().unwrap_or(&self.rule).trim()
    }

    /// A failed rule's sentence when no messageExpression gives a better one.
    fn plain_message(&self) -> String {
        match &self.message {
            Some(message) => message.clone(),
            None => format!("failed rule: {}", self.rule.trim()),
        }
    }
}

pub(crate) fn parse(source: &str) -> Result<Expression, String> {
    if source.len() > EXPRESSION_LENGTH_MAX {
        return Err(format!("expression is longer than {EXPRESSION_LENGTH_MAX} bytes"));
    }
    let expression =
        Parser::default().enable_optional_syntax(true).parse(source).map_err(|e| e.to_string())?;
    // There are no message types in Kubernetes' CEL, and the interpreter has no answer to them.
    match message_type(&expression) {
        Some(name) => Err(format!("undeclared reference to '{name}' (in container '')")),
        None => Ok(expression),
    }
}

/// A type of which the expression makes a message: `Name{field: 1}`.
fn message_type(expression: &Expression) -> Option<&str> {
    match &expression.expr {
        Expr::Struct(made) => Some(&made.type_name),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => None,
        Expr::Select(select) => message_type(&select.operand),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).find_map(message_type),
        Expr::List(list) => list.elements.iter().find_map(message_type),
        Expr::Map(map) => map.entries.iter().find_map(|e| match &e.expr {
            EntryExpr::MapEntry(entry) => message_type(&entry.key).or_else(|| message_type(&entry.value)),
            EntryExpr::StructField(field) => message_type(&field.value),
        }),
        Expr::Comprehension(c) => [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
            .into_iter()
            .find_map(message_type),
    }
}

/// What evaluating all rules found.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) errors: Vec<Cause>,
    /// Failures of rules over unchanged values: shown as warnings only.
    pub(crate) ratcheted: Vec<Cause>,
}

pub(crate) fn check(arena: &Arena, new: &Value, old: Option<&Value>, is_metered: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let meter = is_metered.then(Meter::new);
    with_library(|base| {
        Rules { arena, base, meter }.value(arena.root, new, old, &Path::Root, &mut outcome, 0)
    });
    outcome
}

/// Hands out a context that knows all functions.
pub(crate) fn with_library<T>(f: impl FnOnce(&Context<'static>) -> T) -> T {
    thread_local! {
        // Registering the function library costs more than evaluating a rule, so it is done once per thread.
        static BASE: Context<'static> = Context::default().with_all();
    }
    BASE.with(f)
}

/// A JSON value as CEL sees it where no schema types it.
pub(crate) fn untyped(value: &Value) -> Cel {
    // Without a node the arena is not looked at.
    convert(&Arena::default(), None, value, 0)
}

struct Rules<'a> {
    arena: &'a Arena,
    base: &'a Context<'static>,
    meter: Option<Meter>,
}

impl Rules<'_> {
    fn value(
        &self,
        id: NodeId,
        new: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        outcome: &mut Outcome,
        depth: usize,
    ) {
        let is_spent = self.meter.as_ref().is_some_and(Meter::is_spent);
        if is_spent || !self.arena.rules_below[id as usize] || depth > DEPTH_MAX || new.is_null() {
            return;
        }
        let node = self.arena.node(id);
        if !node.rules.is_empty() {
            self.node(id, node, new, old, path, outcome);
        }
        match new {
            Value::Object(map) => {
                for (key, member) in map {
                    if let Some(child) = node.member(key) {
                        let before = old.and_then(|o| o.get(key));
                        self.value(child, member, before, &node.path_of(path, key), outcome, depth + 1);
                    }
                }
            }
            Value::Array(items) => {
                let Some(child) = node.items else { return };
                for (i, item) in items.iter().enumerate() {
                    let before = correlate(&node.list, item, old);
                    self.value(child, item, before, &path.index(i), outcome, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn node(
        &self,
        id: NodeId,
        node: &Node,
        new: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        outcome: &mut Outcome,
    ) {
        let old = old.filter(|o| !o.is_null());
        let unchanged = equal_members(old, Some(new));
        let mut context = self.base.new_inner_scope();
        context.add_variable_from_value("self", to_cel(self.arena, id, new));
        let mut bound_old = None;
        if let Some(Err(why)) = self.meter.as_ref().map(Meter::begin) {
            outcome.errors.push(too_expensive(why, node, None, path));
            return;
        }
        for rule in &node.rules {
            let compiled = rule.compiled();
            if compiled.transition {
                if old.is_none() && !rule.optional_old_self {
                    continue;
                }
                if bound_old != Some(rule.optional_old_self) {
                    let value = old.map(|o| to_cel(self.arena, id, o));
                    context.add_variable_from_value("oldSelf", old_self(value, rule.optional_old_self));
                    bound_old = Some(rule.optional_old_self);
                }
            }
            if let (Some(meter), Ok(expression)) = (&self.meter, &compiled.rule)
                && let Err(why) = meter.charge(expression, &context, self.arena, id)
            {
                outcome.errors.push(too_expensive(why, node, Some(rule), path));
                return;
            }
            let Some(cause) = self.evaluate(rule, compiled, &context, (id, node), new, path) else {
                continue;
            };
            if unchanged && !compiled.transition {
                outcome.ratcheted.push(cause);
            } else {
                outcome.errors.push(cause);
            }
            if self.meter.as_ref().is_some_and(Meter::is_spent) {
                return;
            }
        }
    }

    fn evaluate(
        &self,
        rule: &Rule,
        compiled: &Compiled,
        context: &Context<'_>,
        (id, node): (NodeId, &Node),
        new: &Value,
        path: &Path<'_>,
    ) -> Option<Cause> {
        let field = match &rule.field_path {
            Some(below) if path.field() == "<nil>" => below.trim_start_matches('.').to_string(),
            Some(below) if below.starts_with(['.', '[']) => format!("{path}{below}"),
            Some(below) => format!("{path}.{below}"),
            None => path.field(),
        };
        let expression = match &compiled.rule {
            Ok(expression) => expression,
            Err(error) => {
                let text = format!("rule compile error: {error}");
                return Some(Cause::invalid_without_value(path.field(), &text));
            }
        };
        match context.resolve(expression) {
            Ok(Cel::Bool(true)) => None,
            Ok(Cel::Bool(false)) => {
                if let (Some(meter), Some(message)) = (&self.meter, &compiled.message)
                    && let Err(why) = meter.charge(message, context, self.arena, id)
                {
                    let text = wordless(why, rule.message_expression.as_deref().unwrap_or_default());
                    return Some(Cause::invalid(field, &Value::from(node.kind.name()), &text));
                }
                let message = compiled.message.as_ref().and_then(|m| message_of(context.resolve(m).ok()?));
                let message = message.unwrap_or_else(|| rule.plain_message());
                Some(failure(rule.reason.as_deref(), field, new, &message))
            }
            Ok(_) => {
                Some(Cause::internal(path.field(), &format!("rule did not return a bool: {}", rule.rule)))
            }
            Err(error) => {
                let value = Value::from(node.kind.name());
                Some(Cause::invalid(path.field(), &value, &run_error(&error, rule.named())))
            }
        }
    }
}

fn old_self(value: Option<Cel>, optional: bool) -> Cel {
    match (value, optional) {
        (Some(value), true) => Cel::Opaque(Arc::new(OptionalValue::of(value))),
        (None, true) => Cel::Opaque(Arc::new(OptionalValue::none())),
        (Some(value), false) => value,
        (None, false) => Cel::Null,
    }
}

fn too_expensive(why: Exceeded, node: &Node, rule: Option<&Rule>, path: &Path<'_>) -> Cause {
    let text = match (why, rule) {
        (Exceeded::Call, Some(rule)) => format!(
            "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call \
             cost exceeds limit for rule: {}",
            rule.named()
        ),
        _ => "validation failed due to running out of cost budget, no further validation rules will be run"
            .to_owned(),
    };
    Cause::invalid(path.field(), &Value::from(node.kind.name()), &text)
}

/// A message that would have been too expensive.
fn wordless(why: Exceeded, expression: &str) -> String {
    match why {
        Exceeded::Call => format!(
            "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
            go_quote(expression)
        ),
        Exceeded::Object => {
            "messageExpression evaluation failed due to running out of cost budget, no further \
                             validation rules will be run"
                .to_owned()
        }
    }
}

/// What a run that failed is worded as (cel-go's errors; validation.go names the rule).
fn run_error(error: &ExecutionError, rule: &str) -> String {
    let said = match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(Cel::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::NoSuchOverload | ExecutionError::UnsupportedBinaryOperator(..) => {
            return format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature \
                 for rule: {rule}"
            );
        }
        other => other.to_string(),
    };
    format!("{said} evaluating rule: {rule}")
}

/// A messageExpression counts only if it gives one non-empty line that is not too long.
fn message_of(value: Cel) -> Option<String> {
    let Cel::String(said) = value else { return None };
    let said = said.trim();
    let counts = !said.is_empty() && !said.contains('\n') && said.len() <= MESSAGE_LENGTH_MAX;
    counts.then(|| said.to_owned())
}

fn failure(reason: Option<&str>, field: String, value: &Value, message: &str) -> Cause {
    match reason {
        Some("FieldValueForbidden") => Cause::forbidden(field, message),
        Some("FieldValueRequired") => Cause::required(field, message),
        Some("FieldValueDuplicate") => {
            let message = "Duplicate value".to_string();
            let shown = Cause { field, reason: Reason::Duplicate, message };
            if is_scalar(value) { Cause::duplicate(shown.field, value) } else { shown }
        }
        _ if is_scalar(value) => Cause::invalid(field, value, message),
        _ => Cause::invalid_without_value(field, message),
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// A JSON value as CEL sees it under its schema: declared members have escaped names, formatted strings are times,
/// durations and bytes, numbers of type `number` are doubles.
pub(super) fn to_cel(arena: &Arena, id: NodeId, value: &Value) -> Cel {
    convert(arena, Some(id), value, 0)
}

fn convert(arena: &Arena, id: Option<NodeId>, value: &Value, depth: usize) -> Cel {
    if depth > DEPTH_MAX {
        return Cel::Null;
    }
    let node = id.map(|id| arena.node(id));
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => {
            let double = node.is_some_and(|n| n.kind == Type::Number);
            match (n.as_i64(), n.as_f64()) {
                (Some(i), _) if !double => Cel::Int(i),
                (_, Some(f)) if !double && f.fract() == 0.0 && f.abs() < 9e15 => Cel::Int(f as i64),
                (_, f) => Cel::Float(f.unwrap_or(f64::NAN)),
            }
        }
        Value::String(s) => {
            let format =
                node.filter(|n| n.kind == Type::String).and_then(|n| n.checks.as_ref()?.format.as_deref());
            formatted(format, s).unwrap_or_else(|| Cel::String(Arc::new(s.clone())))
        }
        Value::Array(items) => {
            let child = node.and_then(|n| n.items);
            Cel::List(Arc::new(items.iter().map(|i| convert(arena, child, i, depth + 1)).collect()))
        }
        Value::Object(map) => {
            let additional = match node.map(|n| n.additional) {
                Some(Additional::Schema(id)) => Some(id),
                _ => None,
            };
            let mut out = HashMap::with_capacity(map.len());
            for (key, member) in map {
                let declared = node.and_then(|n| n.properties.get(key).copied());
                // Keys of maps stay as they are, names of properties are escaped to be identifiers.
                let name = if declared.is_some() { escape(key) } else { key.clone() };
                out.insert(
                    Key::String(Arc::new(name)),
                    convert(arena, declared.or(additional), member, depth + 1),
                );
            }
            Cel::Map(Map { map: Arc::new(out) })
        }
    }
}

fn formatted(format: Option<&str>, s: &str) -> Option<Cel> {
    match format? {
        "date-time" => chrono::DateTime::parse_from_rfc3339(s).ok().map(Cel::Timestamp),
        "date" => chrono::DateTime::parse_from_rfc3339(&format!("{s}T00:00:00Z")).ok().map(Cel::Timestamp),
        "duration" => formats::duration_nanos(s).map(|n| Cel::Duration(chrono::Duration::nanoseconds(n))),
        "byte" => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(s).ok()?;
            Some(Cel::Bytes(Arc::new(bytes)))
        }
        _ => None,
    }
}

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A property name as CEL identifier (apiserver/pkg/cel Escape).
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return name.to_string();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use crate::Schema;
    use serde_json::{Value, json};

    /// Messages of a rule over `spec` for a new and an old spec.
    fn check(rule: Value, new: Value, old: Option<Value>) -> Vec<String> {
        let schema = Schema::from_crd(&json!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {
                "n": {"type": "integer"}, "ratio": {"type": "number"}, "a-b": {"type": "string"},
                "period": {"type": "string", "format": "duration"}, "when": {"type": "string", "format": "date-time"},
                "m": {"type": "object", "additionalProperties": {"type": "string"}}
            },
            "x-kubernetes-validations": [rule]}}}))
        .expect("structural");
        let object = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
        let old = old.map(object);
        schema.validate(&object(new), old.as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_see_typed_values_and_word_their_failures() {
        let none: [&str; 0] = [];
        let rule = |text: &str| json!({"rule": text});
        assert_eq!(check(rule("self.n > 1"), json!({"n": 2}), None), none);
        assert_eq!(
            check(rule("self.n > 1"), json!({"n": 1}), None),
            ["spec: Invalid value: failed rule: self.n > 1"]
        );
        assert_eq!(check(rule("self.ratio > 0.5"), json!({"ratio": 1}), None), none);
        assert_eq!(check(rule("self.a__dash__b == 'x'"), json!({"a-b": "x"}), None), none);
        assert_eq!(check(rule("self.m['a-b'] == 'x'"), json!({"m": {"a-b": "x"}}), None), none);
        assert_eq!(check(rule("self.period > duration('1m')"), json!({"period": "2m"}), None), none);
        assert_eq!(
            check(
                rule("self.when > timestamp('2020-01-01T00:00:00Z')"),
                json!({"when": "2021-01-01T00:00:00Z"}),
                None
            ),
            none
        );
        assert_eq!(check(rule("self.m.all(k, k.startsWith('a'))"), json!({"m": {"ab": ""}}), None), none);
        let worded = json!({"rule": "self.n > 1", "messageExpression": "'n is ' + string(self.n)", "reason": "FieldValueForbidden", "fieldPath": ".n"});
        assert_eq!(check(worded, json!({"n": 1}), None), ["spec.n: Forbidden: n is 1"]);
    }

    #[test]
    fn messages_are_refused_wherever_they_are_made() {
        for rule in [
            "A{}",
            "[1].all(x, {'k': A{b: 1}}.k == x)",
            "has(A{}.b) || self.n == 1",
            "self.n == 1 ? A{b: 1} : null",
        ] {
            let said = super::parse(rule).expect_err(rule);
            assert_eq!(said, "undeclared reference to 'A' (in container '')", "{rule}");
        }
    }

    #[test]
    fn transition_rules_need_an_old_value_unless_it_is_optional() {
        let none: [&str; 0] = [];
        let grows = json!({"rule": "self.n >= oldSelf.n", "message": "n cannot shrink"});
        assert_eq!(check(grows.clone(), json!({"n": 1}), None), none);
        assert_eq!(check(grows.clone(), json!({"n": 1}), Some(json!({"n": 1}))), none);
        assert_eq!(
            check(grows, json!({"n": 1}), Some(json!({"n": 2}))),
            ["spec: Invalid value: n cannot shrink"]
        );
        let optional = json!({"rule": "oldSelf.hasValue() || self.n == 1", "message": "starts at 1", "optionalOldSelf": true});
        assert_eq!(check(optional.clone(), json!({"n": 2}), None), ["spec: Invalid value: starts at 1"]);
        assert_eq!(check(optional, json!({"n": 3}), Some(json!({"n": 2}))), none);
    }
}
