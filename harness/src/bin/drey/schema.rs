//! `drey schema` and `drey explain-step`: the language, for editors and for people.

use std::io::{self, Write};

use drey_harness::run::vocabulary;

/// Print the JSON Schema of scenario files, for completion and checks in editors.
#[derive(clap::Args)]
#[command(after_long_help = "Example, for the YAML language server, as the first line of a scenario:
  # yaml-language-server: $schema=../scenario.schema.json")]
pub struct Arguments {
    /// Of fragment files instead.
    #[arg(long)]
    fragment: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let vocabulary = vocabulary();
    let schema =
        if arguments.fragment { vocabulary.fragment_json_schema() } else { vocabulary.json_schema() };
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(0)
}

/// Explain a word of the scenario language: what it does, its keys, an example.
#[derive(clap::Args)]
pub struct StepArguments {
    /// Such as `eventually` or `savepoint`. Default: a list of all.
    name: Option<String>,
}

pub fn explain_step(arguments: &StepArguments) -> anyhow::Result<u8> {
    let vocabulary = vocabulary();
    let mut out = io::stdout().lock();
    match &arguments.name {
        Some(name) => {
            let text = vocabulary.explain(name).map_err(|error| anyhow::anyhow!("explain: {error}"))?;
            out.write_all(text.as_bytes())?;
        }
        None => {
            let width = vocabulary.steps().map(|step| step.name.len()).max().unwrap_or_default();
            for step in vocabulary.steps() {
                writeln!(out, "{:width$}  {}", step.name, step.doc)?;
            }
        }
    }
    Ok(0)
}
