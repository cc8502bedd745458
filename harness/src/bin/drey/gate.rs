//! `drey gate`: one answer for CI. The judging is in `drey_gate`; here is the command line.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use drey_gate::command::Problem;
use drey_gate::{Limits, Request};
use drey_language::Paint;

use crate::arguments::{Regardless, show_diagnostics};

/// Is this change worse than what is stored? One answer for CI, from reports, exact counts and ratios.
///
/// Failures that the baseline knows do not fail the gate; new ones do, and so does what is no longer run or counted, and
/// what takes more than is stored. docs/gate.md shows the files and how CI servers are told.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "`drey gate --help` shows examples and exit codes.")]
pub struct Arguments {
    /// The folder that `drey run --report` wrote, or the JSON lines of `drey run --format json`.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Exact counts of this run: `kind: GateCounts`, or a flat map of names to whole numbers.
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,
    /// Samples of benchmarks, ours and a reference measured in turn: `kind: GateRatios`.
    #[arg(long, value_name = "FILE")]
    ratios: Option<PathBuf>,
    /// What all of these are held against: `kind: GateBaseline`, or a flat map of counts.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Store what was measured as the baseline, and pass.
    #[arg(long)]
    update_baseline: bool,
    /// Fail also for what is better or not stored yet, so that the baseline always states what is true.
    #[arg(long)]
    strict: bool,
    /// Only a part was run: what the baseline has beyond it is not missed.
    #[arg(long)]
    partial: bool,
    /// How much more scenario time, passes, calls and changes a case may take than is stored.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    tolerance: f64,
    /// The most a ratio may be that the baseline does not name; above 1, ours is worse.
    #[arg(long, value_name = "RATIO", default_value = "1.05", value_parser = ratio)]
    ratio_max: f64,
    /// How wide the band of a ratio may be and still be judged by its middle.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    noise_max: f64,
    /// Write the verdict as Markdown. It is added to $GITHUB_STEP_SUMMARY, too, where that is set.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write annotations as a Code Quality report of GitLab.
    #[arg(long, value_name = "FILE")]
    code_quality: Option<PathBuf>,
    /// Pass on the report's JUnit file, as it is.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the verdict as JSON, for programs.
    #[arg(long, value_name = "FILE")]
    verdict: Option<PathBuf>,
    /// Annotations for GitHub on standard output. Default: where $GITHUB_ACTIONS says so.
    #[arg(long, value_enum, default_value_t = Annotations::Auto)]
    annotations: Annotations,
    /// A change that carries this label is let through whatever the verdict, which then says so.
    #[arg(long, value_name = "LABEL")]
    override_label: Option<String>,
    /// The change's labels, separated by commas. Default: $DREY_GATE_LABELS, $CI_MERGE_REQUEST_LABELS, GitHub's event.
    #[arg(long, value_name = "LABELS")]
    labels: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Annotations {
    Auto,
    Github,
    None,
}

const EXAMPLES: &str = "\
Examples:
  drey run --report out; drey gate --report out                every failure counts
  drey gate --report out --baseline gate.json                  only what is worse than stored
  drey gate --report out --baseline gate.json --update-baseline   store it; read the diff
  drey gate --counts counts.json --baseline counts-stored.json --strict
  drey gate --ratios samples.json --ratio-max 1.02             base and head, measured in the same run
  drey gate --report out --markdown gate.md --code-quality gl-code-quality-report.json
  drey gate --report out --override-label gate-accepted        people decide, and the verdict says so

Exit codes: 0 as stored, better, or let through by a label; 1 worse; 2 bad input, no verdict; 3 the samples scatter too
much to tell.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let paint = Paint::auto(io::stdout().is_terminal());
    let mut out = Regardless(io::stdout());
    let environment = |name: &str| std::env::var(name).ok();
    match drey_gate::run(&arguments.request(), &environment, paint, &mut out) {
        Ok(code) => Ok(code),
        Err(Problem::Input(problems)) => {
            show_diagnostics([&problems])?;
            Ok(2)
        }
        Err(Problem::Write(path, error)) => {
            Err(anyhow::Error::new(error).context(format!("write {}", path.display())))
        }
        Err(problem @ Problem::Request(_)) => Err(anyhow::anyhow!("{problem}")),
    }
}

impl Arguments {
    fn request(&self) -> Request {
        Request {
            report: self.report.clone(),
            counts: self.counts.clone(),
            ratios: self.ratios.clone(),
            baseline: self.baseline.clone(),
            update_baseline: self.update_baseline,
            limits: Limits {
                is_strict: self.strict,
                is_partial: self.partial,
                tolerance: self.tolerance,
                ratio_max: self.ratio_max,
                noise_max: self.noise_max,
            },
            markdown: self.markdown.clone(),
            code_quality: self.code_quality.clone(),
            junit: self.junit.clone(),
            verdict: self.verdict.clone(),
            annotations: match self.annotations {
                Annotations::Auto => None,
                Annotations::Github => Some(true),
                Annotations::None => Some(false),
            },
            override_label: self.override_label.clone(),
            labels: self.labels.clone(),
        }
    }
}

/// `10%`, `0.5 %`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(str::trim).and_then(|number| number.parse::<f64>().ok());
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    number.map(|number| number / 100.0).ok_or_else(|| "a percentage is written like 10%".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a ratio is a number above 0, such as 1.05".to_owned())
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percentages() {
        assert_eq!(percent("10%"), Ok(0.1));
        assert_eq!(percent("0.5 %"), Ok(0.005));
        for other in ["10", "-1%", "%", "ten%", "inf%"] {
            assert!(percent(other).is_err(), "{other}");
        }
    }
}
