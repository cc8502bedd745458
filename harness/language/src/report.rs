//! The outcome of a run as plain data: what every reporter is given. One `CaseReport` per matrix cell, each with its
//! whole event stream. Leaves out: how it is written (see `reporters`).

use crate::events::Event;
use crate::failure::Failure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything one command ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    /// What was run, for headings: `scenarios/`.
    pub title: String,
    pub cases: Vec<CaseReport>,
    /// Wall time of the whole; left out of everything that must be the same twice.
    pub wall: Duration,
}

/// One cell of one scenario, run once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    pub scenario: String,
    /// `upgradeMode=savepoint,flink=1.20`, or `default`.
    pub case: String,
    /// The file, as given on the command line.
    pub file: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub bugs: Vec<String>,
    pub mode: String,
    pub seed: u64,
    /// One line that runs exactly this again.
    pub replay: String,
    /// Scenario time at which it began.
    pub start: Timestamp,
    /// Scenario time that passed.
    pub elapsed: Duration,
    pub wall: Duration,
    pub outcome: Outcome,
    /// Steps that were not run, and why; shown, never silent.
    #[serde(default)]
    pub skipped_steps: Vec<SkippedStep>,
    pub events: Vec<Event>,
    /// Events beyond the limit of the log.
    #[serde(default)]
    pub events_dropped: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Outcome {
    Passed,
    /// One or more expectations did not hold; the first decided the run.
    Failed {
        failures: Vec<Failure>,
    },
    /// Nothing was run, with the reason.
    Skipped {
        reason: String,
    },
    /// The harness could not do its work: not a verdict on the system under test.
    Broken {
        error: String,
    },
}

impl Outcome {
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed { .. } => "failed",
            Outcome::Skipped { .. } => "skipped",
            Outcome::Broken { .. } => "broken",
        }
    }

    /// Whether the command must end with an error.
    pub fn is_bad(&self) -> bool {
        match self {
            Outcome::Passed | Outcome::Skipped { .. } => false,
            Outcome::Failed { .. } | Outcome::Broken { .. } => true,
        }
    }
}

/// A step that this mode cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedStep {
    pub step: String,
    /// `file:line`.
    pub at: String,
    pub reason: String,
}

impl CaseReport {
    /// `savepoint-fallback` or `savepoint-fallback [flink=1.20]`.
    pub fn title(&self) -> String {
        match self.case.as_str() {
            "default" | "" => self.scenario.clone(),
            case => format!("{} [{case}]", self.scenario),
        }
    }

    /// A file name for pages and transcripts of this case: legal everywhere, unique within a run.
    pub fn slug(&self) -> String {
        let raw = format!("{}-{}-{}", self.scenario, self.case, self.mode);
        let clean: String = raw
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let short: String = clean.chars().take(80).collect();
        let key = format!("{raw}\u{0}{}\u{0}{}", self.file, self.seed);
        format!("{}-{:08x}", short.trim_matches('-'), fnv(&key))
    }
}

impl RunReport {
    pub fn count(&self, word: &str) -> usize {
        self.cases.iter().filter(|case| case.outcome.word() == word).count()
    }

    pub fn failed(&self) -> bool {
        self.cases.iter().any(|case| case.outcome.is_bad())
    }

    /// `12 passed, 1 failed`: zero counts are left out.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = ["passed", "failed", "broken", "skipped"]
            .iter()
            .map(|word| (self.count(word), word))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if parts.is_empty() { "nothing was run".to_owned() } else { parts.join(", ") }
    }
}

/// FNV-1a: stable across runs and versions, which the standard hasher does not promise.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
