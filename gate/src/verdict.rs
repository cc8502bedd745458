//! What the gate says: findings by section, and one outcome with its exit code. Plain data; how it is shown is
//! `terminal`, `markdown` and `annotations`.

use serde::Serialize;

use crate::report::Place;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Fails the gate.
    Worse,
    /// The samples scatter too much to say.
    Unsure,
    /// Better than what is stored.
    Better,
    /// Bad, and stored as such: nobody made it worse.
    Known,
    /// Worth knowing.
    Note,
}

impl Weight {
    pub const ALL: [Weight; 5] = [Weight::Worse, Weight::Unsure, Weight::Better, Weight::Known, Weight::Note];

    pub fn name(self) -> &'static str {
        match self {
            Weight::Worse => "worse",
            Weight::Unsure => "unsure",
            Weight::Better => "better",
            Weight::Known => "known",
            Weight::Note => "note",
        }
    }
}

/// One thing that is not as it was, or not as it may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub weight: Weight,
    /// The case, the count, the ratio.
    pub name: String,
    /// In a word or two: `fails now`, `slower`, `gone`.
    pub what: String,
    pub stored: String,
    pub found: String,
    /// More for people, several lines allowed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Finding {
    pub fn new(weight: Weight, name: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding {
            weight,
            name: name.into(),
            what: what.into(),
            stored: String::new(),
            found: String::new(),
            detail: String::new(),
            place: None,
        }
    }

    /// What it was, and what it is.
    pub fn change(mut self, stored: impl ToString, found: impl ToString) -> Finding {
        (self.stored, self.found) = (stored.to_string(), found.to_string());
        self
    }

    pub fn detail(mut self, text: impl Into<String>) -> Finding {
        self.detail = text.into();
        self
    }

    pub fn at(mut self, place: Option<Place>) -> Finding {
        self.place = place;
        self
    }
}

/// What was compared: scenarios, counts or ratios.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    pub title: String,
    /// What was looked at, in words.
    pub summary: String,
    /// The baseline it was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

impl Section {
    pub fn count(&self, weight: Weight) -> usize {
        self.findings.iter().filter(|finding| finding.weight == weight).count()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    Improved,
    Regressed,
    Unsure,
}

/// Who let it through although it is worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    pub label: String,
    /// Where the label was read: `--labels`, `CI_MERGE_REQUEST_LABELS`.
    pub source: String,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub outcome: Outcome,
    pub sections: Vec<Section>,
    /// What is better fails too, until it is stored.
    pub is_strict: bool,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
}

impl Verdict {
    pub fn new(mut sections: Vec<Section>, is_strict: bool) -> Verdict {
        for section in &mut sections {
            // Stable: within a weight the order of names stays.
            section.findings.sort_by_key(|finding| finding.weight);
        }
        let total = |weight| sections.iter().map(|section| section.count(weight)).sum::<usize>();
        let better = total(Weight::Better);
        let outcome = if total(Weight::Worse) > 0 || (is_strict && better > 0) {
            Outcome::Regressed
        } else if total(Weight::Unsure) > 0 {
            Outcome::Unsure
        } else if better > 0 {
            Outcome::Improved
        } else {
            Outcome::Pass
        };
        Verdict { outcome, sections, is_strict, overridden: None }
    }

    pub fn total(&self, weight: Weight) -> usize {
        self.sections.iter().map(|section| section.count(weight)).sum()
    }

    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections.iter().flat_map(|section| &section.findings)
    }

    /// Whether somebody must do something before this may go in.
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, Outcome::Regressed | Outcome::Unsure)
    }

    /// 0 pass, improved or overridden; 1 worse; 3 cannot be told. (2 is bad input, which gives no verdict.)
    pub fn exit_code(&self) -> u8 {
        match (self.outcome, &self.overridden) {
            (Outcome::Pass | Outcome::Improved, _) | (_, Some(_)) => 0,
            (Outcome::Regressed, None) => 1,
            (Outcome::Unsure, None) => 3,
        }
    }

    /// `worse (2 worse, 1 better)`, on one line.
    pub fn headline(&self) -> String {
        let word = match self.outcome {
            Outcome::Pass => "pass",
            Outcome::Improved => "pass, and better than the baseline",
            Outcome::Regressed if self.total(Weight::Worse) == 0 => "not as stored",
            Outcome::Regressed => "worse",
            Outcome::Unsure => "cannot be told",
        };
        let counts = Weight::ALL.map(|weight| (self.total(weight), weight.name()));
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        match &self.overridden {
            Some(Override { label, source }) => {
                format!("{word}{counts}, let through by the label `{label}` (from {source})")
            }
            None => format!("{word}{counts}"),
        }
    }

    /// The next step, where there is one.
    pub fn next(&self) -> Option<&'static str> {
        let has = |weight| self.total(weight) > 0;
        match self.outcome {
            _ if self.overridden.is_some() => Some("store what was accepted with --update-baseline"),
            Outcome::Regressed if has(Weight::Worse) => {
                Some("mend it; if it is meant, store it with --update-baseline and read the diff")
            }
            Outcome::Regressed | Outcome::Improved => {
                Some("store it with --update-baseline, so that it is not lost unseen")
            }
            Outcome::Unsure => Some("measure again with more pairs of samples, or on a quieter machine"),
            Outcome::Pass => None,
        }
    }
}
