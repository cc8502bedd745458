//! Expressions (CEL) with positions and readable errors: compiled while a file is read, so that a misspelt name is a
//! message with a caret and not a failure in the middle of a run. Wraps the `cel` crate, whose error texts speak of
//! its own types. Leaves out: what `obj` or a product function means; the caller binds those.

mod convert;
mod fields;
mod names;

use crate::diagnostics::Diagnostic;
use crate::source::Span;
use cel::{Context, ExecutionError, Program};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A function the harness offers: receiver (for `x.f(..)`), arguments, result, all as JSON.
pub type Function = Arc<dyn Fn(Option<&Value>, &[Value]) -> Result<Value, String> + Send + Sync>;

/// Names and functions that expressions may use.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    functions: BTreeMap<String, (String, Function)>,
}

impl Environment {
    /// `obj`, `old`, `now`, `params` and the functions of CEL.
    pub fn standard() -> Environment {
        let mut environment = Environment { variables: BTreeMap::new(), functions: BTreeMap::new() };
        environment.variable("obj", "the object named by `of`; null when absent");
        environment.variable("old", "the object before the change, in monitors; null when it was absent");
        environment.variable("now", "scenario time, a timestamp");
        environment.variable("params", "the params of the case");
        environment
    }

    pub fn variable(&mut self, name: &str, doc: &str) {
        self.variables.insert(name.to_owned(), doc.to_owned());
    }

    /// Registers a function, callable as `name(args)` and as `receiver.name(args)`.
    pub fn function(
        &mut self,
        name: &str,
        doc: &str,
        function: impl Fn(Option<&Value>, &[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) {
        self.functions.insert(name.to_owned(), (doc.to_owned(), Arc::new(function)));
    }

    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, doc)| (name.as_str(), doc.as_str()))
    }

    pub fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().map(|(name, (doc, _))| (name.as_str(), doc.as_str()))
    }

    /// Compiles and checks names. The diagnostic points into the expression.
    pub fn compile(&self, source: &str, span: &Span) -> Result<Expression, Box<Diagnostic>> {
        let refuse = |message: String| Diagnostic::error("cel", span, message);
        if source.trim().is_empty() {
            return Err(refuse("empty expression".to_owned())
                .help("write a condition: `obj.status.ready`")
                .into());
        }
        if source.len() > MAX_LENGTH || nesting(source) > MAX_NESTING {
            let message =
                format!("longer than {MAX_LENGTH} characters or nested deeper than {MAX_NESTING} levels");
            return Err(refuse(message).help("split it into several checks").into());
        }
        let program = Program::compile(source).map_err(|errors| Box::new(syntax(source, span, &errors)))?;
        self.check_names(&program, source, span)?;
        let strict = Arc::new(fields::strict(program.expression()));
        Ok(Expression { source: source.to_owned(), span: span.clone(), program: Arc::new(program), strict })
    }

    fn check_names(&self, program: &Program, source: &str, span: &Span) -> Result<(), Box<Diagnostic>> {
        let used = names::used(program.expression());
        // A misspelt macro leaves its variable unbound too: functions are the better message.
        let known = |name: &str| self.functions.contains_key(name) || names::BUILT_IN.contains(&name);
        if let Some(name) = used.functions.iter().find(|name| !known(name)) {
            let all = names::BUILT_IN.iter().copied().filter(|n| n.starts_with(char::is_alphabetic));
            let all: Vec<&str> = self.functions.keys().map(String::as_str).chain(all).collect();
            let problem =
                Diagnostic::error("cel", &inside(source, span, name), format!("unknown function `{name}`"));
            return Err(Box::new(problem.allowed(name, all)));
        }
        if let Some(name) = used.variables.iter().find(|name| !self.variables.contains_key(*name)) {
            let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
            let problem =
                Diagnostic::error("cel", &inside(source, span, name), format!("unknown name `{name}`"));
            let help = "names start at one of the allowed ones; text needs quotes";
            return Err(Box::new(problem.allowed(name, known).help(help)));
        }
        Ok(())
    }

    fn context(&self) -> Context<'static> {
        let mut context = Context::default();
        for (name, (_, function)) in &self.functions {
            convert::register(&mut context, name, function.clone());
        }
        context
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.keys()).finish_non_exhaustive()
    }
}

/// Generous for a condition, small enough that parsing can never be the expensive part.
const MAX_LENGTH: usize = 4096;
const MAX_NESTING: usize = 32;

/// A compiled expression; cheap to clone.
#[derive(Clone)]
pub struct Expression {
    source: String,
    span: Span,
    program: Arc<Program>,
    /// What is evaluated.
    strict: Arc<cel::parser::Expression>,
}

impl Expression {
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Whether the expression reads this name: `old` makes a transition invariant.
    pub fn reads(&self, variable: &str) -> bool {
        names::used(self.program.expression()).variables.contains(variable)
    }

    /// The field paths below `obj` that the expression reads: what a failure shows the history of.
    pub fn fields_of(&self, variable: &str) -> Vec<String> {
        names::fields(self.program.expression(), variable)
    }

    /// The value as JSON.
    pub fn eval(&self, evaluator: &Evaluator, bindings: &Bindings) -> Result<Value, EvalError> {
        let mut scope = evaluator.context.new_inner_scope();
        for (name, value) in &bindings.0 {
            scope.add_variable_from_value(name.as_str(), value.clone());
        }
        // The crate computes `-x` and some conversions without checks: one absurd expression must not end a campaign.
        let run = AssertUnwindSafe(|| {
            scope.resolve(&self.strict).map_err(|error| match error {
                ExecutionError::NoSuchOverload => {
                    fields::missing_field(&self.strict, &scope).unwrap_or_else(|| convert::explain(&error))
                }
                other => convert::explain(&other),
            })
        });
        let gave_up = |_| EvalError::Failed("the expression engine gave up on these values".to_owned());
        let value = catch_unwind(run).map_err(gave_up)??;
        convert::to_json(&value)
    }

    /// The truth value. A field that is not there yet is `Missing`, which most callers take for false.
    pub fn holds(&self, evaluator: &Evaluator, bindings: &Bindings) -> Result<bool, EvalError> {
        match self.eval(evaluator, bindings)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(EvalError::NotBoolean(other.to_string())),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cel({:?})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.source == other.source && self.span == other.span
    }
}

/// The functions of an environment made ready once, for many evaluations.
pub struct Evaluator {
    context: Context<'static>,
}

impl Evaluator {
    pub fn new(environment: &Environment) -> Evaluator {
        Evaluator { context: environment.context() }
    }
}

/// Values of the names for one evaluation. Names of the standard environment that are not bound are null.
#[derive(Clone)]
pub struct Bindings(BTreeMap<String, cel::Value>);

impl Default for Bindings {
    fn default() -> Bindings {
        let names = ["obj", "old", "now", "params"];
        Bindings(names.iter().map(|name| ((*name).to_owned(), cel::Value::Null)).collect())
    }
}

impl Bindings {
    pub fn new(now: Timestamp) -> Bindings {
        let mut bindings = Bindings::default();
        bindings.0.insert("now".to_owned(), convert::timestamp(now));
        bindings
    }

    pub fn with(mut self, name: &str, value: &Value) -> Bindings {
        self.0.insert(name.to_owned(), convert::from_json(value));
        self
    }
}

/// Why an expression has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A field or element is not there: not yet, for most checks.
    #[error("no `{0}` here; guard with has(..) if it may be absent")]
    Missing(String),
    #[error("the expression yields {0}, not true or false")]
    NotBoolean(String),
    #[error("{0}")]
    Failed(String),
}

fn nesting(source: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    // Prefix operators nest without brackets: `!!!!x`, `- - -1`.
    let mut prefixes = 0;
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '!' | '-' | '?' => prefixes += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest.max(prefixes / 4)
}

/// The place of `name` within the expression, as a whole word.
fn inside(source: &str, span: &Span, name: &str) -> Span {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let places = source.match_indices(name).map(|(at, _)| at);
    let whole = |at: &usize| {
        !word(source[..*at].chars().next_back()) && !word(source[at + name.len()..].chars().next())
    };
    match places.into_iter().find(whole) {
        Some(at) => column(source, span, source[..at].chars().count(), name.chars().count()),
        None => span.clone(),
    }
}

/// A place within the expression. Exact when it stands in the file as one line, unescaped; else the whole of it.
fn column(source: &str, span: &Span, offset: usize, width: usize) -> Span {
    let line = span.source().line(span.line());
    let written: String = line.chars().skip(span.column() as usize - 1).collect();
    match written.find(source) {
        Some(start) => span.shifted((written[..start].chars().count() + offset) as u32, width as u32),
        None => span.clone(),
    }
}

fn syntax(source: &str, span: &Span, errors: &cel::ParseErrors) -> Diagnostic {
    let Some(first) = errors.errors.first() else {
        return Diagnostic::error("cel", span, "not an expression");
    };
    let length = source.chars().count();
    let offset = usize::try_from(first.pos.1 - 1).unwrap_or(0);
    let place =
        if first.pos.0 <= 1 && offset < length { column(source, span, offset, 1) } else { span.clone() };
    let problem = Diagnostic::error("cel", &place, format!("not an expression: {}", tidy(&first.msg)));
    match mistaken(source) {
        Some((better, help)) => problem.nearest(better).help(help),
        None if offset >= length => problem.help("complete it: an operator or bracket waits for more"),
        None => problem.help("CEL is written like C: `obj.a == 1 && (obj.b in ['x', 'y'] || !has(obj.c))`"),
    }
}

/// Spellings of other languages.
fn mistaken(source: &str) -> Option<(String, &'static str)> {
    for (wrong, right, help) in [
        (" and ", " && ", "CEL writes `and` as `&&`"),
        (" or ", " || ", "CEL writes `or` as `||`"),
        ("===", "==", "CEL compares with `==`"),
        (" is ", " == ", "CEL compares with `==`"),
    ] {
        if source.contains(wrong) {
            return Some((source.replace(wrong, right), help));
        }
    }
    let lone = source.replace("==", "").replace("!=", "").replace(">=", "").replace("<=", "");
    if lone.matches('=').count() == 1 {
        return Some((source.replacen('=', "==", 1), "CEL compares with `==`"));
    }
    None
}

/// The parser's texts name its grammar; what helps is the text it stumbled over.
fn tidy(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = message.split_once(" expecting ").map_or(message, |(start, _)| start);
    if message.contains("<EOF>") {
        return "it ends too early".to_owned();
    }
    match message.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')) {
        Some((text, _)) if !text.trim().is_empty() => format!("unexpected `{}`", text.trim()),
        _ => message.to_owned(),
    }
}
