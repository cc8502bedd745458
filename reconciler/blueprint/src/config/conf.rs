//! A flat Flink configuration and typed reading of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::duration::parse_duration;
use super::memory::parse_memory;

/// A configuration: keys to texts, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlinkConf(BTreeMap<String, String>);

/// A key with its type, older names and default. `None` as default: unset means unset.
#[derive(Debug)]
pub struct Key<T: 'static> {
    pub name: &'static str,
    /// Looked up in this order when `name` is absent.
    pub older: &'static [&'static str],
    pub default: Option<&'static str>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> Key<T> {
    pub const fn new(name: &'static str, default: Option<&'static str>) -> Self {
        Self { name, older: &[], default, kind: std::marker::PhantomData }
    }

    pub const fn formerly(mut self, older: &'static [&'static str]) -> Self {
        self.older = older;
        self
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.older.iter().copied())
    }
}

/// A value that cannot be read: names the key, the value and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    pub key: String,
    pub value: String,
    pub problem: String,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Could not parse value '{}' for key '{}': {}", self.value, self.key, self.problem)
    }
}

impl std::error::Error for InvalidValue {}

/// Types a value can have.
pub trait ConfValue: Sized {
    fn parse(text: &str) -> Result<Self, String>;
}

impl ConfValue for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl ConfValue for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            yes if yes.eq_ignore_ascii_case("true") => Ok(true),
            no if no.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("write 'true' or 'false'".to_owned()),
        }
    }
}

impl ConfValue for i64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "a whole number is needed; write for example '10'".to_owned())
    }
}

impl ConfValue for f64 {
    fn parse(text: &str) -> Result<Self, String> {
        let number: Option<f64> = text.trim().parse().ok();
        number.filter(|n| n.is_finite()).ok_or("a number is needed; write for example '0.5'".to_owned())
    }
}

impl ConfValue for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(pub u64);

impl ConfValue for MemorySize {
    fn parse(text: &str) -> Result<Self, String> {
        parse_memory(text).map(MemorySize)
    }
}

/// `a;b;c`, or the YAML form `[a, b]`; elements may be quoted.
impl ConfValue for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (text, separator) = match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            Some(inner) => (inner, ','),
            None => (text, ';'),
        };
        let items = split_unquoted(text, separator).into_iter().filter(|item| !item.trim().is_empty());
        Ok(items.map(|item| unquoted(&item)).collect())
    }
}

/// `k1:v1,k2:v2`, parts may be quoted; also what the YAML form `{k1: v1}` leaves.
impl ConfValue for BTreeMap<String, String> {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut map = BTreeMap::new();
        for pair in split_unquoted(text, ',').into_iter().filter(|pair| !pair.trim().is_empty()) {
            let parts = split_unquoted(&pair, ':');
            let [key, value @ ..] = parts.as_slice() else { continue };
            if value.is_empty() {
                return Err(format!(
                    "'{}' has no value; write for example 'key1:value1,key2:value2'",
                    pair.trim()
                ));
            }
            map.insert(unquoted(key), unquoted(&value.join(":")));
        }
        Ok(map)
    }
}

fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c == separator => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("starts with one part").push(c);
    }
    parts
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_owned()
}

impl FlinkConf {
    pub fn new() -> Self {
        Self::default()
    }

    /// The text under `key` exactly.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The text of `key` or of the first of its older names that is present.
    pub fn text<T>(&self, key: Key<T>) -> Option<&str> {
        self.present(key).map(|(_, value)| value)
    }

    fn present<T>(&self, key: Key<T>) -> Option<(&'static str, &str)> {
        key.names().find_map(|name| self.raw(name).map(|value| (name, value)))
    }

    /// The value given, if any, not minding the default.
    pub fn given<T: ConfValue>(&self, key: Key<T>) -> Result<Option<T>, InvalidValue> {
        let Some((name, value)) = self.present(key) else { return Ok(None) };
        T::parse(value).map(Some).map_err(|problem| InvalidValue {
            key: name.to_owned(),
            value: value.to_owned(),
            problem,
        })
    }

    /// The value given or the default; `None` where the key has none.
    ///
    /// A value that cannot be read counts as not given. Nobody relies on that: validation refuses such a value
    /// (`validate`), and `OperatorConfig` refuses it in the operator's own configuration.
    pub fn get<T: ConfValue>(&self, key: Key<T>) -> Option<T> {
        match self.given(key) {
            Ok(Some(value)) => Some(value),
            Ok(None) | Err(_) => key.default.map(|text| T::parse(text).expect("defaults parse, a test says")),
        }
    }

    /// `get` for keys that have a default; without one, the type's own.
    pub fn value<T: ConfValue + Default>(&self, key: Key<T>) -> T {
        self.get(key).unwrap_or_default()
    }

    /// Whether `key` or one of its older names is present.
    pub fn has<T>(&self, key: Key<T>) -> bool {
        self.present(key).is_some()
    }

    /// Sets `key` and removes its older names, which could contradict it.
    pub fn set<T>(&mut self, key: Key<T>, value: impl Into<String>) {
        self.unset(key);
        self.put(key.name, value);
    }

    pub fn set_default<T>(&mut self, key: Key<T>, value: impl Into<String>) {
        if !self.has(key) {
            self.put(key.name, value);
        }
    }

    pub fn unset<T>(&mut self, key: Key<T>) {
        for name in key.names() {
            self.0.remove(name);
        }
    }

    pub fn put(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub fn extend(&mut self, entries: impl IntoIterator<Item = (String, String)>) {
        self.0.extend(entries);
    }

    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Entries whose key starts with `prefix`, with the rest of the key.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }

    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, String>> for FlinkConf {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for FlinkConf {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
