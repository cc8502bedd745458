//! `drey lint`: everything that can be said about files without running them.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use drey_harness::library;
use drey_harness::run::vocabulary;
use drey_language::{Diagnostics, Paint, lint};

use crate::arguments::{Regardless, show_diagnostics};

/// Check scenarios without running them: errors, and warnings about what is valid and useless.
///
/// Also the manifests they apply, and golden transcripts that belong to nothing any more. A manifest with a
/// FlinkDeployment may be named by itself.
#[derive(clap::Args)]
#[command(after_long_help = "Exit codes: 0 no errors; 1 warnings, with --strict; 2 errors.")]
pub struct Arguments {
    /// Files and folders.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Warnings count as failure.
    #[arg(long)]
    strict: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let is_manifest = |path: &&PathBuf| path.is_file() && !library::is_scenario(path);
    let (manifests, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.paths.iter().partition(is_manifest);
    let paths: Vec<PathBuf> = paths.into_iter().cloned().collect();
    let mut found = library::find(&paths, &vocabulary())?;
    for path in &manifests {
        let problems = library::check_manifest(path).with_context(|| format!("read {}", path.display()))?;
        found.problems.extend(Some(problems).filter(|problems| !problems.is_empty()));
    }
    let mut warnings: Vec<Diagnostics> = found.scenarios.iter().map(lint::scenario).collect();
    warnings.push(lint::all(&found.scenarios));
    warnings.retain(|found| !found.is_empty());
    show_diagnostics(found.problems.iter().chain(&warnings))?;
    let cells = found.scenarios.iter().flat_map(library::cells_of);
    let wanted: Vec<_> = cells.map(|run| (run.scenario.path.as_path(), run.case.name.as_str())).collect();
    let stale = library::stale_goldens(&paths, wanted.into_iter())?;
    let label = Paint::auto(io::stderr().is_terminal()).yellow("warning");
    let mut err = Regardless(io::stderr());
    for path in &stale {
        writeln!(
            err,
            "{}: {label}: no scenario has this golden transcript; remove the file\n",
            path.display()
        )?;
    }
    let errors: usize = found.problems.iter().map(Diagnostics::len).sum();
    let warnings: usize = warnings.iter().map(Diagnostics::len).sum::<usize>() + stale.len();
    let mut out = Regardless(io::stdout());
    match (found.scenarios.len(), manifests.len()) {
        (0, count) if count > 0 => write!(out, "{count} manifests")?,
        (count, _) => write!(out, "{count} scenarios")?,
    }
    writeln!(out, ": {errors} errors, {warnings} warnings")?;
    Ok(match (errors, warnings) {
        (0, 0) => 0,
        (0, _) => u8::from(arguments.strict),
        _ => 2,
    })
}
