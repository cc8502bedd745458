//! Checks a substituted tree against the vocabulary and types it. Goes on after an error, so that one run of the
//! checker tells all that is wrong with a file. Scalars are read in `values`.

use super::args::{Arg, ArgValue, Step};
use super::load::Session;
use super::params::Scope;
use crate::diagnostics::Diagnostic;
use crate::matching;
use crate::source::Span;
use crate::vocabulary::{Rule, Shape, StepKind, StepSchema, Type, Vocabulary};
use crate::yaml::{Key, Kind, Node};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};

/// Keys that may stand beside any step's word.
const BESIDE: &[&str] = &["name", "virtualOnly"];

pub(super) struct Checker<'a, 's> {
    pub vocabulary: &'a Vocabulary,
    pub session: &'a mut Session<'s>,
    /// Params in force, for the files a step names.
    pub scope: &'a Scope,
    /// Folder of the file being checked: paths in it are relative to this.
    pub folder: PathBuf,
    /// Files being expanded, outermost first, for cycles.
    pub chain: Vec<(PathBuf, Span)>,
    path: Vec<String>,
}

impl<'a, 's> Checker<'a, 's> {
    pub fn new(
        vocabulary: &'a Vocabulary,
        session: &'a mut Session<'s>,
        scope: &'a Scope,
        folder: &Path,
    ) -> Self {
        Checker { vocabulary, session, scope, folder: folder.to_owned(), chain: Vec::new(), path: Vec::new() }
    }

    pub fn report(&mut self, problem: Diagnostic) {
        let path = self.path();
        let problem = if problem.path.is_empty() { problem.at(path) } else { problem };
        self.session.problems.push(problem);
    }

    pub fn path(&self) -> String {
        self.path.concat().trim_start_matches('.').to_owned()
    }

    /// Runs `f` one level deeper in the path.
    pub fn below<T>(&mut self, segment: String, f: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let out = f(self);
        self.path.pop();
        out
    }

    pub fn key<T>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.below(format!(".{name}"), f)
    }

    /// The typed value, or `None` after a report.
    pub fn check(&mut self, ty: &Type, node: &Node) -> Option<Arg> {
        let value = match ty {
            Type::Any => ArgValue::Any(node.to_json()),
            Type::Tree => self.tree(node)?,
            Type::Object => self.object(node)?,
            Type::Shape(shape) => ArgValue::Map(self.shape(shape, node)?),
            Type::OneOf(types) => return self.one_of(types, node),
            Type::Steps => ArgValue::Steps(self.steps(node, |_| true)?),
            Type::List(item) => {
                let Kind::List(items) = &node.kind else { return self.wrong(ty, node) };
                let checked =
                    items.iter().enumerate().map(|(i, n)| self.below(format!("[{i}]"), |c| c.check(item, n)));
                ArgValue::List(checked.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?)
            }
            Type::Map(value) => {
                let Kind::Map(entries) = &node.kind else { return self.wrong(ty, node) };
                let checked: Vec<_> = entries
                    .iter()
                    .map(|(k, n)| self.key(&k.name, |c| c.check(value, n)).map(|arg| (k.name.clone(), arg)))
                    .collect();
                ArgValue::Map(checked.into_iter().collect::<Option<_>>()?)
            }
            scalar => return self.scalar(scalar, node),
        };
        Some(Arg { span: node.span.clone(), value })
    }

    pub fn wrong<T>(&mut self, ty: &Type, node: &Node) -> Option<T> {
        let message = format!("expected {}, found {}", ty.expected(), node.describe());
        self.report(Diagnostic::error("type", &node.span, message));
        None
    }

    fn tree(&mut self, node: &Node) -> Option<ArgValue> {
        match matching::Tree::compile(node) {
            Ok(tree) => Some(ArgValue::Tree(tree)),
            Err(problems) => {
                let path = self.path();
                for problem in problems.0 {
                    let inner =
                        format!("{path}{}{}", if problem.path.is_empty() { "" } else { "." }, problem.path);
                    self.session.problems.push(problem.at(inner));
                }
                None
            }
        }
    }

    fn object(&mut self, node: &Node) -> Option<ArgValue> {
        if !matches!(node.kind, Kind::Map(_)) {
            return self.wrong(&Type::Object, node);
        }
        Some(ArgValue::Object(node.to_json()))
    }

    /// The alternative whose form fits decides: a list for a list, a map for a map, else the scalars in turn.
    fn one_of(&mut self, types: &[Type], node: &Node) -> Option<Arg> {
        let fitting: Vec<&Type> = types.iter().filter(|ty| ty.fits(node)).collect();
        let Some((last, others)) = fitting.split_last() else {
            let expected = types.iter().map(Type::expected).collect::<Vec<_>>().join(", or ");
            let message = format!("expected {expected}, found {}", node.describe());
            self.report(Diagnostic::error("type", &node.span, message));
            return None;
        };
        for ty in others {
            let before = self.session.problems.len();
            if let Some(arg) = self.check(ty, node) {
                return Some(arg);
            }
            self.session.problems.0.truncate(before);
        }
        self.check(last, node)
    }

    pub fn shape(&mut self, shape: &Shape, node: &Node) -> Option<IndexMap<String, Arg>> {
        let none = Vec::new();
        let entries = match &node.kind {
            Kind::Map(entries) => entries,
            // `crashOperator:` with nothing behind it is the map without keys.
            Kind::Null => &none,
            _ => return self.wrong(&Type::Shape(shape.clone()), node),
        };
        let before = self.session.problems.len();
        let mut out = IndexMap::new();
        for (key, value) in entries {
            match shape.find(&key.name) {
                Some(known) => {
                    if let Some(arg) = self.key(&key.name, |c| c.check(&known.ty, value)) {
                        out.insert(key.name.clone(), arg);
                    }
                }
                None if shape.open => {
                    let value = ArgValue::Any(value.to_json());
                    out.insert(key.name.clone(), Arg { span: key.span.clone(), value });
                }
                None => self.unknown_key(key, shape.keys.iter().map(|k| k.name.as_str()).collect()),
            }
        }
        let names: Vec<&str> = entries.iter().map(|(k, _)| k.name.as_str()).collect();
        self.required(shape, &names, node);
        (self.session.problems.len() == before).then_some(out)
    }

    fn required(&mut self, shape: &Shape, names: &[&str], node: &Node) {
        // A misspelt key was already answered with this one as the nearest.
        let all: Vec<&str> = shape.keys.iter().map(|k| k.name.as_str()).collect();
        let unknown = names.iter().filter(|n| !all.contains(n));
        let meant: Vec<String> = unknown.filter_map(|n| crate::diagnostics::nearest(n, &all)).collect();
        let absent =
            |k: &&crate::vocabulary::Key| !names.contains(&k.name.as_str()) && !meant.contains(&k.name);
        let missing: Vec<&crate::vocabulary::Key> =
            shape.keys.iter().filter(|k| k.required).filter(absent).collect();
        for key in missing {
            let problem = Diagnostic::error("missing-key", &node.span, format!("`{}` is missing", key.name))
                .help(format!("add `{}: ..` ({}): {}", key.name, key.ty.expected(), key.doc));
            self.report(problem);
        }
        for rule in &shape.rules {
            let present: Vec<&str> =
                names.iter().copied().filter(|n| rule.keys().iter().any(|k| k == n)).collect();
            let said = rule.keys().iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            let meant = rule.keys().iter().any(|k| meant.contains(k));
            let message = match rule {
                Rule::ExactlyOne(_) | Rule::AtLeastOne(_) if present.is_empty() && meant => continue,
                Rule::ExactlyOne(_) | Rule::AtLeastOne(_) if present.is_empty() => {
                    format!("one of {said} is missing")
                }
                Rule::ExactlyOne(_) | Rule::AtMostOne(_) if present.len() > 1 => {
                    let present = present.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" and ");
                    format!("{present} exclude each other")
                }
                _ => continue,
            };
            let code = if present.is_empty() { "missing-key" } else { "exclusive-keys" };
            let help = match rule {
                Rule::ExactlyOne(_) => format!("write exactly one of {said}"),
                Rule::AtMostOne(_) => format!("write at most one of {said}"),
                Rule::AtLeastOne(_) => format!("write at least one of {said}"),
            };
            self.report(Diagnostic::error(code, &node.span, message).help(help));
        }
    }

    pub fn unknown_key(&mut self, key: &Key, allowed: Vec<&str>) {
        let mut problem = Diagnostic::error("unknown-key", &key.span, format!("unknown key `{}`", key.name));
        problem = problem.allowed(&key.name, allowed);
        if key.name.starts_with("//") {
            problem = problem.nearest(format!("# {}", key.name.trim_start_matches('/').trim()));
            problem = problem.help("`//` does not start a comment in YAML, `#` does");
        }
        self.report(problem);
    }

    /// Steps of a list; `admits` says which kinds may stand here.
    pub fn steps(&mut self, node: &Node, admits: impl Fn(StepKind) -> bool) -> Option<Vec<Step>> {
        let items = match &node.kind {
            Kind::List(items) => items,
            Kind::Null => return Some(Vec::new()),
            _ => return self.wrong(&Type::Steps, node),
        };
        let steps: Vec<Option<Step>> = items
            .iter()
            .enumerate()
            .map(|(i, item)| self.below(format!("[{i}]"), |c| c.step(item, &admits)))
            .collect();
        steps.into_iter().collect()
    }

    fn step(&mut self, node: &Node, admits: &dyn Fn(StepKind) -> bool) -> Option<Step> {
        if !self.session.count_step(node) {
            return None;
        }
        let (key, args) = self.word(node)?;
        let Some(schema) = self.vocabulary.step(&key.name) else {
            self.unknown_step(key);
            return None;
        };
        if key.name == "fault" {
            return self.key("fault", |c| c.wrapped_fault(args));
        }
        if !admits(schema.kind) {
            let allowed = self.vocabulary.steps().filter(|s| admits(s.kind)).map(|s| s.name.as_str());
            let problem =
                Diagnostic::error("misplaced-step", &key.span, format!("`{}` cannot stand here", key.name));
            let problem = problem.allowed(&key.name, allowed.collect::<Vec<_>>());
            self.report(problem.help("move it to `steps:`"));
            return None;
        }
        let arg = self.key(&key.name, |c| c.arguments(schema, key, args));
        let (label, virtual_only) = self.beside(node);
        Some(Step {
            name: schema.name.clone(),
            kind: schema.kind,
            label,
            virtual_only: virtual_only || schema.virtual_only,
            span: key.span.clone(),
            args: arg?,
        })
    }

    fn arguments(&mut self, schema: &StepSchema, key: &Key, args: &Node) -> Option<Arg> {
        // Nothing was written behind the word: point at the word, not at the void behind it.
        let at_word = Node { span: key.span.clone(), kind: args.kind.clone() };
        let args = if matches!(args.kind, Kind::Null) { &at_word } else { args };
        let mut arg = self.check(&schema.args, args);
        if schema.name == "use" {
            self.expand_fragment(arg.as_mut()?, args);
        }
        arg
    }

    /// `fault: {word: args}` is `word: args`, when the word is a fault.
    fn wrapped_fault(&mut self, args: &Node) -> Option<Step> {
        let is_fault = |kind: StepKind| kind == StepKind::Fault;
        if let Some((key, _)) = self.single_word(args)
            && self.vocabulary.step(&key.name).is_none_or(|s| !is_fault(s.kind))
        {
            let faults = self.vocabulary.steps().filter(|s| is_fault(s.kind)).map(|s| s.name.as_str());
            let problem = Diagnostic::error("unknown-fault", &key.span, format!("no fault `{}`", key.name));
            let problem = problem.allowed(&key.name, faults.collect::<Vec<_>>());
            self.report(problem);
            return None;
        }
        self.step(args, &is_fault)
    }

    fn single_word<'n>(&self, node: &'n Node) -> Option<&'n (Key, Node)> {
        match &node.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| !BESIDE.contains(&k.name.as_str())),
            _ => None,
        }
    }

    /// The one key of a step that is its word.
    fn word<'n>(&mut self, node: &'n Node) -> Option<(&'n Key, &'n Node)> {
        let Kind::Map(entries) = &node.kind else {
            let message = format!("expected a step, found {}", node.describe());
            let mut problem = Diagnostic::error("not-a-step", &node.span, message);
            problem = match node.as_text().and_then(|word| self.vocabulary.step(word.trim_end_matches(':'))) {
                Some(schema) => problem.nearest(schema.example.clone()),
                None => problem.help("a step is a word and its arguments: `advance: 10m`"),
            };
            self.report(problem);
            return None;
        };
        let words: Vec<&(Key, Node)> =
            entries.iter().filter(|(k, _)| !BESIDE.contains(&k.name.as_str())).collect();
        match words.as_slice() {
            [(key, args)] => Some((key, args)),
            [] => {
                let message = "a step without a word";
                let problem = Diagnostic::error("not-a-step", &node.span, message);
                self.report(problem.help("a step is a word and its arguments: `advance: 10m`"));
                None
            }
            [(first, _), (second, _), ..] => {
                let known = |key: &Key| self.vocabulary.step(&key.name).is_some();
                let problem = if known(first) && !known(second) {
                    // Arguments written beside the word instead of below it.
                    let message = format!("`{}` stands beside the step `{}`", second.name, first.name);
                    let help = format!("indent it further, or write `{}: {{..}}`", first.name);
                    Diagnostic::error("not-a-step", &second.span, message).help(help)
                } else {
                    let message = format!("two words in one step: `{}` and `{}`", first.name, second.name);
                    Diagnostic::error("not-a-step", &second.span, message).help("begin each step with `- `")
                };
                self.report(problem);
                None
            }
        }
    }

    fn beside(&mut self, node: &Node) -> (Option<String>, bool) {
        let label = node.get("name").and_then(|n| self.key("name", |c| c.check(&Type::Text, n)));
        let virtual_only =
            node.get("virtualOnly").and_then(|n| self.key("virtualOnly", |c| c.check(&Type::Bool, n)));
        let virtual_only = matches!(virtual_only, Some(Arg { value: ArgValue::Bool(true), .. }));
        (label.as_ref().and_then(Arg::as_text).map(str::to_owned), virtual_only)
    }

    fn unknown_step(&mut self, key: &Key) {
        let all: Vec<&str> = self.vocabulary.steps().map(|s| s.name.as_str()).collect();
        let problem = Diagnostic::error("unknown-step", &key.span, format!("no step `{}`", key.name));
        let mut problem = problem.allowed(&key.name, all);
        if matches!(key.name.as_str(), "sleep" | "wait") {
            let help = "say what to wait for: `eventually: {within: .., of: .., match: ..}`, or let time pass: `advance: 10m`";
            problem = problem.nearest("advance").help(help);
        } else if key.name.starts_with("//") {
            problem = problem.help("`//` does not start a comment in YAML, `#` does");
        }
        self.report(problem);
    }
}
