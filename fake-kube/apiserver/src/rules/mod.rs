//! Validation of built-in kinds as tables: a [`Rule`] says what a member may be, [`Walk`] applies rules in order and
//! words refusals as a real server does (pkg/apis/*/validation).
//!
//! Order matters, for it is the order of `details.causes`. What a row cannot say is a `Rule::Code`. Leaves out:
//! metadata (`validate`), kinds without a table, and the members their tables do not name.

mod config;
mod jobs;
mod kinds;
mod limits;
mod networking;
mod placement;
mod pod;
mod pod_update;
mod quota;
mod security;
mod selector;
mod service;
mod update;
mod warnings;
mod webhooks;
mod workload;

use std::collections::BTreeSet;

use fake_kube_schema::Cause;
use serde_json::{Value, json};

pub(crate) use kinds::of_kind;
pub(crate) use warnings::of_pods;

/// One row. Names are members of the value the rule is applied to.
pub(crate) enum Rule {
    /// Rules for a member that is there.
    In(&'static str, &'static [Rule]),
    /// Rules for each element of a list, or each value of a map.
    Each(&'static str, &'static [Rule]),
    /// The same, and the member named second differs between elements.
    EachUnique(&'static str, &'static str, &'static [Rule]),
    /// Missing, null, `""`, `[]` and `{}` are refused with this detail.
    Required(&'static str, &'static str),
    OneOf(&'static str, &'static [&'static str]),
    /// An integer not below 0.
    NotNegative(&'static str),
    /// An integer above 0.
    Positive(&'static str),
    Within(&'static str, i64, i64),
    /// A text that is not empty; the function lists what is wrong with it.
    Text(&'static str, fn(&str) -> Vec<String>),
    /// The keys of a map of labels.
    Labels(&'static str),
    /// A port number, or the name of one.
    Port(&'static str),
    /// At most one of the members; none is refused with the detail, if there is one.
    Only(&'static [&'static str], Limit),
    Code(fn(&mut Walk<'_>, &Value, &str)),
}

/// What [`Rule::Only`] says.
pub(crate) struct Limit {
    pub(crate) several: &'static str,
    pub(crate) none: &'static str,
}

/// One validation under way.
pub(crate) struct Walk<'a> {
    pub(crate) out: Vec<Cause>,
    pub(crate) object: &'a Value,
    /// What it was, for an update.
    pub(crate) old: Option<&'a Value>,
    /// It is being created.
    pub(crate) is_new: bool,
    /// Volumes of the pod at hand that are valid.
    pub(crate) volumes: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(object: &'a Value) -> Walk<'a> {
        Walk { out: Vec::new(), object, old: None, is_new: false, volumes: BTreeSet::new() }
    }

    pub(crate) fn apply(&mut self, rules: &'static [Rule], value: &Value, path: &str) {
        for rule in rules {
            self.one(rule, value, path);
        }
    }

    pub(crate) fn invalid(&mut self, path: String, value: &Value, why: &str) {
        self.out.push(Cause::invalid(path, value, why));
    }

    fn one(&mut self, rule: &'static Rule, value: &Value, path: &str) {
        match rule {
            Rule::In(key, rules) => {
                if let Some(v) = present(value, key) {
                    self.apply(rules, v, &join(path, key));
                }
            }
            Rule::Each(key, rules) => self.each(value, key, None, rules, path),
            Rule::EachUnique(key, name, rules) => self.each(value, key, Some(name), rules, path),
            Rule::Required(key, detail) => {
                if is_empty(&value[*key]) {
                    self.out.push(Cause::required(join(path, key), detail));
                }
            }
            Rule::OneOf(key, allowed) => {
                if let Some(text) = value[*key].as_str().filter(|t| !t.is_empty() && !allowed.contains(t)) {
                    self.out.push(Cause::not_supported(join(path, key), &json!(text), allowed));
                }
            }
            Rule::NotNegative(key) => self.number(value, key, path, |n| {
                (n < 0).then(|| "must be greater than or equal to 0".to_owned())
            }),
            Rule::Positive(key) => {
                self.number(value, key, path, |n| (n <= 0).then(|| "must be greater than 0".to_owned()));
            }
            Rule::Within(key, low, high) => self.number(value, key, path, |n| {
                (!(*low..=*high).contains(&n)).then(|| format!("must be between {low} and {high}, inclusive"))
            }),
            Rule::Text(key, check) => {
                if let Some(text) = value[*key].as_str().filter(|t| !t.is_empty()) {
                    for why in check(text) {
                        self.invalid(join(path, key), &json!(text), &why);
                    }
                }
            }
            Rule::Labels(key) => {
                let field = join(path, key);
                for (k, v) in value[*key].as_object().into_iter().flatten() {
                    if let Some(why) = crate::names::qualified(k) {
                        self.invalid(field.clone(), &json!(k), &why);
                    }
                    let text = v.as_str().unwrap_or("");
                    if let Some(why) = crate::names::label_value(text) {
                        self.invalid(field.clone(), &json!(text), &why);
                    }
                }
            }
            Rule::Port(key) => self.port(&value[*key], &join(path, key)),
            Rule::Only(keys, limit) => self.only(value, keys, limit, path),
            Rule::Code(check) => check(self, value, path),
        }
    }

    fn each(&mut self, value: &Value, key: &str, unique: Option<&str>, rules: &'static [Rule], path: &str) {
        let at = join(path, key);
        if let Some(map) = value[key].as_object() {
            for (k, v) in map {
                self.apply(rules, v, &format!("{at}[{k}]"));
            }
            return;
        }
        let mut seen: Vec<&Value> = Vec::new();
        for (i, element) in value[key].as_array().into_iter().flatten().enumerate() {
            let path = format!("{at}[{i}]");
            self.apply(rules, element, &path);
            let Some(name) = unique else { continue };
            match element.get(name).filter(|v| !is_empty(v)) {
                Some(v) if seen.contains(&v) => self.out.push(Cause::duplicate(join(&path, name), v)),
                Some(v) => seen.push(v),
                None => {}
            }
        }
    }

    fn number(&mut self, value: &Value, key: &str, path: &str, wrong: impl Fn(i64) -> Option<String>) {
        let Some(n) = value[key].as_i64() else { return };
        if let Some(why) = wrong(n) {
            self.invalid(join(path, key), &json!(n), &why);
        }
    }

    fn port(&mut self, value: &Value, path: &str) {
        match value {
            Value::Number(n) if !n.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {
                self.invalid(path.to_owned(), value, "must be between 1 and 65535, inclusive");
            }
            Value::String(text) => {
                for why in port_name(text) {
                    self.invalid(path.to_owned(), value, &why);
                }
            }
            _ => {}
        }
    }

    fn only(&mut self, value: &Value, keys: &[&str], limit: &Limit, path: &str) {
        let found: Vec<&&str> = keys.iter().filter(|k| present(value, k).is_some()).collect();
        if found.is_empty() && !limit.none.is_empty() {
            self.out.push(Cause::required(path, limit.none));
        }
        for key in found.into_iter().skip(1) {
            self.out.push(Cause::forbidden(join(path, key), limit.several));
        }
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(crate) fn present<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|v| !v.is_null())
}

pub(crate) fn is_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(l) => l.is_empty(),
        Value::Object(m) => m.is_empty(),
        _ => false,
    }
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// IsValidPortName.
pub(crate) fn port_name(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |wrong: bool, why: &str| {
        if wrong {
            out.push(why.to_owned());
        }
    };
    let charset = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    say(name.len() > 15, "must be no more than 15 characters");
    say(
        name.is_empty() || !name.bytes().all(charset),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    say(!name.bytes().any(|c| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    say(name.contains("--"), "must not contain consecutive hyphens");
    say(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    out
}
