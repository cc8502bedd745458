//! What CEL rules of a CRD may cost at most, estimated before any object exists (case crl-cel-cost; cel-go checker/cost.go,
//! apiserver pkg/cel/library/cost.go, apiextensions-apiserver pkg/apiserver/schema/cel).
//!
//! A unit is about one simple operation. Sizes come from the schema: from maxLength, maxItems and maxProperties, or from
//! what fits into a request. Only upper bounds are computed. Types are inferred from the schema and from the functions
//! used, not checked: where a type cannot be told, the estimate is rather low than high. What rules cost when they run is
//! `run_cost.rs`.

use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};
use serde_json::{Map, Value};

use super::rules;
use crate::DEPTH_MAX;
use crate::cause::Cause;

const EXPRESSION_MAX: u64 = 10_000_000;
const TOTAL_MAX: u64 = 100_000_000;
/// Expressions named when the total is too high.
const NAMED_MAX: usize = 4;
const REQUEST_MAX: u64 = 3 * 1024 * 1024;
const STRING_TRAVERSAL: f64 = 0.1;
const REGEX_LENGTH: f64 = 0.25;
const LIST_BASE: u64 = 10;
const MAP_BASE: u64 = 30;
const STRUCT_BASE: u64 = 40;
const NAME_REGEX_MAX: f64 = 128.0;
/// Bytes of an address, at most.
const ADDRESS_MAX: u64 = 16;
/// What names of functions begin with.
const LIBRARIES: [&str; 7] = ["format", "ip", "jsonpatch", "lists", "optional", "sets", "strings"];

/// `sets` in `sets.contains(..)`: part of the function's name, and no variable.
pub(super) fn is_library<V>(e: &IdedExpr, variables: &[(impl AsRef<str>, V)]) -> bool {
    let Expr::Ident(name) = &e.expr else { return false };
    LIBRARIES.contains(&name.as_str()) && !variables.iter().any(|(n, _)| n.as_ref() == name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    String,
    Bytes,
    List,
    Map,
    Object,
    Dyn,
}

/// A schema as CEL sees it: what there can be at most of it.
#[derive(Debug)]
pub(super) struct Decl {
    kind: Kind,
    elements_max: u64,
    serialized_min: u64,
    element: Option<Box<Decl>>,
    fields: BTreeMap<String, Decl>,
}

/// Keys of maps count for nothing.
static KEY: Decl =
    Decl { kind: Kind::String, elements_max: 0, serialized_min: 2, element: None, fields: BTreeMap::new() };

impl Decl {
    fn simple(kind: Kind, elements_max: u64, serialized_min: u64) -> Decl {
        Decl { kind, elements_max, serialized_min, element: None, fields: BTreeMap::new() }
    }

    /// None for what rules cannot see.
    pub(super) fn of(schema: &Map<String, Value>, is_root: bool, depth: usize) -> Option<Decl> {
        if depth > DEPTH_MAX {
            return None;
        }
        let number = |key: &str| schema.get(key).and_then(Value::as_u64);
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("");
        let length = || number("maxLength").map_or(REQUEST_MAX - 2, |n| n.saturating_mul(4));
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return Some(Decl::simple(Kind::Dyn, length(), 1));
        }
        match text("type") {
            "array" => {
                let element = Decl::of(schema.get("items")?.as_object()?, false, depth + 1)?;
                let most = number("maxItems").unwrap_or((REQUEST_MAX - 2) / (element.serialized_min + 1));
                Some(Decl { element: Some(Box::new(element)), ..Decl::simple(Kind::List, most, 2) })
            }
            "object" => Decl::object(schema, is_root, depth),
            "string" => Some(match text("format") {
                "byte" => Decl::simple(Kind::Bytes, number("maxLength").unwrap_or(REQUEST_MAX - 2), 2),
                "duration" => Decl::simple(Kind::Scalar, 32, 3),
                "date" => Decl::simple(Kind::Scalar, 12, 12),
                "date-time" => Decl::simple(Kind::Scalar, 32, 21),
                _ => {
                    let values = schema.get("enum").and_then(Value::as_array).filter(|l| !l.is_empty());
                    let longest = values.map(|l| l.iter().filter_map(Value::as_str).map(str::len).max());
                    let enumerated = longest.map(|l| l.unwrap_or(0) as u64);
                    let most = match number("maxLength") {
                        Some(_) => length(),
                        None => enumerated.unwrap_or(REQUEST_MAX - 2),
                    };
                    Decl::simple(Kind::String, most, 2)
                }
            }),
            "boolean" => Some(Decl::simple(Kind::Scalar, 0, 4)),
            "integer" | "number" => Some(Decl::simple(Kind::Scalar, 0, 1)),
            _ => None,
        }
    }

    fn object(schema: &Map<String, Value>, is_root: bool, depth: usize) -> Option<Decl> {
        if let Some(Value::Object(values)) = schema.get("additionalProperties") {
            let element = Decl::of(values, false, depth + 1)?;
            let most = schema.get("maxProperties").and_then(Value::as_u64);
            let most = most.unwrap_or((REQUEST_MAX - 2) / (element.serialized_min + 6));
            return Some(Decl { element: Some(Box::new(element)), ..Decl::simple(Kind::Map, most, 2) });
        }
        let mut out = Decl::simple(Kind::Object, 0, 2);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|r| r.iter().any(|v| v == name));
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let Some(property) = property.as_object() else { continue };
            let Some(decl) = Decl::of(property, false, depth + 1) else { continue };
            if is_required(name) && !property.contains_key("default") {
                out.serialized_min += name.len() as u64 + decl.serialized_min + 4;
            }
            out.fields.insert(rules::escape(name), decl);
        }
        if is_root {
            let string = || Decl::simple(Kind::String, REQUEST_MAX - 2, 2);
            let mut metadata = Decl::simple(Kind::Object, 0, 2);
            for name in ["name", "generateName"] {
                metadata.fields.insert(name.to_owned(), string());
            }
            out.fields.insert("apiVersion".to_owned(), string());
            out.fields.insert("kind".to_owned(), string());
            out.fields.insert("metadata".to_owned(), metadata);
        }
        Some(out)
    }
}

/// Refuses rules of a schema that may cost too much, one by one and together.
pub(super) fn check(root: &Map<String, Value>, base: &str) -> Vec<Cause> {
    let mut budget = Budget::default();
    budget.schema(root, base, Some(1), true, 0);
    if budget.total > TOTAL_MAX {
        // The most expensive first; those that cost the same in the order they were met.
        budget.all.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, at) in budget.all.iter().take(NAMED_MAX) {
            let text =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            budget.causes.push(Cause::forbidden(at.clone(), text));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        budget.causes.push(Cause::forbidden(base, &exceeded(what, budget.total, TOTAL_MAX)));
    }
    budget.causes
}

/// Whether an object that fits the schema can cost more than that, in one run of a rule or in all.
pub(super) fn can_exceed(root: &Map<String, Value>, once_max: u64, all_max: u64) -> bool {
    let mut budget = Budget::default();
    budget.schema(root, "", Some(1), true, 0);
    budget.once > once_max || budget.total > all_max
}

#[derive(Default)]
struct Budget {
    causes: Vec<Cause>,
    /// The most expensive single run.
    once: u64,
    total: u64,
    all: Vec<(u64, String)>,
}

impl Budget {
    /// `times`: how often the schema can occur in one object; None: as often as fits into a request.
    fn schema(
        &mut self,
        schema: &Map<String, Value>,
        at: &str,
        times: Option<u64>,
        is_root: bool,
        depth: usize,
    ) {
        if depth > DEPTH_MAX {
            return;
        }
        let own = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        if let Some(own) = own.filter(|own| !own.is_empty())
            && let Some(decl) = Decl::of(schema, is_root, 0)
        {
            let times = times.unwrap_or(REQUEST_MAX / (decl.serialized_min + 1));
            for (i, rule) in own.iter().enumerate() {
                for (key, what) in [("rule", "rule"), ("messageExpression", "messageExpression")] {
                    let Some(source) = rule.get(key).and_then(Value::as_str) else { continue };
                    let Ok(expression) = rules::parse(source) else { continue };
                    let once = expression_cost(&expression, &decl);
                    self.once = self.once.max(once);
                    let cost = once.saturating_mul(times);
                    let field = format!("{at}.x-kubernetes-validations[{i}].{key}");
                    self.observe(cost, field, what);
                }
            }
        }
        let bounded = |key: &str| {
            let most = schema.get(key).and_then(Value::as_u64);
            times.zip(most).map(|(times, most)| times.saturating_mul(most))
        };
        for (key, most) in [("items", "maxItems"), ("additionalProperties", "maxProperties")] {
            if let Some(Value::Object(child)) = schema.get(key) {
                self.schema(child, &format!("{at}.{key}"), bounded(most), false, depth + 1);
            }
        }
        for (key, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(child) = child.as_object() {
                self.schema(child, &format!("{at}.properties[{key}]"), times, false, depth + 1);
            }
        }
    }

    fn observe(&mut self, cost: u64, field: String, what: &str) {
        if cost > EXPRESSION_MAX {
            let text = exceeded(&format!("estimated {what} cost"), cost, EXPRESSION_MAX);
            self.causes.push(Cause::forbidden(field.clone(), &text));
        }
        self.total = self.total.saturating_add(cost);
        self.all.push((cost, field));
    }
}

fn exceeded(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let shown = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

pub(super) fn expression_cost(expression: &IdedExpr, this: &Decl) -> u64 {
    Coster { this, variables: Vec::new() }.cost(expression, 0).cost
}

/// What is known of an expression: its cost, its type, how large its value can be.
#[derive(Clone)]
struct Known<'d> {
    cost: u64,
    kind: Kind,
    /// The part of the schema it reads.
    at: Option<&'d Decl>,
    /// Where it is known without the schema.
    size: Option<u64>,
    /// The value of a literal number.
    whole: Option<u64>,
    /// Sizes of keys and values of a list or map made by the expression.
    entry: Option<(u64, u64)>,
}

impl<'d> Known<'d> {
    fn new(cost: u64, kind: Kind) -> Known<'d> {
        Known { cost, kind, at: None, size: None, whole: None, entry: None }
    }

    fn at(cost: u64, decl: Option<&'d Decl>) -> Known<'d> {
        Known { at: decl, ..Known::new(cost, decl.map_or(Kind::Dyn, |d| d.kind)) }
    }

    fn sized(self, size: u64) -> Known<'d> {
        Known { size: Some(size), ..self }
    }

    fn size(&self) -> u64 {
        match (self.size, self.at, self.kind) {
            (Some(size), ..) => size,
            (None, Some(decl), _) => decl.elements_max,
            (None, None, Kind::Scalar) => 1,
            _ => u64::MAX,
        }
    }

    /// An element of the list, a value of the map.
    fn element(&self, cost: u64) -> Known<'d> {
        let decl = self.at.and_then(|d| d.element.as_deref());
        let known = Known::at(cost, decl);
        match self.entry {
            Some((_, value)) => known.sized(value),
            None => known,
        }
    }

    fn key(&self) -> Known<'d> {
        let is_list = self.kind == Kind::List;
        match (is_list, self.entry) {
            (true, _) => Known::new(0, Kind::Scalar),
            (false, Some((key, _))) => Known::new(0, Kind::String).sized(key),
            (false, None) => Known::at(0, Some(&KEY)),
        }
    }
}

fn scaled(size: u64, factor: f64) -> u64 {
    let scaled = (size as f64 * factor).ceil();
    if scaled >= u64::MAX as f64 { u64::MAX } else { scaled as u64 }
}

struct Coster<'d> {
    this: &'d Decl,
    variables: Vec<(String, Known<'d>)>,
}

impl<'d> Coster<'d> {
    fn cost(&mut self, expression: &IdedExpr, depth: usize) -> Known<'d> {
        if depth > DEPTH_MAX {
            return Known::new(u64::MAX, Kind::Dyn);
        }
        match &expression.expr {
            Expr::Unspecified => Known::new(0, Kind::Dyn),
            Expr::Literal(literal) => match literal {
                LiteralValue::String(s) => {
                    Known::new(0, Kind::String).sized(s.inner().chars().count() as u64)
                }
                LiteralValue::Bytes(b) => Known::new(0, Kind::Bytes).sized(b.inner().len() as u64),
                LiteralValue::Int(i) => {
                    let whole = u64::try_from(*i.inner()).ok();
                    Known { whole, ..Known::new(0, Kind::Scalar).sized(1) }
                }
                _ => Known::new(0, Kind::Scalar).sized(1),
            },
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let operand = self.cost(&select.operand, depth + 1);
                if select.test {
                    // A test for presence costs nothing itself.
                    return Known::new(operand.cost, Kind::Scalar);
                }
                self.member(&operand, &select.field)
            }
            Expr::List(list) => {
                let (mut cost, mut largest) = (LIST_BASE, 0);
                for element in &list.elements {
                    let known = self.cost(element, depth + 1);
                    cost = cost.saturating_add(known.cost);
                    largest = largest.max(known.size());
                }
                let known = Known::new(cost, Kind::List).sized(list.elements.len() as u64);
                Known { entry: Some((1, largest)), ..known }
            }
            Expr::Map(map) => {
                let known = self.entries(map.entries.iter().map(|e| &e.expr), MAP_BASE, depth);
                Known { kind: Kind::Map, size: Some(map.entries.len() as u64), ..known }
            }
            Expr::Struct(made) => {
                let known = self.entries(made.entries.iter().map(|e| &e.expr), STRUCT_BASE, depth);
                Known { kind: Kind::Object, entry: None, ..known }
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Call(call) => self.call(call, depth),
        }
    }

    fn variable(&self, name: &str) -> Known<'d> {
        match self.variables.iter().rev().find(|(n, _)| n == name) {
            Some((_, known)) => Known { cost: 1, ..known.clone() },
            None if matches!(name, "self" | "oldSelf") => Known::at(1, Some(self.this)),
            // Names of types: where there is no path, the estimate falls back on the root.
            None => Known { kind: Kind::Dyn, ..Known::at(1, Some(self.this)) },
        }
    }

    fn member(&self, operand: &Known<'d>, field: &str) -> Known<'d> {
        let decl = operand.at.and_then(|d| match d.kind {
            Kind::Map => d.element.as_deref(),
            _ => d.fields.get(field),
        });
        let own = u64::from(matches!(operand.kind, Kind::Map | Kind::Object));
        Known::at(operand.cost.saturating_add(own), decl)
    }

    fn entries<'e>(
        &mut self,
        entries: impl Iterator<Item = &'e EntryExpr>,
        base: u64,
        depth: usize,
    ) -> Known<'d> {
        let (mut cost, mut keys, mut values) = (base, 0, 0);
        for entry in entries {
            let value = match entry {
                EntryExpr::StructField(field) => self.cost(&field.value, depth + 1),
                EntryExpr::MapEntry(entry) => {
                    let key = self.cost(&entry.key, depth + 1);
                    cost = cost.saturating_add(key.cost);
                    keys = keys.max(key.size());
                    self.cost(&entry.value, depth + 1)
                }
            };
            cost = cost.saturating_add(value.cost);
            values = values.max(value.size());
        }
        Known { entry: Some((keys, values)), ..Known::new(cost, Kind::Dyn) }
    }

    fn comprehension(&mut self, c: &ComprehensionExpr, depth: usize) -> Known<'d> {
        let range = self.cost(&c.iter_range, depth + 1);
        let initial = self.cost(&c.accu_init, depth + 1);
        let mut cost = range.cost.saturating_add(initial.cost);
        let kept = self.variables.len();
        self.variables.push((c.accu_var.clone(), initial.clone()));
        if is_binding(c) {
            let result = self.cost(&c.result, depth + 1);
            self.variables.truncate(kept);
            return Known { cost: cost.saturating_add(result.cost), ..result };
        }
        match &c.iter_var2 {
            Some(second) => {
                self.variables.push((c.iter_var.clone(), range.key()));
                self.variables.push((second.clone(), range.element(0)));
            }
            None if range.kind == Kind::Map => self.variables.push((c.iter_var.clone(), range.key())),
            None => self.variables.push((c.iter_var.clone(), range.element(0))),
        }
        let condition = self.cost(&c.loop_cond, depth + 1).cost;
        let step = self.cost(&c.loop_step, depth + 1);
        self.variables.truncate(kept + 1);
        cost = cost.saturating_add(self.cost(&c.result, depth + 1).cost);
        self.variables.truncate(kept);
        cost = cost.saturating_add(range.size().saturating_mul(step.cost.saturating_add(condition)));
        match initial.kind {
            kind @ (Kind::List | Kind::Map) => {
                Known { size: Some(range.size()), entry: step.entry, ..Known::new(cost, kind) }
            }
            _ => Known::new(cost, Kind::Scalar).sized(1),
        }
    }

    fn call(&mut self, call: &CallExpr, depth: usize) -> Known<'d> {
        let args: Vec<Known<'d>> = call.args.iter().map(|a| self.cost(a, depth + 1)).collect();
        let is_library = call.target.as_deref().is_some_and(|t| is_library(t, &self.variables));
        let target = call.target.as_ref().filter(|_| !is_library).map(|t| self.cost(t, depth + 1));
        let under = args.iter().chain(&target).fold(0_u64, |sum, k| sum.saturating_add(k.cost));
        let mut known = self.function(&call.func_name, target.as_ref(), &args);
        known.cost = known.cost.saturating_add(under);
        // Of a condition only one branch is taken.
        if call.func_name == op::CONDITIONAL
            && let [condition, yes, no] = args.as_slice()
        {
            known.cost = condition.cost.saturating_add(yes.cost.max(no.cost));
        }
        known
    }

    /// The cost of a function itself, arguments aside.
    fn function(&self, name: &str, target: Option<&Known<'d>>, args: &[Known<'d>]) -> Known<'d> {
        let traversal = |k: &Known<'d>| scaled(k.size(), STRING_TRAVERSAL);
        let scalar = |cost: u64| Known::new(cost, Kind::Scalar);
        // An address in a network; one that is given as text is parsed.
        let contains = |other: &Known<'d>| {
            let parsed = if other.kind == Kind::String { traversal(other) } else { 0 };
            scaled(2 * ADDRESS_MAX, STRING_TRAVERSAL).saturating_add(parsed)
        };
        let allocated = |factor: f64, size: u64, of: &Known<'d>| {
            let cost = scaled(size, factor).saturating_add(1 + LIST_BASE);
            let kind = if of.kind == Kind::List { Kind::List } else { Kind::Dyn };
            Known { kind, at: of.at, entry: of.entry, ..Known::new(cost, kind) }.sized(size)
        };
        match (name, target, args) {
            (op::LOGICAL_AND | op::LOGICAL_OR, ..) => scalar(0),
            (op::CONDITIONAL, _, [_, yes, no]) => {
                let entry = yes.entry.zip(no.entry).map(|(a, b)| (a.0.max(b.0), a.1.max(b.1)));
                let kind = if yes.kind == no.kind { yes.kind } else { Kind::Dyn };
                Known { entry, ..Known::new(0, kind).sized(yes.size().max(no.size())) }
            }
            (op::EQUALS | op::NOT_EQUALS, _, [a, b]) => {
                scalar(scaled(a.size().min(b.size()), STRING_TRAVERSAL))
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, _, [a, b]) => {
                match (a.kind, b.kind) {
                    (Kind::Scalar, _) | (_, Kind::Scalar) => scalar(1),
                    _ => scalar(scaled(a.size().min(b.size()), STRING_TRAVERSAL)),
                }
            }
            (op::ADD, _, [a, b]) => {
                let size = a.size().saturating_add(b.size());
                match (a.kind, b.kind) {
                    (Kind::List, _) | (_, Kind::List) => {
                        let entry = a.entry.zip(b.entry).map(|(a, b)| (a.0.max(b.0), a.1.max(b.1)));
                        Known { entry, ..Known::new(1, Kind::List).sized(size) }
                    }
                    (Kind::Scalar, _) | (_, Kind::Scalar) => scalar(1),
                    (kind, _) => Known::new(scaled(size, STRING_TRAVERSAL), kind).sized(size),
                }
            }
            (op::INDEX | op::OPT_INDEX, _, [container, _]) => container.element(1),
            (op::OPT_SELECT, _, [operand, _]) => Known { size: operand.size, ..Known::new(1, Kind::Dyn) },
            (op::IN, _, [_, container]) if container.kind == Kind::List => scalar(container.size()),
            ("dyn", None, [inner]) => Known { cost: 1, ..inner.clone() },
            ("matches", Some(text), [regex]) | ("find" | "findAll", Some(text), [regex, ..]) => {
                let text_cost = scaled(text.size().saturating_add(1), STRING_TRAVERSAL);
                let cost = text_cost.saturating_mul(scaled(regex.size(), REGEX_LENGTH));
                match name {
                    "matches" => scalar(cost),
                    "find" => Known::new(cost, Kind::String).sized(text.size()),
                    _ => Known::new(cost, Kind::List).sized(text.size()),
                }
            }
            ("contains", Some(text), [part]) => scalar(traversal(text).saturating_mul(traversal(part))),
            ("startsWith" | "endsWith", Some(_), [part]) => scalar(traversal(part)),
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(list), _) => {
                let cost = match list.kind {
                    Kind::List => {
                        let element = list.element(0);
                        let strings = matches!(element.kind, Kind::String | Kind::Bytes);
                        let each = 1 + if strings { traversal(&element) } else { 0 };
                        list.size().saturating_mul(each)
                    }
                    _ => traversal(list),
                };
                match name {
                    "max" | "min" => Known { cost, ..list.element(cost) },
                    _ => scalar(cost),
                }
            }
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(text), _) => {
                Known::new(traversal(text), Kind::String).sized(text.size())
            }
            ("replace", Some(text), [_, with, ..]) => {
                let size = text.size().saturating_add(1).saturating_mul(with.size().max(1));
                Known::new(scaled(text.size(), 2.0 * STRING_TRAVERSAL), Kind::String)
                    .sized(size.saturating_add(text.size()))
            }
            ("split", Some(text), _) => {
                Known::new(scaled(text.size(), 2.0 * STRING_TRAVERSAL), Kind::List).sized(text.size())
            }
            ("join", Some(list), _) => {
                let between =
                    args.first().map_or(0, Known::size).saturating_mul(list.size().saturating_sub(1));
                let size = list.size().saturating_mul(list.element(0).size()).saturating_add(between);
                Known::new(scaled(size, STRING_TRAVERSAL), Kind::String).sized(size)
            }
            ("url" | "escapeKey", None, [text]) => Known::new(traversal(text), Kind::Dyn).sized(text.size()),
            (
                "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver",
                _,
                [text, ..],
            ) => scalar(traversal(text)),
            ("isCanonical", None, [text]) => scalar(scaled(text.size(), 2.0 * STRING_TRAVERSAL)),
            ("containsIP", Some(_), [other]) => scalar(contains(other)),
            ("containsCIDR", Some(_), [other]) => {
                scalar(contains(other) + 1 + scaled(ADDRESS_MAX, STRING_TRAVERSAL))
            }
            ("contains" | "intersects", None, [a, b]) => {
                scalar(a.size().saturating_mul(b.size()).saturating_add(1))
            }
            ("equivalent", None, [a, b]) => {
                scalar(a.size().saturating_mul(b.size()).saturating_mul(2).saturating_add(1))
            }
            ("slice", Some(list), [from, to]) => {
                let from = from.whole.unwrap_or(0);
                allocated(1.0, to.whole.unwrap_or(list.size()).saturating_sub(from), list)
            }
            ("range", None, [count]) => allocated(1.0, count.whole.unwrap_or(u64::MAX), count),
            ("reverse", Some(list), []) => allocated(1.0, list.size(), list),
            ("flatten", Some(list), rest) => {
                let depth = rest.first().map_or(1, |d| d.whole.unwrap_or(u64::MAX));
                allocated(depth as f64, list.size(), &Known::new(0, Kind::List))
            }
            ("distinct", Some(list), []) => Known {
                size: Some(list.size()),
                ..allocated(2.0, list.size().saturating_mul(list.size()), list)
            },
            ("sort", Some(list), []) => {
                let texts = matches!(list.element(0).kind, Kind::String | Kind::Bytes);
                let factor = if texts { 2.0 + STRING_TRAVERSAL } else { 2.0 };
                Known {
                    size: Some(list.size()),
                    ..allocated(factor, list.size().saturating_mul(list.size()), list)
                }
            }
            ("validate", _, [text]) => scalar(scaled(traversal(text), NAME_REGEX_MAX * REGEX_LENGTH)),
            ("string", _, [inner]) if inner.kind != Kind::Bytes => {
                // Of a number or a time a few characters, of a string the string itself.
                let size = if inner.kind == Kind::Scalar { 32 } else { inner.size() };
                Known::new(1, Kind::String).sized(size)
            }
            ("bytes" | "string", _, [inner]) => {
                Known::new(traversal(inner), Kind::Bytes).sized(inner.size().saturating_mul(4))
            }
            ("quote", None, [text]) => Known::new(traversal(text), Kind::String).sized(text.size()),
            ("type", None, [_]) => Known::new(1, Kind::Dyn),
            ("format", Some(text), _) => Known::new(traversal(text), Kind::String),
            _ => scalar(1),
        }
    }
}

/// `cel.bind`: a comprehension over nothing.
fn is_binding(c: &ComprehensionExpr) -> bool {
    let empty = matches!(&c.iter_range.expr, Expr::List(list) if list.elements.is_empty());
    let never = matches!(&c.loop_cond.expr, Expr::Literal(LiteralValue::Boolean(b)) if !*b.inner());
    empty && never && c.accu_var != "@result"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cost(schema: Value, rule: &str) -> u64 {
        let schema = schema.as_object().cloned().unwrap_or_default();
        let decl = Decl::of(&schema, false, 0).expect("a schema rules can see");
        expression_cost(&rules::parse(rule).expect("a rule"), &decl)
    }

    /// `MaxCost` of apiextensions-apiserver 0.35.3 (schema/cel.Compile) for the same schema and rules.
    #[test]
    fn costs_are_those_of_the_real_estimate() {
        let short = json!({"type": "string", "maxLength": 20});
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer"}, "m": {"type": "integer"}, "s": {"type": "string", "maxLength": 10},
            "t": {"type": "string"}, "i": {"x-kubernetes-int-or-string": true},
            "l": {"type": "array", "maxItems": 10, "items": {"type": "integer"}},
            "ls": {"type": "array", "maxItems": 10, "items": short},
            "u": {"type": "array", "items": {"type": "string"}},
            "mp": {"type": "object", "maxProperties": 7, "additionalProperties": {"type": "string", "maxLength": 5}},
            "o": {"type": "object", "properties": {"x": {"type": "string"}}}}});
        for (rule, expected) in [
            ("self.n < self.m", 5),
            ("self.s == 'x'", 3),
            ("self.s.contains('ab')", 6),
            ("self.l.all(x, x == 0)", 43),
            ("has(self.n) || self.m > 3", 4),
            ("self.ls.exists(x, x.startsWith('ab'))", 63),
            ("self.u.all(x, x.size() > 0)", 6_291_453),
            ("self.mp.all(k, self.mp[k] == 'a')", 59),
            ("self.ls.map(x, x + 'a').size() == 3", 235),
            ("self.s.matches('^[a-z]+$')", 12),
            ("self.ls.filter(x, x != '').all(y, y in self.ls)", 314),
            ("self.o.x.lowerAscii() == 'a'", 314_577),
            ("self.n == 1 ? self.s == 'a' : self.t == 'b'", 5),
            ("self.t.split(',').size() < 3", 629_150),
            ("[self.n, self.m].exists(x, x > 2)", 27),
            ("self.ls.isSorted()", 92),
            ("self.s + self.t == 'ab'", 314_582),
            ("self.l.sum() > 3", 13),
            ("self.i == 3 || self.i == 'a'", 6),
            ("oldSelf.t == self.t", 314_577),
            ("self.ls.exists_one(x, x == 'a')", 44),
            ("self.u.join(',') == 'a'", 329_853_068_906),
            ("type(self.i) == int", 4),
        ] {
            assert_eq!(cost(schema.clone(), rule), expected, "{rule}");
        }
    }

    #[test]
    fn what_is_bounded_passes_and_what_is_not_is_named() {
        let nested = |bounds: bool| {
            let limit = |mut v: Value, key: &str| {
                if bounds {
                    v[key] = json!(5);
                }
                v
            };
            let string = limit(json!({"type": "string"}), "maxLength");
            let inner = limit(json!({"type": "array", "items": string}), "maxItems");
            let mut outer = limit(json!({"type": "array", "items": inner}), "maxItems");
            outer["x-kubernetes-validations"] =
                json!([{"rule": "self.all(x, self.all(y, x.all(z, y.exists(q, q.contains(z)))))"}]);
            json!({"type": "object", "properties": {"a": outer}})
        };
        let causes = |v: Value| check(v.as_object().expect("an object"), "s");
        assert_eq!(causes(nested(true)), []);
        let fields: Vec<String> = causes(nested(false)).into_iter().map(|c| c.field).collect();
        let rule = "s.properties[a].x-kubernetes-validations[0].rule";
        assert_eq!(fields, [rule, rule, "s"]);
    }

    #[test]
    fn factors_are_told_in_three_ways() {
        let check = |cost: u64, shown: &str| {
            let text = exceeded("it", cost, 100);
            assert!(text.starts_with(&format!("it exceeds budget by factor of {shown} (")), "{text}");
        };
        check(101, "1.010000x");
        check(250, "2.5x");
        check(10_001, "more than 100x");
    }
}
