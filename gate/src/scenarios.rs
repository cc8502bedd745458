//! A run of scenarios against the stored one: what fails now, what is mended, what is gone, what is skipped, what takes
//! longer or does more. Leaves out real time, which says more about the machine than about the change.

use std::collections::{BTreeMap, BTreeSet};

use crate::baseline::{Baseline, StoredCase, VIRTUAL};
use crate::counts::percent;
use crate::judge::Limits;
use crate::report::{Case, CaseId, Cost, Outcome, Place, Report};
use crate::verdict::{Finding, Section, Weight};

pub fn compare(report: &Report, baseline: Option<&Baseline>, limits: &Limits) -> Section {
    let stored = baseline.and_then(|baseline| baseline.scenarios.as_ref());
    let mut findings = Vec::new();
    for (id, case) in &report.cases {
        findings.extend(match stored.map(|stored| stored.get(id)) {
            Some(Some(stored)) => against(id, case, stored, limits),
            Some(None) => fresh(id, case, limits).into_iter().collect(),
            None => without_baseline(id, case).into_iter().collect(),
        });
    }
    if let (Some(stored), Some(baseline), false) = (stored, baseline, limits.is_partial) {
        findings.extend(gone(report, stored, baseline));
    }
    if !report.cases.values().any(|case| case.result != Outcome::Skipped) {
        let finding = Finding::new(Weight::Worse, "all scenarios", "nothing ran");
        let detail = "a suite in which everything is skipped proves nothing: look at its mode and filter";
        findings.push(finding.change("-", format!("{} skipped", report.cases.len())).detail(detail));
    }
    Section {
        title: "scenarios".to_owned(),
        summary: summary(report),
        baseline: baseline.filter(|_| stored.is_some()).map(|baseline| baseline.name.clone()),
        findings,
    }
}

/// `180 cases of 62 scenarios in 1,400 runs: 178 passed, 2 failed`.
fn summary(report: &Report) -> String {
    let files: BTreeSet<&str> = report.cases.keys().map(|id| id.file.as_str()).collect();
    let results = [Outcome::Passed, Outcome::Failed, Outcome::Broken, Outcome::Skipped].map(|outcome| {
        let count = report.cases.values().filter(|case| case.result == outcome).count();
        (count, outcome.name())
    });
    let results: Vec<String> = results
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    format!(
        "{} cases of {} scenarios in {} runs: {}",
        report.cases.len(),
        files.len(),
        report.runs,
        results.join(", ")
    )
}

fn shown(id: &CaseId) -> String {
    match id.mode.as_str() {
        VIRTUAL => id.title.clone(),
        mode => format!("{} ({mode})", id.title),
    }
}

/// A case and what is bad about it.
fn trouble(weight: Weight, what: &str, id: &CaseId, case: &Case) -> Finding {
    let mut detail = case.why.clone();
    if !case.replay.is_empty() && case.result != Outcome::Skipped {
        detail.push_str(&format!("\nreplay: {}", case.replay));
    }
    let place = case.place.clone().unwrap_or(Place::line(&id.file, 1));
    Finding::new(weight, shown(id), what).change("-", case.result.name()).detail(detail).at(Some(place))
}

fn without_baseline(id: &CaseId, case: &Case) -> Option<Finding> {
    match case.result {
        Outcome::Failed | Outcome::Broken => Some(trouble(Weight::Worse, "fails", id, case)),
        Outcome::Skipped => Some(trouble(Weight::Note, "skipped", id, case)),
        Outcome::Passed if case.skipped_steps > 0 => {
            let finding = Finding::new(Weight::Note, shown(id), "steps skipped");
            Some(finding.change("-", case.skipped_steps).at(file_of(id)))
        }
        Outcome::Passed => None,
    }
}

fn file_of(id: &CaseId) -> Option<Place> {
    Some(Place::line(&id.file, 1))
}

/// A case that the baseline does not know.
fn fresh(id: &CaseId, case: &Case, limits: &Limits) -> Option<Finding> {
    match case.result {
        Outcome::Failed | Outcome::Broken => Some(trouble(Weight::Worse, "new and fails", id, case)),
        Outcome::Skipped => Some(trouble(Weight::Note, "new and skipped", id, case)),
        Outcome::Passed => {
            let weight = if limits.is_strict { Weight::Worse } else { Weight::Note };
            let finding = Finding::new(weight, shown(id), "not in the baseline");
            Some(finding.change("-", case.result.name()).at(file_of(id)))
        }
    }
}

fn against(id: &CaseId, case: &Case, stored: &StoredCase, limits: &Limits) -> Vec<Finding> {
    let before = stored.result.name();
    let turned = |weight, what: &str| {
        let finding = trouble(weight, what, id, case);
        let found = finding.found.clone();
        finding.change(before, found)
    };
    match (stored.result.is_bad(), case.result.is_bad()) {
        (false, true) => return vec![turned(Weight::Worse, "fails now")],
        (true, true) => return vec![turned(Weight::Known, "still fails")],
        (true, false) if case.result == Outcome::Passed => {
            let finding = Finding::new(Weight::Better, shown(id), "mended");
            return vec![finding.change(before, "passed").at(file_of(id))];
        }
        _ => {}
    }
    match (stored.result, case.result) {
        (Outcome::Skipped, Outcome::Skipped) => Vec::new(),
        (_, Outcome::Skipped) => vec![turned(Weight::Worse, "skipped now")],
        (Outcome::Skipped, _) => {
            vec![Finding::new(Weight::Better, shown(id), "runs now").change(before, "passed").at(file_of(id))]
        }
        _ => skipped_steps(id, case, stored).into_iter().chain(dearer(id, case, stored, limits)).collect(),
    }
}

fn skipped_steps(id: &CaseId, case: &Case, stored: &StoredCase) -> Option<Finding> {
    let found = case.skipped_steps as u64;
    let (weight, what) = match found.cmp(&stored.skipped_steps) {
        std::cmp::Ordering::Greater => (Weight::Worse, "more steps skipped"),
        std::cmp::Ordering::Less => (Weight::Better, "fewer steps skipped"),
        std::cmp::Ordering::Equal => return None,
    };
    Some(Finding::new(weight, shown(id), what).change(stored.skipped_steps, found).at(file_of(id)))
}

/// What may differ however large the part: a pass here, a change there.
const SPARE: u64 = 2;
const SPARE_MS: u64 = 1000;

/// Costs are exact only in virtual time and for one seed; elsewhere a machine's weather is in them.
fn dearer(id: &CaseId, case: &Case, stored: &StoredCase, limits: &Limits) -> Vec<Finding> {
    if id.mode != VIRTUAL || case.seed != stored.seed {
        return Vec::new();
    }
    let (was, is): (Cost, Cost) = (stored.cost, case.cost);
    let rows = [
        ("scenario ms", was.scenario_ms, is.scenario_ms, SPARE_MS),
        ("passes", was.passes, is.passes, SPARE),
        ("calls", was.calls, is.calls, SPARE),
        ("changes", was.changes, is.changes, SPARE),
    ];
    let judged = rows.into_iter().filter_map(|(unit, was, is, spare)| {
        let room = ((was as f64 * limits.tolerance) as u64).max(spare);
        let (weight, word) = if is > was.saturating_add(room) {
            (Weight::Worse, "more")
        } else if was > is.saturating_add(room) {
            (Weight::Better, "fewer")
        } else {
            return None;
        };
        let finding = Finding::new(weight, shown(id), format!("{word} {unit}{}", percent(was, is)));
        Some(finding.change(was, is).at(file_of(id)))
    });
    judged.collect()
}

/// Cases of the modes that were run which are in the baseline and not in the report: what is not run proves nothing.
fn gone<'s>(
    report: &'s Report,
    stored: &'s BTreeMap<CaseId, StoredCase>,
    baseline: &'s Baseline,
) -> impl Iterator<Item = Finding> + 's {
    let modes: BTreeSet<&str> = report.cases.keys().map(|id| id.mode.as_str()).collect();
    let absent = stored
        .iter()
        .filter(move |(id, _)| modes.contains(id.mode.as_str()) && !report.cases.contains_key(id));
    absent.map(|(id, case)| {
        let place = Place::line(&baseline.name, case.line);
        let detail = format!("of {}; give --partial when only a part was run", id.file);
        Finding::new(Weight::Worse, shown(id), "not run")
            .change(case.result.name(), "-")
            .detail(detail)
            .at(Some(place))
    })
}

/// What is stored after this run is accepted.
pub fn update(
    report: &Report,
    stored: Option<&BTreeMap<CaseId, StoredCase>>,
    limits: &Limits,
) -> BTreeMap<CaseId, StoredCase> {
    let modes: BTreeSet<&str> = report.cases.keys().map(|id| id.mode.as_str()).collect();
    let is_kept = |id: &CaseId| limits.is_partial || !modes.contains(id.mode.as_str());
    let kept = stored.into_iter().flatten().filter(|(id, _)| is_kept(id));
    let mut cases: BTreeMap<CaseId, StoredCase> = kept.map(|(id, case)| (id.clone(), case.clone())).collect();
    cases.extend(report.cases.iter().map(|(id, case)| {
        // Elsewhere than in virtual time they would differ each time, and nobody compares them.
        let cost = if id.mode == VIRTUAL { case.cost } else { Cost::default() };
        let skipped_steps = case.skipped_steps as u64;
        (id.clone(), StoredCase { result: case.result, seed: case.seed, skipped_steps, cost, line: 1 })
    }));
    cases
}
