//! `drey run`: plays scenarios, shows progress, writes reports.

use std::path::PathBuf;

use drey_harness::library::{self, Options};
use drey_harness::run::vocabulary;
use drey_language::Paint;
use drey_language::failure;
use drey_language::report::{CaseReport, Outcome};
use drey_language::reporters::transcript;

#[derive(clap::Args)]
pub struct Arguments {
    /// Files and folders with scenarios.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    verbose: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let vocabulary = vocabulary();
    let found = library::find(&arguments.paths, &vocabulary)?;
    for problems in &found.problems {
        eprint!("{}", problems.render(Paint::auto(false)));
    }
    let reports = library::play(&found.scenarios, &vocabulary, &Options::usual(arguments.seed), &mut ());
    for report in &reports {
        show(report, arguments.verbose);
    }
    Ok(u8::from(reports.iter().any(|report| report.outcome.is_bad())))
}

fn show(report: &CaseReport, verbose: bool) {
    println!("{} {} ({:?} in {:?})", report.outcome.word(), report.title(), report.elapsed, report.wall);
    if verbose {
        println!("{}", transcript::render(report));
    }
    match &report.outcome {
        Outcome::Failed { failures } => {
            for one in failures {
                println!("{}", failure::render(one, report, Paint::auto(false)));
            }
        }
        Outcome::Broken { error } => println!("{error}"),
        _ => {}
    }
}
