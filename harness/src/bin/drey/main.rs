//! The `drey` command.

use clap::Parser;

mod run;

#[derive(Parser)]
#[command(name = "drey", version, about = "Runs Flink operator scenarios against a simulated cluster.")]
enum Command {
    /// Play scenarios and report.
    Run(run::Arguments),
}

fn main() -> std::process::ExitCode {
    let result = match Command::parse() {
        Command::Run(arguments) => run::run(&arguments),
    };
    match result {
        Ok(code) => std::process::ExitCode::from(code),
        Err(error) => {
            eprintln!("error: failed to {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}
