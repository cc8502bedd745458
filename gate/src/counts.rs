//! Exact counts: requests, writes, allocations, instructions. Smaller is better, and every difference is told. Leaves out:
//! counting, and anything that varies from run to run; that is for `ratios`.

use std::collections::BTreeMap;
use std::path::Path;

use drey_yaml::fields::{Fields, Problems, document};
use drey_yaml::files::{Disk, Files};
use drey_yaml::tree::Kind;
use drey_yaml::{API_VERSION, Diagnostic, Diagnostics, Source, Span};
use serde_json::json;

use crate::baseline::{Baseline, StoredCount};
use crate::judge::Limits;
use crate::report::Place;
use crate::verdict::{Finding, Section, Weight};

const KIND: &str = "GateCounts";

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub values: BTreeMap<String, u64>,
    /// What this run could not count, by pattern (`*` is any text): neither gone nor forgotten.
    pub left_out: Vec<String>,
    /// The most that counts of these names may be, whatever is stored.
    pub goals: BTreeMap<String, u64>,
}

impl Counts {
    /// Reads a `GateCounts` file, or a flat map of names to whole numbers.
    pub fn read(path: &Path) -> Result<Counts, Diagnostics> {
        let source = read_source(path, "give the file with the counts after --counts")?;
        let root = document(&source)?;
        let problems = Problems::default();
        let is_flat = match &root.kind {
            Kind::Map(entries) => {
                !entries.iter().any(|(key, _)| key.name == "apiVersion" || key.name == "kind")
            }
            _ => false,
        };
        let found = problems.map(&root, "").and_then(|mut fields| {
            if is_flat {
                let baseline = crate::baseline::read_flat(fields, &problems);
                return Some(Counts { values: values(baseline.counts?), ..Counts::default() });
            }
            fields.header(KIND)?;
            let read = |fields: Fields<'_, '_>| -> BTreeMap<String, u64> {
                let numbers = fields
                    .entries()
                    .filter_map(|(name, node, path)| Some((name.name.clone(), problems.whole(node, &path)?)));
                numbers.collect()
            };
            let counts = fields.need_map("counts").map(read);
            let goals = fields.map("goals").map(read).unwrap_or_default();
            let left_out = fields.texts("leftOut");
            Some(Counts { values: counts?, left_out, goals })
        });
        problems.finish(found)
    }

    /// Writes a `GateCounts` file.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut value = json!({"apiVersion": API_VERSION, "kind": KIND, "counts": self.values});
        if !self.left_out.is_empty() {
            value["leftOut"] = json!(self.left_out);
        }
        if !self.goals.is_empty() {
            value["goals"] = json!(self.goals);
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{value:#}\n"))
    }

    fn is_left_out(&self, name: &str) -> bool {
        self.left_out.iter().any(|pattern| fits(pattern, name))
    }

    fn goal(&self, name: &str) -> Option<u64> {
        self.goals.iter().filter(|(pattern, _)| fits(pattern, name)).map(|(_, most)| *most).min()
    }

    /// What the baseline holds after these are accepted.
    pub fn update(&self, stored: Option<&BTreeMap<String, StoredCount>>) -> BTreeMap<String, StoredCount> {
        let kept = stored.into_iter().flatten().filter(|(name, _)| self.is_left_out(name));
        let mut counts: BTreeMap<String, StoredCount> =
            kept.map(|(name, count)| (name.clone(), *count)).collect();
        counts.extend(
            self.values.iter().map(|(name, value)| (name.clone(), StoredCount { value: *value, line: 1 })),
        );
        counts
    }
}

fn values(counts: BTreeMap<String, StoredCount>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name, count.value)).collect()
}

pub(crate) fn read_source(path: &Path, help: &str) -> Result<std::sync::Arc<Source>, Diagnostics> {
    let name = path.display().to_string();
    Disk.read(path).map(|text| Source::new(name.as_str(), text)).map_err(|error| {
        let span = Span::start_of(&Source::new(name.as_str(), ""));
        Diagnostic::error("unreadable", &span, format!("cannot be read: {error}")).help(help).into()
    })
}

/// `*` stands for any text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| fits(tail, &rest[at..]))
        }),
    }
}

/// Holds counts against the stored ones.
pub fn compare(found: &Counts, baseline: &Baseline, limits: &Limits) -> Section {
    let empty = BTreeMap::new();
    let stored = baseline.counts.as_ref().unwrap_or(&empty);
    let names: std::collections::BTreeSet<&String> = stored.keys().chain(found.values.keys()).collect();
    let mut findings = Vec::new();
    for name in names {
        let place = stored.get(name).map(|count| Place::line(&baseline.name, count.line));
        let pair = (stored.get(name).map(|count| count.value), found.values.get(name).copied());
        findings.extend(difference(name, pair, found, limits).map(|finding| finding.at(place.clone())));
        let goal = found.goal(name).zip(pair.1).filter(|(goal, value)| value > goal);
        if let Some((goal, value)) = goal {
            let finding = Finding::new(Weight::Worse, name, "misses its goal");
            findings.push(finding.change(format!("at most {goal}"), value).at(place));
        }
    }
    let mut summary = format!("{} counts", found.values.len());
    if !found.left_out.is_empty() {
        summary.push_str(&format!(", without {}", found.left_out.join(", ")));
    }
    Section { title: "counts".to_owned(), summary, baseline: Some(baseline.name.clone()), findings }
}

fn difference(
    name: &str,
    pair: (Option<u64>, Option<u64>),
    found: &Counts,
    limits: &Limits,
) -> Option<Finding> {
    match pair {
        (Some(stored), Some(value)) if value > stored => Some(
            Finding::new(Weight::Worse, name, format!("more{}", percent(stored, value)))
                .change(stored, value),
        ),
        (Some(stored), Some(value)) if value < stored => Some(
            Finding::new(Weight::Better, name, format!("fewer{}", percent(stored, value)))
                .change(stored, value),
        ),
        (Some(_), Some(_)) | (None, None) => None,
        (None, Some(value)) => {
            // A baseline that claims to be complete has to name it.
            let weight = if limits.is_strict { Weight::Worse } else { Weight::Note };
            Some(Finding::new(weight, name, "not in the baseline").change("-", value))
        }
        (Some(_), None) if found.is_left_out(name) || limits.is_partial => None,
        (Some(stored), None) => {
            Some(Finding::new(Weight::Worse, name, "no longer counted").change(stored, "-"))
        }
    }
}

/// ` (+12 %)`, where there is something to relate to.
pub(crate) fn percent(stored: u64, found: u64) -> String {
    if stored == 0 {
        return String::new();
    }
    let change = (found as f64 - stored as f64) / stored as f64 * 100.0;
    // Less than half a percent is still a difference.
    let digits = if change.abs() < 10.0 { 1 } else { 0 };
    format!(" ({change:+.digits$} %)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("* in dev", "allocations in dev", true),
            ("* in dev", "allocations in release", false),
            ("a*c*", "abcd", true),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(percent(200, 300), " (+50 %)");
        assert_eq!(percent(1000, 999), " (-0.1 %)");
        assert_eq!(percent(0, 3), "");
    }
}
