//! What one run of a rule costs, as cel-go counts it while it evaluates (interpreter/runtimecost.go of 0.26 over the plan
//! that interpreter/planner.go and decorators.go make; apiserver pkg/cel/library/cost.go: CallCost).
//!
//! The interpreter counts nothing, so the expression is walked beside it: every part that would be evaluated is charged,
//! what is cut short (`&&`, `||`, `?:`, a macro that has found its answer) is not. Values are asked of the interpreter
//! only where a cost or a branch hangs on them. Leaves out: what an expression cost whose error another part covered up
//! (`a.missing.b || true` is charged for all of its path), and the exact sizes of addresses in `containsIP`.

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue};
use cel::common::types::{CelBytes, CelString};
use cel::common::value::Val;
use cel::objects::OptionalValue;
use cel::{Context, IdedExpr, Value as Cel};

use super::cost::is_library;
use super::node::{Additional, Arena, NodeId, Type};
use super::rules::escape;
use crate::DEPTH_MAX;

const STRING_TRAVERSAL: f64 = 0.1;
const REGEX_LENGTH: f64 = 0.25;
const LIST_BASE: u64 = 10;
const MAP_BASE: u64 = 30;
/// What an address takes at most in `containsIP` and its like: one of IPv4.
const ADDRESS: u64 = 4;

/// Names of types, which are constants.
const TYPES: [&str; 13] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "duration",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
];
/// Conversions, which are done beforehand where what they convert is constant.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];
/// How long the pattern of a named format is taken to be (library/format.go).
const FORMATS: [(&str, u64); 14] = [
    ("dns1123Label", 30),
    ("dns1123Subdomain", 60),
    ("dns1035Label", 30),
    ("qualifiedName", 60),
    ("dns1123LabelPrefix", 30),
    ("dns1123SubdomainPrefix", 60),
    ("dns1035LabelPrefix", 30),
    ("labelValue", 40),
    ("uri", 1103),
    ("uuid", 70),
    ("byte", 84),
    ("date", 71),
    ("datetime", 71),
    ("named", 60),
];

/// The cost of a run over these variables; what is beyond `limit` is not walked, and the sum is then the first above it.
pub(super) fn of_run(
    expression: &IdedExpr,
    context: &Context<'_>,
    arena: &Arena,
    node: NodeId,
    limit: u64,
) -> u64 {
    let mut run = Run { arena, node, cost: 0, limit, variables: Vec::new() };
    // Beyond the limit there is nothing more to know.
    let _ = run.walk(expression, context, 0);
    run.cost
}

/// The limit was reached.
struct Enough;

/// What a walk learned in passing of the value.
#[derive(Clone, Copy)]
enum Seen {
    Bool(bool),
    /// Whoever needs it evaluates it.
    Unasked,
}

struct Run<'r> {
    arena: &'r Arena,
    node: NodeId,
    cost: u64,
    limit: u64,
    /// Variables of macros, and the schema of what they hold where there is one.
    variables: Vec<(&'r str, Option<NodeId>)>,
}

impl<'r> Run<'r> {
    fn charge(&mut self, cost: u64) -> Result<(), Enough> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Enough) } else { Ok(()) }
    }

    fn walk(&mut self, e: &'r IdedExpr, context: &Context<'_>, depth: usize) -> Result<Seen, Enough> {
        if depth > DEPTH_MAX || is_constant(e) {
            return Ok(match &e.expr {
                Expr::Literal(LiteralValue::Boolean(b)) => Seen::Bool(*b.inner()),
                _ => Seen::Unasked,
            });
        }
        match &e.expr {
            Expr::Ident(_) | Expr::Select(_) => {
                self.attribute(e, context, depth)?;
                // Neither a test for presence nor what follows a condition has a cost of its own.
                let is_test = matches!(&e.expr, Expr::Select(s) if s.test);
                if !is_test && !is_conditional(root(e)) {
                    self.charge(1)?;
                }
                Ok(Seen::Unasked)
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.walk(element, context, depth + 1)?;
                }
                self.charge(LIST_BASE)?;
                Ok(Seen::Unasked)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.walk(&entry.key, context, depth + 1)?;
                        self.walk(&entry.value, context, depth + 1)?;
                    }
                }
                self.charge(MAP_BASE)?;
                Ok(Seen::Unasked)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, context, depth),
            Expr::Call(call) => self.call(e, call, context, depth),
            Expr::Unspecified | Expr::Literal(_) | Expr::Struct(_) => Ok(Seen::Unasked),
        }
    }

    /// A path without its own cost: each step is 1, and what the steps are computed from.
    fn attribute(&mut self, e: &'r IdedExpr, context: &Context<'_>, depth: usize) -> Result<Seen, Enough> {
        if depth > DEPTH_MAX {
            return Ok(Seen::Unasked);
        }
        match &e.expr {
            Expr::Ident(_) => Ok(Seen::Unasked),
            Expr::Select(select) => {
                self.operand(&select.operand, context, depth)?;
                self.step(e, &select.operand, false, context)?;
                Ok(Seen::Unasked)
            }
            Expr::Call(call) if call.func_name == op::CONDITIONAL => {
                let [condition, yes, no] = call.args.as_slice() else { return Ok(Seen::Unasked) };
                let seen = self.walk(condition, context, depth + 1)?;
                match truth(condition, seen, context) {
                    Some(true) => self.operand(yes, context, depth),
                    Some(false) => self.operand(no, context, depth),
                    None => Ok(Seen::Unasked),
                }
            }
            Expr::Call(call) => {
                let [container, index] = call.args.as_slice() else { return Ok(Seen::Unasked) };
                self.operand(container, context, depth)?;
                if is_attribute(index) {
                    self.attribute(index, context, depth + 1)?;
                } else {
                    self.walk(index, context, depth + 1)?;
                }
                self.step(e, container, call.func_name != op::INDEX, context)?;
                Ok(Seen::Unasked)
            }
            _ => self.walk(e, context, depth),
        }
    }

    /// What a step of a path is taken from, or a branch.
    fn operand(&mut self, e: &'r IdedExpr, context: &Context<'_>, depth: usize) -> Result<Seen, Enough> {
        if is_attribute(e) { self.attribute(e, context, depth + 1) } else { self.walk(e, context, depth + 1) }
    }

    /// One step; an optional one that leads nowhere is not counted.
    fn step(
        &mut self,
        e: &IdedExpr,
        operand: &IdedExpr,
        optional: bool,
        context: &Context<'_>,
    ) -> Result<(), Enough> {
        let is_taken = !(optional || goes_by_option(operand)) || is_present(e, context);
        self.charge(u64::from(is_taken))
    }

    fn comprehension(
        &mut self,
        c: &'r ComprehensionExpr,
        context: &Context<'_>,
        depth: usize,
    ) -> Result<Seen, Enough> {
        self.walk(&c.iter_range, context, depth + 1)?;
        let (Ok(range), Ok(initial)) =
            (Cel::resolve_val(&c.iter_range, context), Cel::resolve(&c.accu_init, context))
        else {
            return Ok(Seen::Unasked);
        };
        // A list that grows is not needed to know what growing it costs.
        let grows = matches!(initial, Cel::List(_) | Cel::Map(_));
        let mut inner = context.new_inner_scope();
        inner.add_variable_from_value(c.accu_var.as_str(), initial);
        let kept = self.variables.len();
        self.variables.push((&c.accu_var, None));
        self.variables.push((&c.iter_var, self.element(&c.iter_range)));
        let mut items = range.as_iterable().map(|i| i.iter());
        while let Some(item) = items.as_mut().and_then(|i| i.next()) {
            let Ok(item) = Cel::try_from(item) else { break };
            let seen = self.walk(&c.loop_cond, &inner, depth + 1)?;
            if truth(&c.loop_cond, seen, &inner) == Some(false) {
                break;
            }
            inner.add_variable_from_value(c.iter_var.as_str(), item);
            let seen = self.walk(&c.loop_step, &inner, depth + 1)?;
            if grows {
                continue;
            }
            let next = match seen {
                Seen::Bool(b) => Cel::Bool(b),
                Seen::Unasked => match Cel::resolve(&c.loop_step, &inner) {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            inner.add_variable_from_value(c.accu_var.as_str(), next);
        }
        let seen = self.walk(&c.result, &inner, depth + 1)?;
        let seen = if grows { None } else { truth(&c.result, seen, &inner) };
        self.variables.truncate(kept);
        Ok(seen.map_or(Seen::Unasked, Seen::Bool))
    }

    fn call(
        &mut self,
        e: &'r IdedExpr,
        call: &'r CallExpr,
        context: &Context<'_>,
        depth: usize,
    ) -> Result<Seen, Enough> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (name @ (op::LOGICAL_AND | op::LOGICAL_OR), [left, right]) => {
                let decisive = name == op::LOGICAL_OR;
                let seen = self.walk(left, context, depth + 1)?;
                let left = truth(left, seen, context);
                if left == Some(decisive) {
                    return Ok(Seen::Bool(decisive));
                }
                let seen = self.walk(right, context, depth + 1)?;
                Ok(match (left, truth(right, seen, context)) {
                    (_, Some(right)) if right == decisive => Seen::Bool(decisive),
                    (Some(_), Some(right)) => Seen::Bool(right),
                    _ => Seen::Unasked,
                })
            }
            (op::CONDITIONAL, _) => self.attribute(e, context, depth),
            (op::INDEX | op::OPT_INDEX | op::OPT_SELECT, _) => {
                self.attribute(e, context, depth)?;
                self.charge(u64::from(!is_conditional(root(e))))?;
                Ok(Seen::Unasked)
            }
            (op::IN, [item, list]) if is_set(list) => {
                // A list of constants is made a set beforehand; of an empty one nothing is asked.
                if !matches!(&list.expr, Expr::List(l) if l.elements.is_empty()) {
                    self.walk(item, context, depth + 1)?;
                }
                Ok(Seen::Unasked)
            }
            (name @ (op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE), [inner]) => {
                let seen = self.walk(inner, context, depth + 1)?;
                self.charge(1)?;
                let inner = truth(inner, seen, context);
                Ok(match name {
                    op::LOGICAL_NOT => inner.map_or(Seen::Unasked, |b| Seen::Bool(!b)),
                    _ => Seen::Bool(inner.unwrap_or(true)),
                })
            }
            ("or" | "orValue", [other]) if let Some(target) = &call.target => {
                self.walk(target, context, depth + 1)?;
                if !is_present(target, context) {
                    self.walk(other, context, depth + 1)?;
                }
                Ok(Seen::Unasked)
            }
            _ => {
                let target = call.target.as_deref().filter(|t| !is_library(t, &self.variables));
                let args: Vec<&'r IdedExpr> = target.into_iter().chain(&call.args).collect();
                for arg in &args {
                    self.walk(arg, context, depth + 1)?;
                }
                let prefix = call.target.as_deref().filter(|t| is_library(t, &self.variables));
                let cost = self.function(e, prefix, call, &args, context);
                self.charge(cost)?;
                Ok(Seen::Unasked)
            }
        }
    }

    /// The cost of a function itself, its arguments (the target first) aside.
    fn function(
        &self,
        e: &IdedExpr,
        prefix: Option<&IdedExpr>,
        call: &CallExpr,
        args: &[&'r IdedExpr],
        context: &Context<'_>,
    ) -> u64 {
        let value = |i: usize| args.get(i).and_then(|a| Cel::resolve_val(a, context).ok());
        let size = |i: usize| value(i).map_or(1, |v| size_of(v.as_ref()));
        let scaled = |size: u64, factor: f64| (size as f64 * factor).ceil() as u64;
        let traversal = |i: usize| scaled(size(i), STRING_TRAVERSAL);
        let result = || Cel::resolve_val(e, context).map_or(1, |v| size_of(v.as_ref()));
        let regex = |length: u64| {
            scaled(size(0).saturating_add(1), STRING_TRAVERSAL).saturating_mul(scaled(length, REGEX_LENGTH))
        };
        let list_of = |factor: f64, size: u64| (size as f64 * factor) as u64 + 1 + LIST_BASE;
        let is_untyped = || args.iter().all(|a| self.is_untyped(a));
        match call.func_name.as_str() {
            op::EQUALS | op::NOT_EQUALS => scaled(size(0).min(size(1)), STRING_TRAVERSAL),
            op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS if !is_untyped() => {
                match value(0).map(|v| is_text(v.as_ref())) {
                    Some(true) => scaled(size(0).min(size(1)), STRING_TRAVERSAL),
                    _ => 1,
                }
            }
            op::ADD if !is_untyped() && !args.iter().any(|a| matches!(a.expr, Expr::List(_))) => {
                match value(0).map(|v| is_text(v.as_ref())) {
                    Some(true) => scaled(size(0).saturating_add(size(1)), STRING_TRAVERSAL),
                    _ => 1,
                }
            }
            op::IN if !args.get(1).is_some_and(|a| self.is_untyped(a)) => match value(1).map(owned) {
                Some(Some(Cel::List(list))) => list.len() as u64,
                _ => 1,
            },
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                value(0).and_then(owned).map_or(1, |v| whole_traversal(&v))
            }
            "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "escapeKey" | "cidr" | "isIP"
            | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => traversal(0),
            "ip" if call.target.is_none() => traversal(0),
            "replace" | "split" => scaled(size(0), 2.0 * STRING_TRAVERSAL),
            "isCanonical" => scaled(size(0), 2.0 * STRING_TRAVERSAL),
            "join" => scaled(result(), 2.0 * STRING_TRAVERSAL),
            "find" | "findAll" => regex(size(1)),
            "matches" if call.target.is_some() => regex(size(1)),
            "contains" if prefix.is_some() => 1 + size(0).saturating_mul(size(1)),
            "intersects" => 1 + size(0).saturating_mul(size(1)),
            "equivalent" => 1 + size(0).saturating_mul(size(1)).saturating_mul(2),
            "contains" => traversal(0).saturating_mul(traversal(1)),
            "startsWith" | "endsWith" | "quote" => traversal(0),
            "format" if call.target.is_some() => traversal(0),
            "bytes" | "string" => match value(0) {
                Some(v) if v.downcast_ref::<CelBytes>().is_some() && call.func_name == "string" => {
                    traversal(0)
                }
                Some(v) if v.downcast_ref::<CelString>().is_some() && call.func_name == "bytes" => {
                    traversal(0)
                }
                _ => 1,
            },
            "containsIP" => scaled(2 * ADDRESS, STRING_TRAVERSAL) + self.parsed(args, context),
            "containsCIDR" => {
                scaled(2 * ADDRESS, STRING_TRAVERSAL)
                    + scaled(ADDRESS, STRING_TRAVERSAL)
                    + 1
                    + self.parsed(args, context)
            }
            "validate" => {
                let text = scaled(size(1).saturating_add(1), STRING_TRAVERSAL);
                text.saturating_mul(scaled(format_length(args.first().copied()), REGEX_LENGTH))
            }
            "slice" | "range" | "reverse" => list_of(1.0, result()),
            "flatten" => {
                let depth = match value(1).and_then(owned) {
                    Some(Cel::Int(depth)) => depth as f64,
                    _ => 1.0,
                };
                list_of(depth, size(0))
            }
            "distinct" | "sort" => {
                let first = match value(0).and_then(owned) {
                    Some(Cel::List(list)) => list.first().cloned(),
                    _ => None,
                };
                let texts = matches!(first, Some(Cel::String(_) | Cel::Bytes(_)));
                let factor = if texts { 2.0 + STRING_TRAVERSAL } else { 2.0 };
                list_of(factor, size(0).saturating_mul(size(0)))
            }
            _ => 1,
        }
    }

    /// What is added where an address is given as text.
    fn parsed(&self, args: &[&IdedExpr], context: &Context<'_>) -> u64 {
        match args.get(1).and_then(|a| Cel::resolve_val(a, context).ok()) {
            Some(v) if v.downcast_ref::<CelString>().is_some() => {
                (size_of(v.as_ref()) as f64 * STRING_TRAVERSAL).ceil() as u64
            }
            _ => 0,
        }
    }

    /// Whether a type checker cannot tell what it is: cel-go then chooses among overloads when it runs, and charges 1.
    fn is_untyped(&self, e: &IdedExpr) -> bool {
        let unknown = |id: NodeId| matches!(self.arena.node(id).kind, Type::IntOrString | Type::Any);
        match &e.expr {
            Expr::Call(call) if call.func_name == "dyn" => true,
            _ => self.schema(e, 0).is_some_and(unknown),
        }
    }

    /// The schema of what an expression reads.
    fn schema(&self, e: &IdedExpr, depth: usize) -> Option<NodeId> {
        if depth > DEPTH_MAX {
            return None;
        }
        match &e.expr {
            Expr::Ident(name) => match self.variables.iter().rev().find(|(n, _)| n == name) {
                Some((_, schema)) => *schema,
                None => matches!(name.as_str(), "self" | "oldSelf").then_some(self.node),
            },
            Expr::Select(select) if !select.test => {
                let node = self.arena.node(self.schema(&select.operand, depth + 1)?);
                let declared = node.properties.iter().find(|(name, _)| escape(name) == select.field);
                declared.map(|(_, id)| *id).or_else(|| self.entry(node))
            }
            Expr::Call(call) if call.func_name == op::INDEX => self.element(call.args.first()?),
            _ => None,
        }
    }

    /// The schema of the elements of a list or of the values of a map. Keys of maps have none.
    fn element(&self, e: &IdedExpr) -> Option<NodeId> {
        match &e.expr {
            // What a filter leaves is of the same kind.
            Expr::Comprehension(c) if matches!(&c.loop_step.expr, Expr::Call(s) if s.func_name == op::CONDITIONAL) => {
                self.element(&c.iter_range)
            }
            _ => self.arena.node(self.schema(e, 0)?).items,
        }
    }

    fn entry(&self, node: &super::node::Node) -> Option<NodeId> {
        match node.additional {
            Additional::Schema(id) => Some(id),
            _ => None,
        }
    }
}

/// What the planner works out beforehand: literals, lists and maps of them, conversions of them, names of types.
fn is_constant(e: &IdedExpr) -> bool {
    match &e.expr {
        Expr::Literal(_) => true,
        Expr::Ident(name) => TYPES.contains(&name.as_str()),
        Expr::List(list) => list.elements.iter().all(is_constant),
        Expr::Map(map) => map.entries.iter().all(|e| match &e.expr {
            EntryExpr::MapEntry(entry) => is_constant(&entry.key) && is_constant(&entry.value),
            EntryExpr::StructField(_) => false,
        }),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (name, [arg]) if call.target.is_none() && CONVERSIONS.contains(&name) => is_constant(arg),
            (op::IN, [_, list]) => matches!(&list.expr, Expr::List(l) if l.elements.is_empty()),
            _ => false,
        },
        _ => false,
    }
}

/// A list of constants that are looked up and not compared one by one.
fn is_set(e: &IdedExpr) -> bool {
    let simple = |e: &IdedExpr| matches!(&e.expr, Expr::Literal(l) if !matches!(l, LiteralValue::Bytes(_)));
    matches!(&e.expr, Expr::List(ListExpr { elements, .. }) if elements.iter().all(simple))
}

fn is_conditional(e: &IdedExpr) -> bool {
    matches!(&e.expr, Expr::Call(call) if call.func_name == op::CONDITIONAL)
}

/// What is a path to cel-go: its beginning is charged only where it stands by itself.
fn is_attribute(e: &IdedExpr) -> bool {
    match &e.expr {
        Expr::Ident(_) => !is_constant(e),
        Expr::Select(_) => true,
        Expr::Call(call) => {
            matches!(call.func_name.as_str(), op::INDEX | op::OPT_INDEX | op::OPT_SELECT | op::CONDITIONAL)
        }
        _ => false,
    }
}

/// Where a path begins.
fn root(e: &IdedExpr) -> &IdedExpr {
    let mut at = e;
    loop {
        at = match &at.expr {
            Expr::Select(select) => &select.operand,
            Expr::Call(call) if is_attribute(at) && !is_conditional(at) => match call.args.first() {
                Some(first) => first,
                None => return at,
            },
            _ => return at,
        };
    }
}

/// Whether the path has an optional step before this one.
fn goes_by_option(e: &IdedExpr) -> bool {
    match &e.expr {
        Expr::Select(select) => goes_by_option(&select.operand),
        Expr::Call(call) => match call.func_name.as_str() {
            op::OPT_INDEX | op::OPT_SELECT => true,
            op::INDEX => call.args.first().is_some_and(goes_by_option),
            _ => false,
        },
        _ => false,
    }
}

fn is_present(e: &IdedExpr, context: &Context<'_>) -> bool {
    match Cel::resolve(e, context) {
        Ok(Cel::Opaque(opaque)) => {
            opaque.downcast_ref::<OptionalValue>().is_some_and(|optional| optional.value().is_some())
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

fn truth(e: &IdedExpr, seen: Seen, context: &Context<'_>) -> Option<bool> {
    match seen {
        Seen::Bool(b) => Some(b),
        Seen::Unasked => match Cel::resolve(e, context) {
            Ok(Cel::Bool(b)) => Some(b),
            _ => None,
        },
    }
}

fn owned(value: std::borrow::Cow<'_, dyn Val>) -> Option<Cel> {
    Cel::try_from(value.as_ref()).ok()
}

fn is_text(value: &dyn Val) -> bool {
    value.downcast_ref::<CelString>().is_some() || value.downcast_ref::<CelBytes>().is_some()
}

/// cel-go's size: of text in characters, of lists and maps in elements, of everything else 1.
fn size_of(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString>() {
        return text.inner().chars().count() as u64;
    }
    match Cel::try_from(value) {
        Ok(Cel::Bytes(bytes)) => bytes.len() as u64,
        Ok(Cel::List(list)) => list.len() as u64,
        Ok(Cel::Map(map)) => map.map.len() as u64,
        _ => 1,
    }
}

/// Every element of a list, a tenth of what its text is long (library/cost.go: traversalCost).
fn whole_traversal(value: &Cel) -> u64 {
    let text = |bytes: usize| (bytes as f64 * STRING_TRAVERSAL) as u64;
    match value {
        Cel::String(s) => text(s.len()),
        Cel::Bytes(b) => text(b.len()),
        Cel::List(list) => list.iter().map(whole_traversal).sum(),
        Cel::Map(map) => {
            map.map.iter().map(|(k, v)| whole_traversal(&Cel::from(k)) + whole_traversal(v)).sum()
        }
        _ => 1,
    }
}

fn format_length(e: Option<&IdedExpr>) -> u64 {
    let name = match e.map(|e| &e.expr) {
        Some(Expr::Call(call)) => call.func_name.as_str(),
        _ => "named",
    };
    FORMATS.iter().find(|(n, _)| *n == name).map_or(60, |(_, length)| *length)
}

#[cfg(test)]
mod tests;
