//! The report of a scenario run, read from its `events.jsonl`: what became of each case, how much scenario time it took,
//! and how much the operator did. Fields and records it does not know are passed over, as that format promises its
//! readers. Runs that crash the operator at one write are told under the case they belong to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use drey_yaml::fields::{Fields, Problems, not_json};
use drey_yaml::tree::Node;
use drey_yaml::{Diagnostic, Diagnostics, Source, Span};
use serde::{Deserialize, Serialize};

/// Versions of the JSON lines that are understood.
const SCHEMAS: [u64; 1] = [2];
/// A record longer than this is not one of ours.
const LINE_MAX: u64 = 64 << 20;

/// What was run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order of files and titles.
    pub cases: BTreeMap<CaseId, Case>,
    /// All runs, those that crash the operator included.
    pub runs: usize,
    /// Where it was read from, for those who pass on what lies beside it.
    pub folder: Option<PathBuf>,
}

/// Which case: the file, its title as reports show it, and the mode it ran in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseId {
    pub file: String,
    pub title: String,
    pub mode: String,
}

/// One case of a scenario, with the runs that crash the operator in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub seed: u64,
    pub result: Outcome,
    /// Why, when it did not pass; several lines.
    pub why: String,
    /// What it waited for or which judge spoke: `eventually`, `invariant`.
    pub check: String,
    /// The line that failed.
    pub place: Option<Place>,
    pub replay: String,
    pub skipped_steps: usize,
    pub cost: Cost,
}

/// What a run of a case took. Exact in virtual time, for one seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub scenario_ms: u64,
    /// Passes of the reconciler.
    pub passes: u64,
    /// Calls to the product's own API.
    pub calls: u64,
    /// Changes of objects, by whoever.
    pub changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Passed,
    Skipped,
    Failed,
    Broken,
}

impl Outcome {
    pub const NAMES: [&'static str; 4] = ["passed", "skipped", "failed", "broken"];

    pub fn named(name: &str) -> Option<Outcome> {
        let all = [Outcome::Passed, Outcome::Skipped, Outcome::Failed, Outcome::Broken];
        all.into_iter().find(|outcome| outcome.name() == name)
    }

    pub fn name(self) -> &'static str {
        Outcome::NAMES[self as usize]
    }

    pub fn is_bad(self) -> bool {
        matches!(self, Outcome::Failed | Outcome::Broken)
    }
}

/// A line of a file, and where in it, if that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Place {
    pub fn line(file: &str, line: u32) -> Place {
        Place { file: file.to_owned(), line, column: None }
    }

    /// `a/b.yaml:12`, `a/b.yaml:12:3`.
    pub fn parse(text: &str) -> Option<Place> {
        let (rest, last) = text.rsplit_once(':')?;
        let last: u32 = last.parse().ok()?;
        let place = match rest.rsplit_once(':').map(|(file, line)| (file, line.parse())) {
            Some((file, Ok(line))) => Place { file: tidy(file), line, column: (last > 0).then_some(last) },
            _ => Place { file: tidy(rest), line: last, column: None },
        };
        (!place.file.is_empty() && place.line > 0).then_some(place)
    }
}

/// `./a/b` and `a/b` are the same file.
fn tidy(path: &str) -> String {
    drey_yaml::files::normalise(Path::new(path)).display().to_string()
}

impl Report {
    /// Reads a report folder, or the JSON lines of `drey run --format json`.
    pub fn read(path: &Path) -> Result<Report, Diagnostics> {
        let (file, folder) = match path.is_dir() {
            true => (path.join("events.jsonl"), Some(path.to_path_buf())),
            false => (path.to_path_buf(), path.parent().map(Path::to_path_buf)),
        };
        let name = file.display().to_string();
        let opened = File::open(&file).map_err(|error| unreadable(&name, &error.to_string()))?;
        let report = Report::parse(&name, BufReader::new(opened))?;
        Ok(Report { folder, ..report })
    }

    /// Reads JSON lines; `name` is what messages call them.
    pub fn parse(name: &str, mut lines: impl BufRead) -> Result<Report, Diagnostics> {
        let mut reading = Reading {
            name,
            report: Report::default(),
            number: 0,
            state: State::Start,
            counts: BTreeMap::new(),
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            reading.number += 1;
            let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
            let length = read.map_err(|error| unreadable(name, &error.to_string()))?;
            if length == 0 {
                return reading.end();
            }
            if length as u64 == LINE_MAX {
                return Err(reading
                    .problem("", "a line without end")
                    .help("is this the events.jsonl of `drey run`?")
                    .into());
            }
            let text = String::from_utf8_lossy(&line);
            reading.record(text.trim_end())?;
        }
    }
}

fn unreadable(name: &str, why: &str) -> Diagnostics {
    let span = Span::start_of(&Source::new(name, ""));
    let problem = Diagnostic::error("unreadable", &span, format!("cannot be read: {why}"));
    problem.help("give the folder that `drey run --report DIR` wrote, or its events.jsonl").into()
}

/// How far the file has told its story.
#[derive(PartialEq)]
enum State {
    Start,
    Records,
    Ended,
}

struct Reading<'r> {
    name: &'r str,
    report: Report,
    number: u32,
    state: State,
    /// Events so far of runs that have not ended.
    counts: BTreeMap<String, Cost>,
}

/// What decides how a line is read; the rest of an event is skipped unparsed.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type", default)]
    record: String,
    #[serde(default)]
    case: String,
    #[serde(default)]
    kind: String,
}

impl Reading<'_> {
    fn record(&mut self, text: &str) -> Result<(), Diagnostics> {
        if text.is_empty() {
            return Ok(());
        }
        let head: Head = serde_json::from_str(text).map_err(|error| self.not_a_record(text, &error))?;
        match (head.record.as_str(), &self.state) {
            ("run", State::Start) => {
                self.state = State::Records;
                self.schema(text)
            }
            (_, State::Start) => Err(self
                .problem(text, "the first record is not of type `run`")
                .help("is this the events.jsonl of `drey run --report`, from its beginning?")
                .into()),
            (_, State::Ended) => Err(self
                .problem(text, "a record after the `summary`")
                .help("were two runs written to one file? give each its own")
                .into()),
            ("event", State::Records) => {
                let cost = self.counts.entry(head.case).or_default();
                match head.kind.as_str() {
                    "reconcile" => cost.passes += 1,
                    "call" => cost.calls += 1,
                    "change" => cost.changes += 1,
                    _ => {}
                }
                Ok(())
            }
            ("result", State::Records) => self.result(text),
            ("summary", State::Records) => {
                self.state = State::Ended;
                Ok(())
            }
            // `case`, and what later versions may add.
            (_, State::Records) => Ok(()),
        }
    }

    fn end(self) -> Result<Report, Diagnostics> {
        match self.state {
            State::Ended => Ok(self.report),
            State::Start => Err(self.problem("", "the file is empty").help("run the scenarios again").into()),
            State::Records => Err(self
                .problem("", "the file ends before its `summary` record")
                .help("the run was interrupted or the file cut off: run the scenarios again")
                .into()),
        }
    }

    fn schema(&self, text: &str) -> Result<(), Diagnostics> {
        let (problems, node) = self.tree(text)?;
        let found = problems.map(&node, "").and_then(|fields| {
            let mut fields = fields.lenient();
            let schema = fields.need_whole("schema")?;
            if SCHEMAS.contains(&schema) {
                return Some(());
            }
            let message = format!("schema {schema} is not one this drey reads");
            let problem = Diagnostic::error("version", fields.span(), message);
            let known: Vec<String> = SCHEMAS.iter().map(u64::to_string).collect();
            let help = "run the scenarios and the gate with the same drey";
            fields.push("schema", Diagnostic { allowed: known, ..problem }.help(help));
            None
        });
        problems.finish(found)
    }

    fn result(&mut self, text: &str) -> Result<(), Diagnostics> {
        let (problems, node) = self.tree(text)?;
        let found = problems.map(&node, "").and_then(|fields| read_result(fields.lenient()));
        let (title, id, mut case) = problems.finish(found)?;
        let cost = self.counts.remove(&title).unwrap_or_default();
        case.cost = Cost { scenario_ms: case.cost.scenario_ms, ..cost };
        self.report.runs += 1;
        let (title, is_crash) = without_crash(&id.title);
        let id = CaseId { title, ..id };
        match self.report.cases.get_mut(&id) {
            None => drop(self.report.cases.insert(id, case)),
            // The case comes before its crashes; what it took is its own, what went wrong is the worst of all.
            Some(known) if is_crash => known.join(case),
            Some(_) => {
                return Err(self
                    .problem(text, &format!("{} of {} is told twice", id.title, id.file))
                    .help("were two runs written to one file? give each its own")
                    .into());
            }
        }
        Ok(())
    }

    fn tree(&self, text: &str) -> Result<(Problems, Node), Diagnostics> {
        let value = serde_json::from_str(text).map_err(|error| self.not_a_record(text, &error))?;
        Ok((Problems::default(), Node::from_json(&value, &self.span(text))))
    }

    fn not_a_record(&self, text: &str, error: &serde_json::Error) -> Diagnostics {
        let source = Source::new(self.name, text);
        let mut told = not_json(&source, error);
        for problem in &mut told.0 {
            problem.span = self.span(text).shifted(problem.span.column().saturating_sub(1), 1);
            if error.is_eof() {
                problem.help =
                    Some("the run was interrupted or the file cut off: run the scenarios again".to_owned());
            }
        }
        told
    }

    fn problem(&self, text: &str, message: &str) -> Diagnostic {
        Diagnostic::error("report", &self.span(text), message)
    }

    /// This line, in a source that has only this line to show.
    fn span(&self, text: &str) -> Span {
        let shown: String = text.chars().take(4096).collect();
        let source = Source::new(self.name, "\n".repeat(self.number.saturating_sub(1) as usize) + &shown);
        Span::new(&source, self.number, 1, 1)
    }
}

impl Case {
    fn join(&mut self, crash: Case) {
        if crash.result > self.result && crash.result.is_bad() {
            let Case { result, why, check, place, replay, .. } = crash;
            (self.result, self.why, self.check, self.place, self.replay) =
                (result, why, check, place, replay);
        }
    }
}

/// `x [a=b,crash=7-reply-lost]` -> `x [a=b]`; whether it was a crash.
fn without_crash(title: &str) -> (String, bool) {
    let Some((head, tail)) = title.rsplit_once(",crash=") else { return (title.to_owned(), false) };
    if !tail.ends_with(']') {
        return (title.to_owned(), false);
    }
    match head.strip_suffix(" [default") {
        Some(name) => (name.to_owned(), true),
        None => (format!("{head}]"), true),
    }
}

fn read_result(mut fields: Fields<'_, '_>) -> Option<(String, CaseId, Case)> {
    let title = fields.need_text("case");
    let file = fields.need_text("file");
    let mode = fields.need_text("mode");
    let seed = fields.need_whole("seed");
    let scenario_ms = fields.need_map("elapsed").and_then(|elapsed| {
        let mut elapsed = elapsed.lenient();
        Some(elapsed.need_whole("secs")?.saturating_mul(1000) + elapsed.need_whole("nanos")? / 1_000_000)
    });
    let replay = fields.text("replay").unwrap_or_default().to_owned();
    let skipped_steps = fields.list("skippedSteps").len();
    let outcome = fields.need_map("outcome").and_then(|outcome| read_outcome(outcome.lenient()));
    let (result, why, check, at) = outcome?;
    let (file, title) = (tidy(file?), title?);
    let place = match at {
        Some(place) => Some(place),
        None => result.is_bad().then(|| Place::line(&file, 1)),
    };
    let cost = Cost { scenario_ms: scenario_ms?, ..Cost::default() };
    let id = CaseId { file, title: title.to_owned(), mode: mode?.to_owned() };
    let case = Case { seed: seed?, result, why, check, place, replay, skipped_steps, cost };
    Some((title.to_owned(), id, case))
}

fn read_outcome(mut fields: Fields<'_, '_>) -> Option<(Outcome, String, String, Option<Place>)> {
    fields.need("result")?;
    let result = Outcome::named(fields.word("result", &Outcome::NAMES)?)?;
    let told = match result {
        Outcome::Passed => (String::new(), String::new(), None),
        Outcome::Skipped => (fields.need_text("reason")?.to_owned(), String::new(), None),
        Outcome::Broken => (fields.need_text("error")?.to_owned(), "harness".to_owned(), None),
        Outcome::Failed => match fields.list("failures").first() {
            Some(first) => {
                let path = fields.place("failures[0]");
                fields.problems().map(first, &path).and_then(|failure| read_failure(failure.lenient()))?
            }
            None => ("no failure is told".to_owned(), String::new(), None),
        },
    };
    let (why, check, place) = told;
    Some((result, why, check, place))
}

fn read_failure(mut fields: Fields<'_, '_>) -> Option<(String, String, Option<Place>)> {
    let check = fields.need_text("check")?.to_owned();
    let expected = fields.need_text("expected")?;
    let object = fields.text("object").map(|object| format!("{object} ")).unwrap_or_default();
    let mut why = format!("{check}: {object}{expected}");
    for mismatch in fields.list("mismatches").iter().take(3).map(Node::to_json) {
        let text = |key: &str| mismatch[key].as_str().unwrap_or_default().to_owned();
        let actual = match &mismatch["actual"] {
            serde_json::Value::Null => "absent".to_owned(),
            other => other.to_string(),
        };
        why.push_str(&format!("\n{}: expected {}, is {actual}", text("path"), text("expected")));
    }
    if let Some(note) = fields.text("note") {
        note.lines().take(6).for_each(|line| why.push_str(&format!("\n{line}")));
    }
    let place = fields.text("at").and_then(Place::parse);
    Some((why, check, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |file: &str, line, column| Some(Place { file: file.to_owned(), line, column });
        assert_eq!(Place::parse("a/b.yaml:12"), place("a/b.yaml", 12, None));
        assert_eq!(Place::parse("./a.yaml:12:3"), place("a.yaml", 12, Some(3)));
        assert_eq!(Place::parse("C:/a.yaml:12:3"), place("C:/a.yaml", 12, Some(3)));
        for other in ["a.yaml", "a.yaml:", ":3", "a.yaml:0", ""] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }

    #[test]
    fn crashes_belong_to_their_case() {
        let check =
            |title: &str, case: &str, is_crash| assert_eq!(without_crash(title), (case.to_owned(), is_crash));
        check("x", "x", false);
        check("x [a=b]", "x [a=b]", false);
        check("x [default,crash=7-reply-lost]", "x", true);
        check("x [a=b,c=d,crash=1-not-sent]", "x [a=b,c=d]", true);
    }
}
