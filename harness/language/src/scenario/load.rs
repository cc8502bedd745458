//! From paths to scenarios: reads files, finds the cells of the matrix, fills params in and checks each case.
//! Fragments and object files are read once per parse, however many cases use them.

use super::args::Arg;
use super::checker::Checker;
use super::crds;
use super::header::{self, Sort};
use super::matrix;
use super::params::{Scope, Substitution};
use super::{Case, Scenario};
use crate::diagnostics::{Diagnostic, Diagnostics, nearest};
use crate::files::{Disk, Files, normalise};
use crate::source::{Source, Span};
use crate::vocabulary::{StepKind, Type, Vocabulary};
use crate::yaml::{Kind, Node, parse_documents};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Steps of one case, fragments included.
const MAX_STEPS: usize = 10_000;

/// Reads and checks a scenario file.
pub fn parse(path: &Path, vocabulary: &Vocabulary) -> Result<Scenario, Diagnostics> {
    parse_with(path, vocabulary, &Disk)
}

/// The same, with files from anywhere.
pub fn parse_with(path: &Path, vocabulary: &Vocabulary, files: &dyn Files) -> Result<Scenario, Diagnostics> {
    let mut session = Session::new(files);
    let scenario = load(path, vocabulary, &mut session);
    let mut problems = session.problems;
    problems.settle();
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => Err(problems),
    }
}

/// The fragment files a checked scenario took in, for watch modes and reports.
pub fn fragments_of(scenario: &Scenario) -> Vec<PathBuf> {
    let all = scenario.cases.iter().flat_map(Case::all_steps).filter(|s| s.name == "use");
    let found: BTreeSet<PathBuf> = all.filter_map(|s| s.args.opt_file("file").cloned()).collect();
    found.into_iter().collect()
}

/// What one call of `parse` shares between its cases.
pub(super) struct Session<'s> {
    files: &'s dyn Files,
    cache: BTreeMap<PathBuf, Option<Arc<Vec<Node>>>>,
    pub problems: Diagnostics,
    pub used_params: BTreeSet<String>,
    steps: usize,
}

impl<'s> Session<'s> {
    fn new(files: &'s dyn Files) -> Session<'s> {
        Session {
            files,
            cache: BTreeMap::new(),
            problems: Diagnostics::default(),
            used_params: BTreeSet::new(),
            steps: 0,
        }
    }

    /// Bounds the work: fragments that use fragments can multiply.
    pub fn count_step(&mut self, node: &Node) -> bool {
        self.steps += 1;
        if self.steps == MAX_STEPS + 1 {
            let message = format!("more than {MAX_STEPS} steps in one case");
            self.problems
                .push(Diagnostic::error("too-many-steps", &node.span, message).help("use `repeat:`"));
        }
        self.steps <= MAX_STEPS
    }

    /// The documents of a file; `None` after a report. `at` is where the file is named, if anywhere.
    pub fn documents(&mut self, path: &Path, at: Option<(&Span, String)>) -> Option<Arc<Vec<Node>>> {
        let path = normalise(path);
        if let Some(known) = self.cache.get(&path) {
            if let (None, Some((span, key))) = (known, &at) {
                let message = format!("file `{}` could not be read", path.display());
                self.problems.push(Diagnostic::error("bad-file", span, message).at(key.clone()));
            }
            return known.clone();
        }
        let loaded = match self.files.read(&path) {
            Err(error) => {
                self.problems.push(self.unreadable(&path, &error, at));
                None
            }
            Ok(text) => {
                let source = Source::new(path.display().to_string(), text);
                match parse_documents(&source) {
                    Ok(nodes) => Some(Arc::new(nodes)),
                    Err(problems) => {
                        self.problems.0.extend(problems.0);
                        None
                    }
                }
            }
        };
        self.cache.insert(path, loaded.clone());
        loaded
    }

    fn unreadable(&self, path: &Path, error: &std::io::Error, at: Option<(&Span, String)>) -> Diagnostic {
        let shown = path.display();
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let message =
            if missing { format!("no file `{shown}`") } else { format!("cannot read `{shown}`: {error}") };
        let code = if missing { "missing-file" } else { "bad-file" };
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let found = nearest(name, &self.files.siblings(path)).filter(|_| missing);
        match at {
            None => {
                let source = Source::new(shown.to_string(), "");
                let problem = Diagnostic::error(code, &Span::start_of(&source), message);
                match found {
                    Some(found) => problem.nearest(path.with_file_name(found).display().to_string()),
                    None if error.kind() == std::io::ErrorKind::InvalidData => {
                        problem.help("save it as UTF-8")
                    }
                    None => problem.help("give the path of a scenario file"),
                }
            }
            Some((span, key)) => {
                let problem = Diagnostic::error(code, span, message).at(key);
                match found {
                    Some(found) => problem.nearest(path.with_file_name(found).display().to_string()),
                    None => problem.help("paths are relative to the file that names them"),
                }
            }
        }
    }
}

fn load(path: &Path, vocabulary: &Vocabulary, session: &mut Session<'_>) -> Option<Scenario> {
    let documents = session.documents(path, None)?;
    let root = single(path, &documents, session)?.clone();
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let none = Scope::default();
    let mut checker = Checker::new(vocabulary, session, &none, &folder);
    if !is_a(&mut checker, Sort::Scenario, &root) {
        return None;
    }
    checker.check(&Sort::Scenario.shape().into(), &root);
    let (crds, words) = crds::declared(&root, &folder, vocabulary, checker.session);
    let mut checker = Checker::new(&words, checker.session, &none, &folder);
    let metadata = match root.get("metadata") {
        Some(node @ Node { kind: Kind::Map(_), .. }) => header::metadata(&mut checker, node),
        _ => Default::default(),
    };
    let modes = header::modes(&mut checker, root.get("modes"));
    let matrix = header::matrix(&mut checker, root.get("matrix"));
    let declared = params_of(&root, checker.session);
    let cells = match &matrix {
        Some(matrix) => matrix.expand(&mut checker.session.problems),
        None => vec![IndexMap::new()],
    };
    // Checking the body needs some cell; a broken matrix must not hide what else is wrong.
    let cells = if cells.is_empty() { vec![IndexMap::new()] } else { cells };
    let declared_params = declared.iter().map(|(name, node)| (name.clone(), node.span.clone())).collect();
    let mut cases = Vec::new();
    for (index, cell) in cells.into_iter().enumerate() {
        let before = session.problems.len();
        cases.extend(case(&root, &declared, cell.clone(), &words, &crds, session, path));
        if index > 0 {
            let name = matrix::name(&cell);
            session.problems.0[before..].iter_mut().for_each(|p| p.case = Some(name.clone()));
        }
    }
    let used_params = session.used_params.iter().cloned().collect();
    Some(Scenario { path: path.to_owned(), metadata, modes, cases, declared_params, used_params })
}

/// The one document of a file.
pub(super) fn single<'d>(path: &Path, documents: &'d [Node], session: &mut Session<'_>) -> Option<&'d Node> {
    match documents {
        [root] => Some(root),
        [] => {
            let source = Source::new(path.display().to_string(), "");
            let problem = Diagnostic::error("empty-file", &Span::start_of(&source), "the file is empty");
            session.problems.push(problem.help("begin with `apiVersion: drey/v1` and `kind: Scenario`"));
            None
        }
        [_, second, ..] => {
            let problem =
                Diagnostic::error("several-documents", &second.span, "a second document in one file");
            session.problems.push(problem.help("one file is one scenario; move the second to its own file"));
            None
        }
    }
}

/// A file of another kind would only produce noise below: say it once.
pub(super) fn is_a(checker: &mut Checker<'_, '_>, sort: Sort, root: &Node) -> bool {
    if !matches!(root.kind, Kind::Map(_)) {
        checker.wrong::<()>(&sort.shape().into(), root);
        return false;
    }
    let other = match sort {
        Sort::Scenario => Sort::Fragment,
        Sort::Fragment => Sort::Scenario,
    };
    match root.get("kind") {
        Some(kind) if kind.as_text() == Some(other.kind()) => {
            let message = format!("expected a file of kind {}, found {}", sort.kind(), other.kind());
            let help = match sort {
                Sort::Scenario => "a fragment is not run by itself: name it in `use:` of a scenario",
                Sort::Fragment => {
                    "only fragments can be used; move the shared steps to a file of `kind: Fragment`"
                }
            };
            checker.report(Diagnostic::error("wrong-kind", &kind.span, message).at("kind").help(help));
            false
        }
        _ => true,
    }
}

pub(super) fn params_of(root: &Node, session: &mut Session<'_>) -> IndexMap<String, Node> {
    let Some(Node { kind: Kind::Map(entries), .. }) = root.get("params") else { return IndexMap::new() };
    for (key, value) in entries {
        if value.to_json().to_string().contains("${params.") {
            let problem = Diagnostic::error("param-in-param", &value.span, "a param cannot refer to params");
            session.problems.push(problem.at(format!("params.{}", key.name)).help("write the value out"));
        }
    }
    entries.iter().map(|(key, value)| (key.name.clone(), value.clone())).collect()
}

pub(super) fn filled(node: &Node, key: &str, scope: &Scope, session: &mut Session<'_>) -> Node {
    let (problems, used) = (&mut session.problems, &mut session.used_params);
    Substitution { scope, problems, used }.apply(node, key)
}

fn case(
    root: &Node,
    declared: &IndexMap<String, Node>,
    cell: matrix::Cell,
    vocabulary: &Vocabulary,
    crds: &Arc<Vec<serde_json::Value>>,
    session: &mut Session<'_>,
    path: &Path,
) -> Option<Case> {
    let mut scope = Scope { params: declared.clone() };
    scope.params.extend(cell.clone());
    session.steps = 0;
    let mut section = |key: &str| root.get(key).map(|node| filled(node, key, &scope, session));
    let (clock, world, uses) = (section("clock"), section("world"), section("use"));
    let (monitors, steps, catch) = (section("monitors"), section("steps"), section("catch"));
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut checker = Checker::new(vocabulary, session, &scope, folder);
    checker.chain.push((normalise(path), Span::start_of(root.span.source())));
    let clock = header::clock(&mut checker, clock.as_ref());
    let world = match &world {
        None => Some(Arg::empty_map(&root.span)),
        Some(node) => checker.key("world", |c| c.check(&Type::Shape(vocabulary.world().clone()), node)),
    };
    let mut before = uses.as_ref().map_or_else(Vec::new, |node| checker.key("use", |c| c.uses(node)));
    let monitors = monitors
        .as_ref()
        .and_then(|node| checker.key("monitors", |c| c.steps(node, |kind| kind == StepKind::Monitor)));
    let steps = steps.as_ref().and_then(|node| checker.key("steps", |c| c.steps(node, |_| true)));
    let catch = catch.as_ref().and_then(|node| checker.key("catch", |c| c.steps(node, |_| true)));
    before.extend(steps.unwrap_or_default());
    let json = |nodes: &IndexMap<String, Node>| nodes.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
    Some(Case {
        name: matrix::name(&cell),
        axes: json(&cell),
        params: json(&scope.params),
        clock,
        crds: crds.clone(),
        world: world?,
        monitors: monitors.unwrap_or_default(),
        steps: before,
        catch: catch.unwrap_or_default(),
    })
}
