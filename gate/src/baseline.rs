//! The stored side of the comparison: one JSON file with what scenarios did, what was counted, and which ratios are
//! allowed. One line per entry, so that a change of the baseline reads as a diff. A flat map of names to whole numbers is
//! read and written as it is: a baseline of counts alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use drey_yaml::fields::{Fields, Problems, document};
use drey_yaml::files::{Disk, Files};
use drey_yaml::tree::{Kind, Node};
use drey_yaml::{API_VERSION, Diagnostic, Diagnostics, Source, Span};
use serde_json::{Value, json};

use crate::report::{CaseId, Cost, Outcome};

const KIND: &str = "GateBaseline";

/// What is stored. A section that is `None` was never stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    /// The file, as it was given.
    pub name: String,
    pub scenarios: Option<BTreeMap<CaseId, StoredCase>>,
    pub counts: Option<BTreeMap<String, StoredCount>>,
    pub ratios: Option<BTreeMap<String, StoredRatio>>,
    is_flat: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoredCase {
    pub result: Outcome,
    pub seed: u64,
    pub skipped_steps: u64,
    pub cost: Cost,
    /// Where in the baseline it stands.
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredCount {
    pub value: u64,
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredRatio {
    /// What it was when it was stored.
    pub ratio: Option<f64>,
    /// The most that is allowed.
    pub max: f64,
    /// Somebody chose `max`: an update leaves it alone.
    pub is_fixed: bool,
    pub line: u32,
}

impl Baseline {
    /// An empty one, to be filled by an update; flat where it will only hold counts.
    pub fn empty(path: &Path) -> Baseline {
        Baseline { name: path.display().to_string(), ..Baseline::default() }
    }

    pub fn read(path: &Path) -> Result<Baseline, Diagnostics> {
        let name = path.display().to_string();
        match Disk.read(path) {
            Ok(text) => Baseline::parse(&Source::new(name, text)),
            Err(error) => {
                let span = Span::start_of(&Source::new(name, ""));
                let problem = Diagnostic::error("unreadable", &span, format!("cannot be read: {error}"));
                Err(problem.help("name a baseline after --baseline; --update-baseline makes one").into())
            }
        }
    }

    pub fn parse(source: &Arc<Source>) -> Result<Baseline, Diagnostics> {
        let root = document(source)?;
        let problems = Problems::default();
        let found = match is_flat(&root) {
            true => problems.map(&root, "").map(|fields| read_flat(fields, &problems)),
            false => problems.map(&root, "").and_then(|fields| read_whole(fields, &problems)),
        };
        problems.finish(found.map(|baseline| Baseline { name: source.name().to_owned(), ..baseline }))
    }

    /// As it is written.
    pub fn render(&self) -> String {
        if self.is_flat && self.scenarios.is_none() && self.ratios.is_none() {
            let counts = self.counts.iter().flatten();
            return braces(0, counts.map(|(name, count)| (name.as_str(), count.value.to_string()))) + "\n";
        }
        let mut sections =
            vec![("apiVersion", json!(API_VERSION).to_string()), ("kind", json!(KIND).to_string())];
        if let Some(scenarios) = &self.scenarios {
            sections.push(("scenarios", render_scenarios(scenarios)));
        }
        if let Some(counts) = &self.counts {
            let counts = counts.iter().map(|(name, count)| (name.as_str(), count.value.to_string()));
            sections.push(("counts", braces(1, counts)));
        }
        if let Some(ratios) = &self.ratios {
            let ratios = ratios.iter().map(|(name, ratio)| (name.as_str(), render_ratio(ratio)));
            sections.push(("ratios", braces(1, ratios)));
        }
        braces(0, sections.into_iter()) + "\n"
    }

    /// Beside its place first and then in it: an interrupted write leaves the old one.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".new-{}", std::process::id()));
        std::fs::write(&fresh, self.render())?;
        std::fs::rename(&fresh, path)
    }
}

/// Nothing but counts, as some programs write them: no header, and every value a number.
fn is_flat(root: &Node) -> bool {
    let Kind::Map(entries) = &root.kind else { return false };
    !entries.is_empty() && entries.iter().all(|(_, node)| matches!(node.kind, Kind::Number(..)))
}

pub(crate) fn read_flat(fields: Fields<'_, '_>, problems: &Problems) -> Baseline {
    Baseline { counts: Some(read_counts(fields, problems)), is_flat: true, ..Baseline::default() }
}

fn read_whole(mut fields: Fields<'_, '_>, problems: &Problems) -> Option<Baseline> {
    fields.header(KIND)?;
    let scenarios = fields.map("scenarios").map(|files| {
        let cases =
            files.entries().filter_map(|(file, node, path)| {
                let cases = problems.map(node, &path)?.entries();
                Some(cases.filter_map(|(title, node, path)| {
                    read_case(&file.name, &title.name, node, &path, problems)
                }))
            });
        cases.flatten().collect()
    });
    let counts = fields.map("counts").map(|counts| read_counts(counts, problems));
    let ratios = fields.map("ratios").map(|ratios| {
        let ratios = ratios.entries().filter_map(|(name, node, path)| {
            let mut fields = problems.map(node, &path)?;
            fields.need("max");
            let (ratio, max) = (fields.positive("ratio"), fields.positive("max"));
            let (is_fixed, line) = (fields.flag("fixed") == Some(true), name.span.line());
            Some((name.name.clone(), StoredRatio { ratio, max: max?, is_fixed, line }))
        });
        ratios.collect()
    });
    Some(Baseline { name: String::new(), scenarios, counts, ratios, is_flat: false })
}

fn read_counts(fields: Fields<'_, '_>, problems: &Problems) -> BTreeMap<String, StoredCount> {
    let counts = fields.entries().filter_map(|(name, node, path)| {
        let value = problems.whole(node, path.trim_start_matches('.'))?;
        Some((name.name.clone(), StoredCount { value, line: name.span.line() }))
    });
    counts.collect()
}

fn read_case(
    file: &str,
    title: &str,
    node: &Node,
    path: &str,
    problems: &Problems,
) -> Option<(CaseId, StoredCase)> {
    let mut fields = problems.map(node, path)?;
    fields.need("outcome");
    let result = fields.word("outcome", &Outcome::NAMES).and_then(Outcome::named);
    let seed = fields.need_whole("seed");
    let skipped_steps = fields.whole("skippedSteps").unwrap_or(0);
    let mut count = |key| fields.whole(key).unwrap_or(0);
    let cost = Cost {
        scenario_ms: count("scenarioMs"),
        passes: count("passes"),
        calls: count("calls"),
        changes: count("changes"),
    };
    let (title, mode) = title.rsplit_once(MODE_MARK).unwrap_or((title, VIRTUAL));
    let id = CaseId { file: file.to_owned(), title: title.to_owned(), mode: mode.to_owned() };
    Some((id, StoredCase { result: result?, seed: seed?, skipped_steps, cost, line: node.span.line() }))
}

/// The mode that a title without a mark means.
pub const VIRTUAL: &str = "virtual";
const MODE_MARK: &str = " @ ";

fn render_scenarios(scenarios: &BTreeMap<CaseId, StoredCase>) -> String {
    let mut files: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    for (id, case) in scenarios {
        let title = match id.mode.as_str() {
            VIRTUAL => id.title.clone(),
            mode => format!("{}{MODE_MARK}{mode}", id.title),
        };
        files.entry(&id.file).or_default().push((title, render_case(case)));
    }
    let files = files.iter().map(|(file, cases)| {
        (*file, braces(2, cases.iter().map(|(title, case)| (title.as_str(), case.clone()))))
    });
    braces(1, files)
}

fn render_case(case: &StoredCase) -> String {
    let mut value = json!({"outcome": case.result.name(), "seed": case.seed});
    let Cost { scenario_ms, passes, calls, changes } = case.cost;
    let numbers = [
        ("scenarioMs", scenario_ms),
        ("passes", passes),
        ("calls", calls),
        ("changes", changes),
        ("skippedSteps", case.skipped_steps),
    ];
    numbers.iter().filter(|(_, number)| *number > 0).for_each(|(key, number)| value[*key] = json!(number));
    spaced(&value)
}

fn render_ratio(ratio: &StoredRatio) -> String {
    let mut value = json!({});
    if let Some(ratio) = ratio.ratio {
        value["ratio"] = json!(ratio);
    }
    value["max"] = json!(ratio.max);
    if ratio.is_fixed {
        value["fixed"] = json!(true);
    }
    spaced(&value)
}

/// A small object on one line.
fn spaced(value: &Value) -> String {
    let entries = value.as_object().into_iter().flatten();
    let entries: Vec<String> = entries.map(|(key, value)| format!("{}: {value}", json!(key))).collect();
    format!("{{{}}}", entries.join(", "))
}

/// An object with an entry per line.
fn braces<'e>(depth: usize, entries: impl Iterator<Item = (&'e str, String)>) -> String {
    let pad = "  ".repeat(depth + 1);
    let lines: Vec<String> = entries.map(|(key, text)| format!("{pad}{}: {text}", json!(key))).collect();
    match lines.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{}\n{}}}", lines.join(",\n"), "  ".repeat(depth)),
    }
}
