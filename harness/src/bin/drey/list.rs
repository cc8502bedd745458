//! `drey list`: the scenarios there are.

use std::io::{self, Write};
use std::path::PathBuf;

use drey_harness::library::{self, Filter, cells_of};
use drey_harness::run::vocabulary;
use drey_language::Scenario;
use serde_json::json;

use crate::arguments::{show_problems, shown};
use crate::show::Format;

/// List scenarios with their tags, number of cases and description.
#[derive(clap::Args)]
pub struct Arguments {
    /// Files and folders with scenarios.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Only what fits, as with `drey run`.
    #[arg(long, value_name = "EXPR", default_value = "")]
    filter: Filter,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also the names of the cases.
    #[arg(long)]
    cases: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let found = library::find(&arguments.paths, &vocabulary())?;
    let has_problems = show_problems(&found)?;
    let fits = |scenario: &&Scenario| cells_of(scenario).any(|run| arguments.filter.fits(&run));
    let scenarios: Vec<&Scenario> = found.scenarios.iter().filter(fits).collect();
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Json => scenarios.iter().try_for_each(|scenario| writeln!(out, "{}", record(scenario)))?,
        Format::Human => table(&scenarios, arguments.cases, &mut out)?,
    }
    Ok(if has_problems || scenarios.is_empty() { 2 } else { 0 })
}

fn table(scenarios: &[&Scenario], with_cases: bool, out: &mut impl Write) -> io::Result<()> {
    let width = scenarios.iter().map(|scenario| scenario.metadata.name.len()).max().unwrap_or_default();
    for scenario in scenarios {
        let metadata = &scenario.metadata;
        let cases = if scenario.cases.len() > 1 {
            format!(", {} cases", scenario.cases.len())
        } else {
            String::new()
        };
        let tags =
            if metadata.tags.is_empty() { String::new() } else { format!("  [{}]", metadata.tags.join(" ")) };
        writeln!(out, "{:width$}  {}{cases}{tags}", metadata.name, shown(&scenario.path))?;
        if !metadata.description.is_empty() {
            writeln!(out, "{:width$}  {}", "", metadata.description.trim())?;
        }
        if with_cases {
            scenario.cases.iter().try_for_each(|case| writeln!(out, "{:width$}    {}", "", case.name))?;
        }
    }
    let cases: usize = scenarios.iter().map(|scenario| scenario.cases.len()).sum();
    let worlds = library::per_mode(scenarios.iter().copied());
    let worlds: Vec<String> = worlds.iter().map(|(mode, count)| format!("{count} in {mode}")).collect();
    writeln!(out, "{} scenarios, {cases} cases; {}", scenarios.len(), worlds.join(", "))
}

fn record(scenario: &Scenario) -> serde_json::Value {
    let metadata = &scenario.metadata;
    let cases: Vec<&str> = scenario.cases.iter().map(|case| case.name.as_str()).collect();
    json!({"name": metadata.name, "file": scenario.path, "tags": metadata.tags, "bugs": metadata.bugs,
        "modes": scenario.modes, "cases": cases, "description": metadata.description})
}
