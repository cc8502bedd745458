//! Schema validation of custom resources, as kube-openapi's validator does it and apiextensions words it.
//!
//! Evidence: reference 2.9, cases crv-*. On updates parts equal to the stored object are not looked at again
//! (ratcheting; case crv-ratchet). Leaves out: list types (`listtype`) and CEL (`rules`).

use serde_json::{Number, Value};

use super::formats;
use super::listtype::correlate;
use super::node::{Arena, Checks, Node, NodeId, Type};
use super::path::Path;
use crate::DEPTH_MAX;
use crate::cause::Cause;
use crate::equal::equal_members;
use crate::members::Members;
use crate::text::{compact_json, float_text, go_quote};

pub(crate) fn validate(arena: &Arena, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut found = Found::default();
    Validator { arena }.value(arena.root, new, old, &Path::Root, &mut found, 0);
    found.errors
}

/// Validates one top-level member by itself, as a write of the status does; `at` is where it is said to be.
pub(crate) fn validate_member(
    arena: &Arena,
    key: &str,
    new: &Value,
    old: Option<&Value>,
    at: &Path<'_>,
) -> Vec<Cause> {
    let mut found = Found::default();
    if let (Some(child), Some(new)) = (arena.node(arena.root).member(key), new.member(key)) {
        Validator { arena }.value(child, new, old.and_then(|o| o.member(key)), at, &mut found, 1);
    }
    found.errors
}

/// Errors and the number of checks that ran; the latter picks the most telling branch of an `anyOf`.
#[derive(Default)]
struct Found {
    errors: Vec<Cause>,
    checks: usize,
}

impl Found {
    fn merge(&mut self, other: Found) {
        self.errors.extend(other.errors);
        self.checks += other.checks;
    }
}

struct Validator<'a> {
    arena: &'a Arena,
}

impl Validator<'_> {
    fn value(
        &self,
        id: NodeId,
        new: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
        depth: usize,
    ) {
        if depth > DEPTH_MAX || equal_members(old, Some(new)) {
            return;
        }
        let node = self.arena.node(id);
        found.checks += 1;
        check_type(node, new, path, found);
        let checks = node.checks.as_deref();
        if new.is_null() {
            if let (Some(checks), false) = (checks, node.nullable) {
                check_enum(checks, new, path, found);
            }
            return;
        }
        if let Some(checks) = checks {
            self.compositions(checks, new, old, path, found, depth);
            match new {
                Value::String(s) => check_string(node, checks, s, path, found),
                Value::Number(n) => check_number(checks, n, path, found),
                Value::Array(items) => check_items(checks, items, path, found),
                Value::Object(_) | Value::Null | Value::Bool(_) => {}
            }
            check_enum(checks, new, path, found);
        }
        match new {
            Value::Object(map) => self.object(node, map, old, path, found, depth),
            Value::Array(items) => {
                let Some(child) = node.items else { return };
                for (i, item) in items.iter().enumerate() {
                    let before = correlate(&node.list, item, old);
                    self.value(child, item, before, &path.index(i), found, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn object(
        &self,
        node: &Node,
        map: &serde_json::Map<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
        depth: usize,
    ) {
        if let Some(checks) = node.checks.as_deref() {
            check_properties(checks, map, path, found);
        }
        if node.embedded {
            check_embedded(map, path, found);
        }
        let holds_metadata = depth == 0 || node.embedded;
        for (key, member) in map {
            let Some(child) = node.member(key) else { continue };
            let before = old.and_then(|o| o.member(key));
            if holds_metadata && key == "metadata" {
                // Metadata is typed when it is decoded; a CRD's schema may only restrict the names.
                self.metadata(child, member, before, &path.key(key), found, depth + 1);
            } else {
                self.value(child, member, before, &path.key(key), found, depth + 1);
            }
        }
    }

    fn metadata(
        &self,
        id: NodeId,
        new: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
        depth: usize,
    ) {
        for key in ["name", "generateName"] {
            if let (Some(member), Some(child)) = (new.member(key), self.arena.node(id).member(key)) {
                self.value(child, member, old.and_then(|o| o.member(key)), &path.key(key), found, depth);
            }
        }
    }

    fn compositions(
        &self,
        checks: &Checks,
        new: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        found: &mut Found,
        depth: usize,
    ) {
        let branch = |id: NodeId| {
            let mut result = Found::default();
            self.value(id, new, old, path, &mut result, depth + 1);
            result
        };
        if !checks.any_of.is_empty() {
            let mut best: Option<Found> = None;
            let mut matched = false;
            for id in &checks.any_of {
                let result = branch(*id);
                if result.errors.is_empty() {
                    matched = true;
                    break;
                }
                if best.as_ref().is_none_or(|b| result.checks > b.checks) {
                    best = Some(result);
                }
            }
            if !matched {
                found.errors.push(composition(path, "must validate at least one schema (anyOf)"));
                found.merge(best.unwrap_or_default());
            }
        }
        if !checks.one_of.is_empty() {
            let mut best: Option<Found> = None;
            let mut matched = 0;
            for id in &checks.one_of {
                let result = branch(*id);
                if result.errors.is_empty() {
                    matched += 1;
                } else if best.as_ref().is_none_or(|b| result.checks > b.checks) {
                    best = Some(result);
                }
            }
            if matched != 1 {
                let detail = match matched {
                    0 => "Found none valid".to_string(),
                    n => format!("Found {n} valid alternatives"),
                };
                found.errors.push(composition(
                    path,
                    &format!("must validate one and only one schema (oneOf). {detail}"),
                ));
                if matched == 0 {
                    found.merge(best.unwrap_or_default());
                }
            }
        }
        if !checks.all_of.is_empty() {
            let mut matched = 0;
            for id in &checks.all_of {
                let result = branch(*id);
                matched += usize::from(result.errors.is_empty());
                found.merge(result);
            }
            if matched != checks.all_of.len() {
                let detail = if matched == 0 { ". None validated" } else { "" };
                found
                    .errors
                    .push(composition(path, &format!("must validate all the schemas (allOf){detail}")));
            }
        }
        if let Some(not) = checks.not
            && branch(not).errors.is_empty()
        {
            found.errors.push(composition(path, "must not validate the schema (not)"));
        }
    }
}

/// Composition failures have no field of their own (case crv-one-of).
fn composition(path: &Path<'_>, text: &str) -> Cause {
    Cause::invalid("<nil>", &Value::from(""), &format!("{} {text}", go_quote(&path.to_string())))
}

/// The JSON type a value shows in a type error.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if is_integral(n) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Floats count as integers when they are whole and exactly representable (case crv-type-number: 1e20 is not).
fn is_integral(n: &Number) -> bool {
    match n.as_f64() {
        Some(f) if n.is_f64() => f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_991.0,
        _ => true,
    }
}

fn check_type(node: &Node, value: &Value, path: &Path<'_>, found: &mut Found) {
    let fits = match (node.kind, value) {
        (Type::Any, Value::Null) => node.nullable || node.preserve,
        (Type::Any, _) => true,
        (_, Value::Null) => node.nullable,
        (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::String | Type::IntOrString, Value::String(_))
        | (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Integer | Type::IntOrString, Value::Number(n)) => is_integral(n),
        _ => false,
    };
    if fits || (node.kind == Type::Any && value.is_null()) {
        return;
    }
    // A format that Go knows decides in place of the type: it lets lists and texts be, and names what else it meets.
    let format = node.checks.as_deref().and_then(|c| c.format.as_deref()).filter(|f| formats::is_known(f));
    let (wanted, got) = match (format, value) {
        (None, _) | (_, Value::Null) => (node.kind.name(), type_name(value)),
        (Some(_), Value::String(_) | Value::Array(_)) if !is_numeric(node.kind) => return,
        (Some(_), Value::String(_) | Value::Array(_)) => (node.kind.name(), type_name(value)),
        (Some(format), other) => (format, native_format(other)),
    };
    let detail = format!("{path} in body must be of type {wanted}: {}", go_quote(got));
    found.errors.push(Cause::type_invalid(path.field(), &Value::from(got), &detail));
}

fn is_numeric(kind: Type) -> bool {
    matches!(kind, Type::Integer | Type::Number | Type::IntOrString)
}

/// The format that the validator sees in a Go value.
fn native_format(value: &Value) -> &'static str {
    match value {
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        _ => "",
    }
}

fn check_enum(checks: &Checks, value: &Value, path: &Path<'_>, found: &mut Found) {
    if checks.enumeration.is_empty() || checks.enumeration.iter().any(|choice| is_choice(choice, value)) {
        return;
    }
    let supported: Vec<String> = checks
        .enumeration
        .iter()
        .map(|v| match v {
            Value::String(s) => s.clone(),
            other => compact_json(other),
        })
        .collect();
    found.errors.push(Cause::not_supported(path.field(), value, &supported));
}

/// Go compares a value with a choice also after converting it to the choice's type: 2.5 becomes 2 where that is one.
fn is_choice(choice: &Value, value: &Value) -> bool {
    match (choice, value) {
        (Value::Number(choice), Value::Number(n)) if !choice.is_f64() && n.is_f64() => {
            n.as_f64().map(f64::trunc) == choice.as_f64()
        }
        (Value::Number(choice), Value::Number(n)) => {
            choice == n || choice.is_f64() && choice.as_f64() == n.as_f64()
        }
        _ => choice == value,
    }
}

fn invalid(found: &mut Found, path: &Path<'_>, value: &Value, text: &str) {
    let detail = format!("{path} in body {text}");
    found.errors.push(Cause::invalid(path.field(), value, &detail));
}

fn check_string(node: &Node, checks: &Checks, s: &str, path: &Path<'_>, found: &mut Found) {
    let value = || Value::from(s);
    let runes =
        if checks.length_max.is_some() || checks.length_min.is_some() { s.chars().count() as u64 } else { 0 };
    if let Some(max) = checks.length_max
        && runes > max
    {
        found.errors.push(Cause::too_long(path.field(), max));
    }
    if let Some(min) = checks.length_min
        && runes < min
    {
        // kube-openapi stops at the first failing string check: maxLength, minLength, pattern (crv-string: "a" with
        // minLength 2 and "A" against the pattern each show one error).
        invalid(found, path, &value(), &format!("should be at least {min} chars long"));
    } else if let Some((text, regex)) = &checks.pattern
        && checks.length_max.is_none_or(|max| runes <= max)
    {
        match regex {
            Some(regex) if regex.is_match(s) => {}
            Some(_) => invalid(found, path, &value(), &format!("should match '{text}'")),
            None => invalid(
                found,
                path,
                &value(),
                &format!("should match '{text}', but pattern is invalid: error parsing regexp"),
            ),
        }
    }
    if let (Some(format), Type::String | Type::Any) = (&checks.format, node.kind)
        && !formats::is_valid(format, s)
    {
        let detail = format!("{path} in body must be of type {format}: {}", go_quote(s));
        found.errors.push(Cause::type_invalid(path.field(), &value(), &detail));
    }
}

fn check_number(checks: &Checks, n: &Number, path: &Path<'_>, found: &mut Found) {
    let value = Value::Number(n.clone());
    let Some(number) = n.as_f64() else { return };
    // Go compares integers with the bound cut to an integer; an integer against multipleOf 0.5 thus meets factor 0
    // (case crv-type-number).
    let native = |bound: f64| if n.is_f64() { bound } else { bound.trunc() };
    if let Some(factor) = checks.multiple_of.map(native) {
        if factor <= 0.0 {
            let text =
                format!("factor MultipleOf declared for {path} must be positive: {}", float_text(factor));
            found.errors.push(Cause::invalid(path.field(), &Value::from(0), &text));
        } else {
            let quotient = number / factor;
            if (quotient - quotient.round()).abs() > 1e-9 * quotient.abs().max(1.0) {
                invalid(found, path, &value, &format!("should be a multiple of {}", float_text(factor)));
            }
        }
    }
    if let Some(max) = checks.maximum.map(native) {
        if checks.maximum_exclusive && number >= max {
            invalid(found, path, &value, &format!("should be less than {}", bound_text(max)));
        } else if !checks.maximum_exclusive && number > max {
            invalid(found, path, &value, &format!("should be less than or equal to {}", bound_text(max)));
        }
    }
    if let Some(min) = checks.minimum.map(native) {
        if checks.minimum_exclusive && number <= min {
            invalid(found, path, &value, &format!("should be greater than {}", bound_text(min)));
        } else if !checks.minimum_exclusive && number < min {
            invalid(found, path, &value, &format!("should be greater than or equal to {}", bound_text(min)));
        }
    }
}

/// Bounds print whole where they are whole: `100`, not `1e+02`.
fn bound_text(bound: f64) -> String {
    if bound.fract() == 0.0 && bound.abs() < 1e15 { format!("{bound}") } else { float_text(bound) }
}

fn check_items(checks: &Checks, items: &[Value], path: &Path<'_>, found: &mut Found) {
    let count = items.len() as u64;
    if let Some(min) = checks.items_min
        && count < min
    {
        invalid(found, path, &Value::from(count), &format!("should have at least {min} items"));
    }
    if let Some(max) = checks.items_max
        && count > max
    {
        found.errors.push(Cause::too_many(path.field(), items.len(), max));
    }
    if checks.unique_items && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
        invalid(found, path, &Value::Array(items.to_vec()), "shouldn't contain duplicates");
    }
}

fn check_properties(
    checks: &Checks,
    map: &serde_json::Map<String, Value>,
    path: &Path<'_>,
    found: &mut Found,
) {
    let count = map.len() as u64;
    if let Some(min) = checks.properties_min
        && count < min
    {
        invalid(found, path, &Value::from(count), &format!("should have at least {min} properties"));
    }
    if let Some(max) = checks.properties_max
        && count > max
    {
        found.errors.push(Cause::too_many(path.field(), map.len(), max));
    }
    for key in &checks.required {
        if map.member(key).is_none() {
            found.errors.push(Cause::required(path.key(key).field(), ""));
        }
    }
}

/// An embedded resource says what it is (case crv-embedded).
fn check_embedded(map: &serde_json::Map<String, Value>, path: &Path<'_>, found: &mut Found) {
    for key in ["apiVersion", "kind"] {
        match map.member(key).and_then(Value::as_str) {
            None => found.errors.push(Cause::required(path.key(key).field(), "")),
            Some("") => found.errors.push(Cause::required(path.key(key).field(), "must not be empty")),
            Some(_) => {}
        }
    }
}
