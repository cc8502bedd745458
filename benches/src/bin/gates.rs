//! `make gates`: counts exactly what a pass and each action cost, and compares with benches/baseline.json.
//! Exit code 0: as stored and every goal met. 1: something differs or a goal is missed. 2: could not count.

use std::process::ExitCode;

use drey_benches::gates;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_blessing = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--bless"] => true,
        _ => {
            eprintln!("usage: gates [--bless]\n  --bless  write what is found to benches/baseline.json");
            return ExitCode::from(2);
        }
    };
    run(is_blessing).unwrap_or_else(|error| {
        eprintln!("gates: {error:#}");
        ExitCode::from(2)
    })
}

fn run(is_blessing: bool) -> anyhow::Result<ExitCode> {
    let found = gates::measure()?;
    let missed = gates::missed_goals(&found);
    for goal in &missed {
        eprintln!("goal missed: {goal}");
    }
    if is_blessing {
        let stored = gates::load().unwrap_or_default();
        gates::bless(&stored, &found)?;
        println!("{} counts written to {}", found.len(), gates::baseline_path().display());
        return Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) });
    }
    let differences = gates::compare(&gates::load()?, &found);
    if !differences.is_empty() {
        print!("{}", gates::render(&differences));
    }
    println!(
        "{} counts ({}), {} differ, {} goals missed",
        found.len(),
        gates::PROFILE,
        differences.len(),
        missed.len()
    );
    Ok(if differences.is_empty() && missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
