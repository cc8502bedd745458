//! `make gates`: counts exactly what a pass and each action cost, and compares with benches/baseline.json.
//! Exit code 0: as stored and every goal met. 1: something differs or a goal is missed. 2: could not count.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use drey_benches::gates;
use drey_gate::{Paint, terminal};

const USAGE: &str = "usage: gates [--bless] [--out FILE]
  --bless     write what is found to benches/baseline.json
  --out FILE  write it to FILE, too, for `drey gate --counts FILE`";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut is_blessing, mut out) = (false, None);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), &out) {
            ("--bless", _) => is_blessing = true,
            ("--out", None) => out = arguments.next().map(PathBuf::from),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    run(is_blessing, out).unwrap_or_else(|error| {
        eprintln!("gates: {error:#}");
        ExitCode::from(2)
    })
}

fn run(is_blessing: bool, out: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let found = gates::counts()?;
    if let Some(path) = out {
        gates::write(&found, &path)?;
    }
    let stored = gates::stored()?;
    if is_blessing {
        gates::bless(&stored, &found)?;
        println!("{} counts written to {}", found.values.len(), gates::baseline_path().display());
    }
    let verdict = gates::judge(&found, &gates::stored()?);
    print!("{}", terminal::render(&verdict, Paint::auto(std::io::stdout().is_terminal())));
    Ok(ExitCode::from(verdict.exit_code()))
}
