//! Checked steps and their arguments, with getters for the runner. A getter fails only when the vocabulary and the
//! code that reads the step disagree; it then says so at the step's place instead of panicking.

use crate::cel::Expression;
use crate::diagnostics::Diagnostic;
use crate::duration;
use crate::matching;
use crate::source::Span;
use crate::vocabulary::StepKind;
use indexmap::IndexMap;
use jiff::Timestamp;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One step, checked.
#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    pub kind: StepKind,
    /// The optional `name:` beside the word: how reports call it.
    pub label: Option<String>,
    /// Reported as skipped outside virtual time.
    pub virtual_only: bool,
    pub span: Span,
    pub args: Arg,
}

impl Step {
    /// How reports call it: the label, else the word with its object.
    pub fn title(&self) -> String {
        if let Some(label) = &self.label {
            return label.clone();
        }
        let subject = match &self.args.value {
            ArgValue::Map(_) => {
                ["name", "of", "kind", "file", "time"].iter().find_map(|key| self.args.get(key))
            }
            ArgValue::Any(_) | ArgValue::Null => None,
            _ => Some(&self.args),
        };
        match subject.and_then(Arg::brief) {
            Some(text) => format!("{} {text}", self.name),
            None => self.name.clone(),
        }
    }

    /// The steps inside, by the key that holds them: `steps`, `catch`.
    pub fn nested(&self) -> Vec<(&str, &[Step])> {
        match &self.args.value {
            ArgValue::Map(map) => map
                .iter()
                .filter_map(|(key, arg)| match &arg.value {
                    ArgValue::Steps(steps) => Some((key.as_str(), steps.as_slice())),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The steps below a key; empty when there are none.
    pub fn steps(&self, key: &str) -> &[Step] {
        self.nested().into_iter().find(|(name, _)| *name == key).map_or(&[], |(_, steps)| steps)
    }
}

/// A typed value and where it stands.
#[derive(Clone, Debug)]
pub struct Arg {
    pub span: Span,
    pub value: ArgValue,
}

#[derive(Clone, Debug)]
pub enum ArgValue {
    Null,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Duration(Duration),
    /// Milliseconds, may be negative.
    SignedDuration(i64),
    /// Since the start of the scenario.
    ClockTime(Duration),
    Timestamp(Timestamp),
    Ref(ObjectRef),
    Cel(Expression),
    Tree(matching::Tree),
    /// A whole object.
    Object(Value),
    Manifest(Manifest),
    File(PathBuf),
    Count(Count),
    Steps(Vec<Step>),
    List(Vec<Arg>),
    Map(IndexMap<String, Arg>),
    /// Anything, as it was written.
    Any(Value),
}

/// Objects from a file.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub path: PathBuf,
    /// The path as the scenario gives it: how reports call it, the same wherever the command was started.
    pub written: String,
    pub objects: Vec<Value>,
}

/// How many, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub min: u64,
    pub max: Option<u64>,
}

impl Count {
    pub fn accepts(&self, number: u64) -> bool {
        number >= self.min && self.max.is_none_or(|max| number <= max)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => write!(f, "{min}"),
            (0, Some(max)) => write!(f, "at most {max}"),
            (min, None) => write!(f, "at least {min}"),
            (min, Some(max)) => write!(f, "{min} to {max}"),
        }
    }
}

/// `namespace:Kind.group/name`, the outer parts optional.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    pub namespace: Option<String>,
    pub kind: String,
    pub group: Option<String>,
    pub name: String,
}

impl ObjectRef {
    /// Whether `*` stands in the name.
    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }

    /// Whether a name fits: equal, or by `*` for any text.
    pub fn name_fits(&self, name: &str) -> bool {
        matching::glob(&self.name, name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}:")?;
        }
        f.write_str(&self.kind)?;
        if let Some(group) = &self.group {
            write!(f, ".{group}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// Generates `x(key) -> Result` and `opt_x(key) -> Option` for one variant.
macro_rules! getters {
    ($($get:ident, $opt:ident, $variant:ident, $out:ty, $what:literal, |$v:ident| $map:expr;)*) => {$(
        #[doc = concat!("The ", $what, " below `key`.")]
        pub fn $get(&self, key: &str) -> Result<$out, Box<Diagnostic>> {
            self.$opt(key).ok_or_else(|| Box::new(self.disagreement(key, $what)))
        }

        #[doc = concat!("The ", $what, " below `key`, if there is one.")]
        pub fn $opt(&self, key: &str) -> Option<$out> {
            match &self.get(key)?.value {
                ArgValue::$variant($v) => Some($map),
                _ => None,
            }
        }
    )*};
}

impl Arg {
    pub fn empty_map(span: &Span) -> Arg {
        Arg { span: span.clone(), value: ArgValue::Map(IndexMap::new()) }
    }

    pub fn get(&self, key: &str) -> Option<&Arg> {
        self.entries()?.get(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn entries(&self) -> Option<&IndexMap<String, Arg>> {
        match &self.value {
            ArgValue::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value below a dotted path: `kubelet.podStart`.
    pub fn at(&self, path: &str) -> Option<&Arg> {
        path.split('.').try_fold(self, |arg, key| arg.get(key))
    }

    getters! {
        text, opt_text, Text, &str, "text", |v| v.as_str();
        flag, opt_flag, Bool, bool, "boolean", |v| *v;
        int, opt_int, Int, i64, "whole number", |v| *v;
        number, opt_number, Number, f64, "number", |v| *v;
        duration, opt_duration, Duration, Duration, "duration", |v| *v;
        signed_duration, opt_signed_duration, SignedDuration, i64, "signed duration", |v| *v;
        clock_time, opt_clock_time, ClockTime, Duration, "scenario time", |v| *v;
        timestamp, opt_timestamp, Timestamp, Timestamp, "timestamp", |v| *v;
        object_ref, opt_object_ref, Ref, &ObjectRef, "object reference", |v| v;
        cel, opt_cel, Cel, &Expression, "expression", |v| v;
        tree, opt_tree, Tree, &matching::Tree, "partial-match tree", |v| v;
        object, opt_object, Object, &Value, "object", |v| v;
        manifest, opt_manifest, Manifest, &Manifest, "file with objects", |v| v;
        file, opt_file, File, &PathBuf, "file path", |v| v;
        count, opt_count, Count, Count, "count", |v| *v;
        list, opt_list, List, &[Arg], "list", |v| v.as_slice();
        any, opt_any, Any, &Value, "value", |v| v;
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            ArgValue::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_duration(&self) -> Option<Duration> {
        match &self.value {
            ArgValue::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    /// The texts of a list of texts, or the one text.
    pub fn texts(&self) -> Vec<&str> {
        match &self.value {
            ArgValue::List(items) => items.iter().filter_map(Arg::as_text).collect(),
            ArgValue::Text(text) => vec![text],
            _ => Vec::new(),
        }
    }

    /// The objects of a step that takes `file` or `object`.
    pub fn objects(&self) -> Vec<&Value> {
        match (self.opt_manifest("file"), self.opt_object("object")) {
            (Some(manifest), _) => manifest.objects.iter().collect(),
            (None, object) => object.into_iter().collect(),
        }
    }

    /// The value as plain JSON: durations and references as text, steps as a count.
    pub fn to_json(&self) -> Value {
        match &self.value {
            ArgValue::Null => Value::Null,
            ArgValue::Bool(b) => Value::from(*b),
            ArgValue::Int(i) => Value::from(*i),
            ArgValue::Number(n) => Value::from(*n),
            ArgValue::Text(t) => Value::from(t.as_str()),
            ArgValue::Duration(d) => Value::from(duration::format(*d)),
            ArgValue::SignedDuration(ms) => Value::from(signed(*ms)),
            ArgValue::ClockTime(d) => Value::from(duration::format_clock(*d)),
            ArgValue::Timestamp(t) => Value::from(t.to_string()),
            ArgValue::Ref(r) => Value::from(r.to_string()),
            ArgValue::Cel(e) => Value::from(e.source()),
            ArgValue::Tree(t) => t.to_json(),
            ArgValue::Object(v) | ArgValue::Any(v) => v.clone(),
            ArgValue::Manifest(m) => Value::from(m.written.as_str()),
            ArgValue::File(p) => Value::from(p.display().to_string()),
            ArgValue::Count(c) => Value::from(c.to_string()),
            ArgValue::Steps(steps) => Value::from(format!("{} steps", steps.len())),
            ArgValue::List(items) => Value::Array(items.iter().map(Arg::to_json).collect()),
            ArgValue::Map(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
    }

    fn brief(&self) -> Option<String> {
        match self.to_json() {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn disagreement(&self, key: &str, what: &str) -> Diagnostic {
        let have = match self.get(key) {
            Some(_) => "something else stands there",
            None => "it is not there",
        };
        let message = format!("the runner reads a {what} from `{key}`, but {have}");
        Diagnostic::error("reader", &self.span, message).help(
            "the vocabulary's schema of this step and the code that runs it disagree; correct one of them",
        )
    }
}

fn signed(ms: i64) -> String {
    let text = duration::format(Duration::from_millis(ms.unsigned_abs()));
    if ms < 0 { format!("-{text}") } else { text }
}
