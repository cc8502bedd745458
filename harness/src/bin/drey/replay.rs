//! `drey replay`: the same run again, told in full.

use std::io::{self, IsTerminal, Write};

use drey_harness::library::{play_in_its_world, transcript_of};
use drey_harness::run::vocabulary;
use drey_language::Paint;
use drey_language::failure;
use drey_language::report::{CaseReport, Outcome};

use crate::arguments::{One, Regardless};

/// Run one case again and print its whole transcript, as replay lines of reports ask for.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    one: One,
}

const EXAMPLES: &str = "\
Examples:
  drey replay scenarios/upgrade/x.yaml --case upgradeMode=savepoint --seed 0x51f3
  drey replay scenarios/crash/y.yaml --case default,crash=7-reply-lost

Exit codes: 0 it passed; 1 it failed; 2 it did not run.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let vocabulary = vocabulary();
    let Some(scenario) = arguments.one.scenario(&vocabulary)? else { return Ok(2) };
    let options = arguments.one.options()?;
    let mut has_failed = false;
    for run in arguments.one.runs(&scenario)? {
        let report = run.report_played(&options, play_in_its_world(&run, &vocabulary, &options));
        tell(&report)?;
        has_failed |= report.outcome.is_bad();
    }
    Ok(u8::from(has_failed))
}

fn tell(report: &CaseReport) -> io::Result<()> {
    let paint = Paint::auto(io::stdout().is_terminal());
    let mut out = Regardless(io::stdout().lock());
    writeln!(out, "{}", transcript_of(report))?;
    match &report.outcome {
        Outcome::Failed { failures } => {
            failures.iter().try_for_each(|one| writeln!(out, "{}", failure::render(one, report, paint)))
        }
        Outcome::Broken { error } => writeln!(out, "{error}"),
        Outcome::Passed | Outcome::Skipped { .. } => Ok(()),
    }
}
