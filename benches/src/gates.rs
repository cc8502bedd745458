//! The gate: exact counts against the stored baseline. Every difference fails, better ones too, so that the baseline
//! states the truth and a gain cannot be lost unseen. Times are never gated; scenario time is a count here, since it
//! follows from the seed. The judging is `drey gate`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use drey_gate::counts::Counts as GateCounts;
use drey_gate::judge::accept;
use drey_gate::verdict::Verdict;
use drey_gate::{Baseline, Limits, Measured};

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
    #[cfg(feature = "count-allocations")]
    add_allocations(&mut counts)?;
    Ok(counts)
}

#[cfg(feature = "count-allocations")]
fn add_allocations(counts: &mut Counts) -> anyhow::Result<()> {
    let policy = drey_reconciler::Policy::default();
    for sample in crate::observations::samples(SEED).context("take observations out of a run")? {
        counts.insert(
            format!("decide, {}: allocations in {PROFILE}", sample.name),
            sample.allocations(&policy),
        );
    }
    Ok(())
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

/// What the gate is given: the counts, what this build cannot count, and goals that hold whatever is stored.
pub fn counts() -> anyhow::Result<GateCounts> {
    Ok(with_goals(measure()?))
}

fn with_goals(values: Counts) -> GateCounts {
    let goals = [
        ("converged pass: API requests", CONVERGED_API_MAX),
        ("converged pass: writes", CONVERGED_API_MAX),
        ("converged pass: Flink requests", CONVERGED_FLINK_MAX),
        ("*: scenario ms", SCENARIO_MILLIS_MAX),
    ];
    GateCounts {
        values,
        left_out: vec![format!("* in {OTHER_PROFILE}")],
        goals: goals.into_iter().map(|(name, most)| (name.to_owned(), most)).collect(),
    }
}

/// As `drey gate --counts FILE --baseline benches/baseline.json --strict` judges them.
pub fn judge(counts: &GateCounts, baseline: &Baseline) -> Verdict {
    drey_gate::judge(&measured(counts), Some(baseline), &LIMITS)
}

fn measured(counts: &GateCounts) -> Measured {
    Measured { counts: Some(counts.clone()), ..Measured::default() }
}

const LIMITS: Limits =
    Limits { is_strict: true, is_partial: false, tolerance: 0.0, ratio_max: 1.0, noise_max: 0.0 };

/// benches/baseline.json of this checkout.
pub fn baseline_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

pub fn stored() -> anyhow::Result<Baseline> {
    let next = "`make gates BLESS=--bless` writes it";
    let mut stored =
        Baseline::read(&baseline_path()).with_context(|| format!("read the stored counts; {next}"))?;
    // As it is called from the root of the repository.
    stored.name = "benches/baseline.json".to_owned();
    Ok(stored)
}

/// The stored counts by name.
pub fn load() -> anyhow::Result<Counts> {
    let counts = stored()?.counts.unwrap_or_default();
    Ok(counts.into_iter().map(|(name, count)| (name, count.value)).collect())
}

/// Writes what was found and keeps the counts of the other profile.
pub fn bless(stored: &Baseline, found: &GateCounts) -> anyhow::Result<()> {
    let path = baseline_path();
    accept(&measured(found), stored, &LIMITS)
        .write(&path)
        .with_context(|| format!("write {}", path.display()))
}

/// The counts as a file for `drey gate --counts`.
pub fn write(counts: &GateCounts, path: &Path) -> anyhow::Result<()> {
    counts.write(path).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drey_gate::verdict::Weight;

    fn judged(values: &[(&str, u64)], stored: &[(&str, u64)]) -> Verdict {
        let map = |rows: &[(&str, u64)]| -> Counts {
            rows.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let text = serde_json::to_string(&map(stored)).expect("a map of numbers");
        let baseline =
            Baseline::parse(&drey_gate::Source::new("baseline.json", text)).expect("a flat baseline");
        judge(&with_goals(map(values)), &baseline)
    }

    #[test]
    fn allocations_of_the_other_profile_are_not_compared() {
        let other = format!("decide: allocations in {OTHER_PROFILE}");
        assert_eq!(judged(&[("a", 1)], &[("a", 1), (&other, 7)]).exit_code(), 0);
        assert_eq!(judged(&[("a", 1)], &[("a", 1), ("b", 7)]).exit_code(), 1);
        assert_eq!(judged(&[("a", 1)], &[("a", 2)]).exit_code(), 1, "better is to be stored, too");
    }

    #[test]
    fn goals_hold_whatever_was_blessed() {
        let bad = [
            ("converged pass: API requests", 1),
            ("converged pass: Flink requests", 3),
            ("converged pass: writes", 1),
            ("create savepoint: scenario ms", 2_001),
        ];
        assert_eq!(judged(&bad, &bad).total(Weight::Worse), 4);
        let good = [("converged pass: Flink requests", 2), ("create savepoint: scenario ms", 2_000)];
        assert_eq!(judged(&good, &good).exit_code(), 0);
    }
}
