//! What a checked file takes in from others: fragments with their params, files of objects. Circles and depth are
//! bounded here; the number of steps that comes of it in `load`.

use super::args::{Arg, ArgValue, Manifest};
use super::checker::Checker;
use super::header::Sort;
use super::load::{filled, is_a, params_of, single};
use super::params::Scope;
use crate::diagnostics::Diagnostic;
use crate::files::normalise;
use crate::source::Span;
use crate::vocabulary::{StepKind, Type};
use crate::yaml::{Kind, Node};
use std::path::{Path, PathBuf};

/// Fragments may use fragments this deep.
const MAX_DEPTH: usize = 16;

impl Checker<'_, '_> {
    /// The top-level `use:` list: each entry is the step `use` without its word.
    pub(super) fn uses(&mut self, node: &Node) -> Vec<super::Step> {
        let Kind::List(items) = &node.kind else {
            self.wrong::<()>(&Type::list(Type::map(Type::Any)), node);
            return Vec::new();
        };
        let Some(schema) = self.vocabulary.step("use").cloned() else { return Vec::new() };
        let mut steps = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let step = self.below(format!("[{i}]"), |c| {
                let mut args = c.check(&schema.args, item)?;
                c.expand_fragment(&mut args, item);
                let name = schema.name.clone();
                Some(super::Step {
                    name,
                    kind: schema.kind,
                    label: None,
                    virtual_only: false,
                    span: item.span.clone(),
                    args,
                })
            });
            steps.extend(step);
        }
        steps
    }

    /// Puts the fragment's monitors and steps below the key `steps` of the `use` step.
    pub(super) fn expand_fragment(&mut self, arg: &mut Arg, node: &Node) {
        let Some(path) = arg.opt_file("file").map(|p| normalise(p)) else { return };
        let at = node.get("file").map_or_else(|| node.span.clone(), |n| n.span.clone());
        if let Some(start) = self.chain.iter().position(|(p, _)| *p == path) {
            self.report_cycle(start, &path, &at);
            return;
        }
        if self.chain.len() > MAX_DEPTH {
            let problem =
                Diagnostic::error("too-deep", &at, format!("fragments nested deeper than {MAX_DEPTH}"));
            self.report(problem);
            return;
        }
        let key = format!("{}.file", self.path());
        let Some(documents) = self.session.documents(&path, Some((&at, key))) else { return };
        let Some(root) = single(&path, &documents, self.session).cloned() else { return };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut scope = Scope { params: params_of(&root, self.session) };
        if !self.override_params(&mut scope, node) {
            return;
        }
        let mut body = Vec::new();
        for section in ["monitors", "steps"] {
            body.extend(root.get(section).map(|node| (section, filled(node, section, &scope, self.session))));
        }
        let before = self.session.problems.len();
        let mut inner = Checker::new(self.vocabulary, self.session, &scope, &folder);
        inner.chain = self.chain.clone();
        inner.chain.push((path, at.clone()));
        if !is_a(&mut inner, Sort::Fragment, &root) {
            self.session.problems.0[before..]
                .iter_mut()
                .for_each(|p| p.related.push((at.clone(), "uses it".to_owned())));
            return;
        }
        inner.check(&Sort::Fragment.shape().into(), &root);
        let mut steps = Vec::new();
        for (section, node) in &body {
            let monitors_only = *section == "monitors";
            let admits = |kind| !monitors_only || kind == StepKind::Monitor;
            steps.extend(inner.key(section, |c| c.steps(node, admits)).unwrap_or_default());
        }
        if let ArgValue::Map(map) = &mut arg.value {
            map.insert("steps".to_owned(), Arg { span: node.span.clone(), value: ArgValue::Steps(steps) });
        }
    }

    /// Puts the values of `with` over the fragment's defaults; false when one is missing.
    fn override_params(&mut self, scope: &mut Scope, node: &Node) -> bool {
        let given = match node.get("with").map(|with| &with.kind) {
            Some(Kind::Map(given)) => given.as_slice(),
            _ => &[],
        };
        for (key, value) in given {
            if !scope.params.contains_key(&key.name) {
                let message = format!("the fragment has no param `{}`", key.name);
                let problem = Diagnostic::error("unknown-param", &key.span, message);
                let known: Vec<&String> = scope.params.keys().collect();
                let problem = problem.allowed(&key.name, known);
                self.key("with", |c| c.report(problem));
                continue;
            }
            scope.params.insert(key.name.clone(), value.clone());
        }
        // What the fragment leaves null must be given.
        let Some((name, declared)) = scope.params.iter().find(|(_, value)| matches!(value.kind, Kind::Null))
        else {
            return true;
        };
        let message = format!("param `{name}` of the fragment has no value");
        let problem = Diagnostic::error("missing-value", &node.span, message);
        let problem = problem.related(&declared.span, "declares it without a default");
        self.report(problem.help(format!("add `with: {{{name}: ..}}`")));
        false
    }

    fn report_cycle(&mut self, start: usize, path: &Path, at: &Span) {
        let message = format!("`{}` uses itself", path.display());
        let mut problem = Diagnostic::error("cyclic-use", at, message);
        for (next, span) in self.chain[start..].iter().skip(1) {
            problem = problem.related(span, format!("uses {}", next.display()));
        }
        self.report(problem.help("remove one `use` of the circle"));
    }

    /// A path as written, relative to the file that names it.
    pub(super) fn relative(&self, text: &str) -> PathBuf {
        normalise(&self.folder.join(text))
    }

    /// Reads a file of objects, with params filled in.
    pub(super) fn manifest(&mut self, text: &str, node: &Node) -> Option<Manifest> {
        let path = self.relative(text);
        let key = self.path();
        let documents = self.session.documents(&path, Some((&node.span, key)))?;
        let mut objects = Vec::new();
        for document in documents.iter() {
            if !matches!(document.kind, Kind::Map(_)) {
                let message = format!("expected an object, found {}", document.describe());
                self.report(Diagnostic::error("type", &document.span, message));
                return None;
            }
            objects.push(filled(document, "", self.scope, self.session).to_json());
        }
        if objects.is_empty() {
            let problem =
                Diagnostic::error("empty-file", &node.span, format!("no object in `{}`", path.display()));
            self.report(problem);
            return None;
        }
        Some(Manifest { path, written: text.to_owned(), objects })
    }
}
