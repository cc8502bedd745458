//! Benchmarks by ratio: two things measured in turn in the same run, ours and what it is held against (a peer, or the
//! same program before the change). What the machine does meanwhile falls on both. A ratio above 1 says ours is worse.

use std::collections::BTreeMap;
use std::path::Path;

use drey_yaml::fields::{Fields, Problems, document};
use drey_yaml::tree::Node;
use drey_yaml::{Diagnostic, Diagnostics};

use crate::baseline::{Baseline, StoredRatio};
use crate::counts::read_source;
use crate::judge::Limits;
use crate::noise::{Band, PAIRS_MAX, PAIRS_MIN};
use crate::report::Place;
use crate::verdict::{Finding, Section, Weight};

const KIND: &str = "GateRatios";

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Name to the ratio of each pair of samples.
    pub ratios: BTreeMap<String, Vec<f64>>,
}

impl Samples {
    pub fn read(path: &Path) -> Result<Samples, Diagnostics> {
        let source = read_source(path, "give the file with the samples after --ratios")?;
        let root = document(&source)?;
        let problems = Problems::default();
        let found = problems.map(&root, "").and_then(|mut fields| {
            fields.header(KIND)?;
            let ratios = fields.need_map("ratios")?.entries().filter_map(|(name, node, path)| {
                Some((name.name.clone(), pairs(problems.map(node, &path)?, &problems)?))
            });
            Some(Samples { ratios: ratios.collect() })
        });
        problems.finish(found)
    }

    /// What the baseline holds after these are accepted. What cannot be told yet stays as it is stored.
    pub fn update(
        &self,
        stored: Option<&BTreeMap<String, StoredRatio>>,
        limits: &Limits,
    ) -> BTreeMap<String, StoredRatio> {
        let known = |name: &String| stored.and_then(|stored| stored.get(name)).copied();
        let kept = stored.into_iter().flatten().filter(|_| limits.is_partial);
        let mut ratios: BTreeMap<String, StoredRatio> =
            kept.map(|(name, ratio)| (name.clone(), *ratio)).collect();
        for (name, samples) in &self.ratios {
            let accepted = match (Band::of(samples), known(name)) {
                (Some(band), Some(stored)) if stored.is_fixed => {
                    Some(StoredRatio { ratio: Some(rounded(band.middle)), ..stored })
                }
                (Some(band), _) if band.width() <= limits.noise_max => {
                    let max = rounded(band.middle * (1.0 + limits.noise_max));
                    Some(StoredRatio { ratio: Some(rounded(band.middle)), max, is_fixed: false, line: 1 })
                }
                (_, stored) => stored,
            };
            ratios.extend(accepted.map(|ratio| (name.clone(), ratio)));
        }
        ratios
    }
}

impl Samples {
    /// What an update leaves out, for its samples scatter too much to be held to anything.
    pub fn left_out(&self, accepted: &BTreeMap<String, StoredRatio>) -> Vec<String> {
        let missing = self.ratios.iter().filter(|(name, _)| !accepted.contains_key(*name));
        let told = missing.map(|(name, samples)| match Band::of(samples) {
            Some(band) => format!("{name} ({:.0} %)", band.width() * 100.0),
            None => format!("{name} (too few pairs)"),
        });
        told.collect()
    }
}

/// Up, to three digits: what was accepted is never above it.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).ceil() / 1000.0
}

fn pairs(mut fields: Fields<'_, '_>, problems: &Problems) -> Option<Vec<f64>> {
    let sides = (fields.need("ours"), fields.need("reference"));
    let is_higher_better = fields.word("better", &["lower", "higher"]) == Some("higher");
    fields.text("unit");
    let place = |key: &str| fields.place(key);
    let (ours_path, reference_path) = (place("ours"), place("reference"));
    let ours = samples(fields.list("ours"), &ours_path, problems)?;
    let reference = samples(fields.list("reference"), &reference_path, problems)?;
    if sides.0.is_none() || sides.1.is_none() {
        return None;
    }
    if ours.len() != reference.len() {
        let message = format!("{} samples of ours and {} of the reference", ours.len(), reference.len());
        let problem = Diagnostic::error("pairs", fields.span_of("ours"), message);
        fields.push("ours", problem.help("measure both in turn, as often: a pair is one sample of each"));
        return None;
    }
    if ours.len() > PAIRS_MAX {
        let message = format!("{} pairs, the most is {PAIRS_MAX}", ours.len());
        let problem = Diagnostic::error("pairs", fields.span_of("ours"), message);
        fields.push("ours", problem.help("give one sample per repetition, not one per iteration"));
        return None;
    }
    let ratio =
        |(ours, reference): (f64, f64)| if is_higher_better { reference / ours } else { ours / reference };
    Some(ours.into_iter().zip(reference).map(ratio).collect())
}

fn samples(nodes: &[Node], path: &str, problems: &Problems) -> Option<Vec<f64>> {
    let read =
        nodes.iter().enumerate().map(|(index, node)| problems.positive(node, &format!("{path}[{index}]")));
    // All of them, so that each bad one is told.
    let read: Vec<Option<f64>> = read.collect();
    read.into_iter().collect()
}

/// Holds ratios against what is allowed: by the baseline, else by the limits.
pub fn compare(found: &Samples, baseline: Option<&Baseline>, limits: &Limits) -> Section {
    let empty = BTreeMap::new();
    let stored = baseline.and_then(|baseline| baseline.ratios.as_ref()).unwrap_or(&empty);
    let mut findings = Vec::new();
    for (name, samples) in &found.ratios {
        let stored = stored.get(name).copied();
        let place = stored.zip(baseline).map(|(stored, baseline)| Place::line(&baseline.name, stored.line));
        findings.push(judge(name, samples, stored, limits).at(place));
    }
    for (name, stored) in
        stored.iter().filter(|(name, _)| !found.ratios.contains_key(*name) && !limits.is_partial)
    {
        let place = baseline.map(|baseline| Place::line(&baseline.name, stored.line));
        let finding = Finding::new(Weight::Worse, name, "no longer measured");
        findings.push(finding.change(format!("at most {:.3}", stored.max), "-").at(place));
    }
    Section {
        title: "ratios".to_owned(),
        summary: format!("{} ratios", found.ratios.len()),
        baseline: baseline.filter(|baseline| baseline.ratios.is_some()).map(|baseline| baseline.name.clone()),
        findings,
    }
}

fn judge(name: &str, samples: &[f64], stored: Option<StoredRatio>, limits: &Limits) -> Finding {
    let max = stored.map_or(limits.ratio_max, |stored| stored.max);
    let allowed = format!("at most {max:.3}");
    let Some(band) = Band::of(samples) else {
        let detail =
            format!("{} pairs of samples, {PAIRS_MIN} are the fewest that tell anything", samples.len());
        return Finding::new(Weight::Unsure, name, "too few samples").change(allowed, "-").detail(detail);
    };
    let is_noisy = band.width() > limits.noise_max;
    let (weight, what) = if band.low > max {
        (Weight::Worse, "slower than allowed")
    } else if band.high > max && is_noisy {
        (Weight::Unsure, "too noisy")
    } else if band.middle > max {
        (Weight::Worse, "slower than allowed")
    } else if stored.and_then(|stored| stored.ratio).is_some_and(|ratio| band.high < ratio * (1.0 - BETTER)) {
        (Weight::Better, "faster")
    } else {
        (Weight::Note, "as allowed")
    };
    let finding = Finding::new(weight, name, what).change(allowed, band);
    match weight {
        Weight::Unsure => finding.detail(format!(
            "the band is {:.0} % wide and crosses what is allowed; up to {:.0} % the middle decides",
            band.width() * 100.0,
            limits.noise_max * 100.0
        )),
        _ => finding,
    }
}

/// What the whole band must gain before it is worth storing: less is weather.
const BETTER: f64 = 0.02;
