//! Puts the parts together: what was measured, what is stored, what is allowed, and the verdict from them.

use crate::baseline::Baseline;
use crate::counts::{self, Counts};
use crate::ratios::{self, Samples};
use crate::report::Report;
use crate::scenarios;
use crate::verdict::Verdict;

/// What a run gave.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub report: Option<Report>,
    pub counts: Option<Counts>,
    pub ratios: Option<Samples>,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What is better, or not stored, fails too.
    pub is_strict: bool,
    /// Not everything was run: what is absent is not missed.
    pub is_partial: bool,
    /// By how much a case may take more scenario time, passes, calls or changes than is stored, as a part of it.
    pub tolerance: f64,
    /// The most a ratio may be that no baseline speaks of.
    pub ratio_max: f64,
    /// The widest band of a ratio, as a part of it, that is judged by its middle.
    pub noise_max: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { is_strict: false, is_partial: false, tolerance: 0.10, ratio_max: 1.05, noise_max: 0.10 }
    }
}

/// Holds what was measured against the baseline. Counts without a baseline have nothing to be held against, so callers
/// give an empty one: every count is then new.
pub fn judge(measured: &Measured, baseline: Option<&Baseline>, limits: &Limits) -> Verdict {
    let empty = Baseline::default();
    let mut sections = Vec::new();
    if let Some(report) = &measured.report {
        sections.push(scenarios::compare(report, baseline, limits));
    }
    if let Some(counts) = &measured.counts {
        sections.push(counts::compare(counts, baseline.unwrap_or(&empty), limits));
    }
    if let Some(samples) = &measured.ratios {
        sections.push(ratios::compare(samples, baseline, limits));
    }
    Verdict::new(sections, limits.is_strict)
}

/// The baseline after all of this is accepted. Sections that were not measured stay.
pub fn accept(measured: &Measured, baseline: &Baseline, limits: &Limits) -> Baseline {
    let mut accepted = baseline.clone();
    if let Some(report) = &measured.report {
        accepted.scenarios = Some(scenarios::update(report, baseline.scenarios.as_ref(), limits));
    }
    if let Some(counts) = &measured.counts {
        accepted.counts = Some(counts.update(baseline.counts.as_ref()));
    }
    if let Some(samples) = &measured.ratios {
        accepted.ratios = Some(samples.update(baseline.ratios.as_ref(), limits));
    }
    accepted
}
