//! The gate: exact counts against the stored baseline. Every difference fails, better ones too, so that the baseline
//! states the truth and a gain cannot be lost unseen. Times are never gated; scenario time is a count here, since it
//! follows from the seed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use drey_reconciler::Policy;

use crate::observations::samples;
use crate::operations::{Operation, SEED, converged, operations};

/// Name of a count to its value; smaller is better in each.
pub type Counts = BTreeMap<String, u64>;

/// Allocations differ by what the optimiser removes, so they are kept per profile.
pub const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

const OTHER_PROFILE: &str = if cfg!(debug_assertions) { "release" } else { "dev" };

/// Goals that hold whatever the baseline says: pattern of the name and the most it may be.
const CONVERGED_API_MAX: u64 = 0;
const CONVERGED_FLINK_MAX: u64 = 2;
const SCENARIO_MILLIS_MAX: u64 = 2_000;

/// All counts of this build.
pub fn measure() -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    let calm = converged(SEED).context("count converged passes")?;
    let per_pass = |total: u64| total.div_ceil(calm.passes);
    counts.insert("converged pass: API requests".into(), per_pass(calm.requests.api_requests()));
    counts.insert("converged pass: Flink requests".into(), per_pass(calm.requests.flink_requests()));
    counts.insert("converged pass: writes".into(), per_pass(calm.requests.writes));
    counts.insert("converged 10 min: passes".into(), calm.passes);
    counts.insert("converged 10 min: API requests".into(), calm.requests.api_requests());
    counts.insert("converged 10 min: Flink requests".into(), calm.requests.flink_requests());
    for operation in operations(SEED)? {
        add_operation(&mut counts, &operation);
    }
    let policy = Policy::default();
    for sample in samples(SEED).context("take observations out of a run")? {
        let name = format!("decide, {}: allocations in {PROFILE}", sample.name);
        #[cfg(feature = "count-allocations")]
        counts.insert(name, sample.allocations(&policy));
    }
    Ok(counts)
}

fn add_operation(counts: &mut Counts, operation: &Operation) {
    let name = &operation.name;
    counts.insert(format!("{name}: API requests"), operation.requests.api_requests());
    counts.insert(format!("{name}: Flink requests"), operation.requests.flink_requests());
    counts.insert(format!("{name}: writes"), operation.requests.writes);
    counts.insert(format!("{name}: passes"), operation.passes);
    counts.insert(
        format!("{name}: scenario ms"),
        u64::try_from(operation.took.as_millis()).unwrap_or(u64::MAX),
    );
}

/// Goals that are not met, in words.
pub fn missed_goals(counts: &Counts) -> Vec<String> {
    let goal = |name: &str| match name {
        "converged pass: API requests" | "converged pass: writes" => Some(CONVERGED_API_MAX),
        "converged pass: Flink requests" => Some(CONVERGED_FLINK_MAX),
        _ if name.ends_with(": scenario ms") => Some(SCENARIO_MILLIS_MAX),
        _ => None,
    };
    let missed = counts.iter().filter_map(|(name, value)| {
        let goal = goal(name).filter(|goal| value > goal)?;
        Some(format!("{name} is {value}, the goal is at most {goal}"))
    });
    missed.collect()
}

/// A count that is not what the baseline says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub stored: Option<u64>,
    pub found: Option<u64>,
}

/// Counts of the other profile are left alone.
pub fn compare(stored: &Counts, found: &Counts) -> Vec<Difference> {
    let is_ours = |name: &&String| !name.ends_with(&format!(" in {OTHER_PROFILE}"));
    let mut names: Vec<&String> = stored.keys().filter(is_ours).chain(found.keys()).collect();
    names.sort();
    names.dedup();
    let differences = names.into_iter().filter_map(|name| {
        let (stored, found) = (stored.get(name).copied(), found.get(name).copied());
        (stored != found).then(|| Difference { name: name.clone(), stored, found })
    });
    differences.collect()
}

/// A table of name, stored, found and what that means.
pub fn render(differences: &[Difference]) -> String {
    let width = differences.iter().map(|difference| difference.name.len()).max().unwrap_or(0).max(5);
    let show = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let mut text = format!("{:width$}  {:>9}  {:>9}\n", "count", "baseline", "found");
    for difference in differences {
        let Difference { name, stored, found } = difference;
        let verdict = match (stored, found) {
            (Some(stored), Some(found)) if found < stored => "better: keep it with --bless",
            (Some(_), Some(_)) => "worse",
            (None, _) => "not in the baseline: --bless adds it",
            (_, None) => "no longer counted: --bless removes it",
        };
        text.push_str(&format!("{name:width$}  {:>9}  {:>9}  {verdict}\n", show(*stored), show(*found)));
    }
    text
}

/// benches/baseline.json of this checkout.
pub fn baseline_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

pub fn load() -> anyhow::Result<Counts> {
    let path = baseline_path();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read {}; `make gates BLESS=--bless` writes it", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("read {} as a map of names to counts", path.display()))
}

/// Writes what was found and keeps the counts of the other profile.
pub fn bless(stored: &Counts, found: &Counts) -> anyhow::Result<()> {
    let kept = stored.iter().filter(|(name, _)| name.ends_with(&format!(" in {OTHER_PROFILE}")));
    let mut all = found.clone();
    all.extend(kept.map(|(name, value)| (name.clone(), *value)));
    let path = baseline_path();
    let text = serde_json::to_string_pretty(&all)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Counts {
        rows.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn every_difference_is_told() {
        let stored = counts(&[("a", 1), ("b", 2), ("gone", 3), ("same", 4)]);
        let found = counts(&[("a", 2), ("b", 1), ("new", 5), ("same", 4)]);
        let differences = compare(&stored, &found);
        let names: Vec<&str> = differences.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "gone", "new"]);
        let table = render(&differences);
        for words in ["worse", "better: keep it", "no longer counted", "not in the baseline"] {
            assert!(table.contains(words), "{table}");
        }
    }

    #[test]
    fn allocations_of_the_other_profile_are_not_compared() {
        let stored = counts(&[(&format!("decide: allocations in {OTHER_PROFILE}"), 7)]);
        assert_eq!(compare(&stored, &Counts::new()), []);
    }

    #[test]
    fn goals_hold_whatever_was_blessed() {
        let bad = counts(&[
            ("converged pass: API requests", 1),
            ("converged pass: Flink requests", 3),
            ("converged pass: writes", 1),
            ("create savepoint: scenario ms", 2_001),
        ]);
        assert_eq!(missed_goals(&bad).len(), 4);
        let good = counts(&[("converged pass: Flink requests", 2), ("create savepoint: scenario ms", 2_000)]);
        assert_eq!(missed_goals(&good), Vec::<String>::new());
    }
}
