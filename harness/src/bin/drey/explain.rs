//! `drey explain`: why the reconciler did what it did. One paragraph per pass: what woke it, the rules that applied, the
//! plan, what it waits for, and how it went.

use std::io::{self, Write};
use std::time::Duration;

use drey_harness::library::{Run, play_in_its_world};
use drey_harness::run::passes::PassRecord;
use drey_harness::run::{Played, vocabulary};
use drey_language::duration;
use serde_json::json;

use crate::arguments::One;
use crate::show::Format;

/// Run one scenario and tell each pass of the reconciler: trigger, rules applied, plan, next, outcome.
///
/// Stretches of passes that found nothing to do are one line each.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    one: One,
    /// Only passes over this object, such as FlinkDeployment/app.
    #[arg(long, value_name = "KIND/NAME")]
    object: Option<String>,
    /// Also each pass that found nothing to do.
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  drey explain scenarios/upgrade/x.yaml --case upgradeMode=savepoint
  drey explain scenarios/upgrade/x.yaml --all --object FlinkDeployment/app
  drey explain scenarios/upgrade/x.yaml --format json | jq 'select(.plan != [])'

Exit codes: 0 told, whether the scenario passed or not; 2 it did not run.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let vocabulary = vocabulary();
    let Some(scenario) = arguments.one.scenario(&vocabulary)? else { return Ok(2) };
    let options = arguments.one.options()?;
    for run in arguments.one.runs(&scenario)? {
        let played = play_in_its_world(&run, &vocabulary, &options);
        let story = Story { run: &run, seed: options.seed, arguments };
        match arguments.format {
            Format::Json => story.tell_json(&played)?,
            Format::Human => story.tell(&played)?,
        }
        if let Some(error) = played.broken {
            anyhow::bail!("run {}: {error}", run.name());
        }
    }
    Ok(0)
}

struct Story<'a> {
    run: &'a Run<'a>,
    seed: u64,
    arguments: &'a Arguments,
}

impl Story<'_> {
    fn passes<'p>(&self, played: &'p Played) -> Vec<&'p PassRecord> {
        let wanted = self.arguments.object.as_deref();
        played.passes.iter().filter(|pass| wanted.is_none_or(|object| pass.object == object)).collect()
    }

    fn tell(&self, played: &Played) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let scenario = &self.run.scenario;
        writeln!(
            out,
            "{} [{}], seed {:#x}: {}",
            scenario.metadata.name,
            self.run.name(),
            self.seed,
            scenario.path.display()
        )?;
        let passes = self.passes(played);
        let is_quiet = |pass: &PassRecord| pass.is_converged && !self.arguments.all;
        for stretch in passes.chunk_by(|a, b| is_quiet(a) && is_quiet(b) && a.object == b.object) {
            match stretch {
                [first, .., last] if is_quiet(first) => {
                    self.tell_quiet(first, Some(last), stretch.len(), &mut out)?
                }
                [only] if is_quiet(only) => self.tell_quiet(only, None, 1, &mut out)?,
                _ => stretch.iter().try_for_each(|pass| self.tell_pass(pass, &mut out))?,
            }
        }
        let verdict = match &played.failure {
            None => "passed".to_owned(),
            Some(failure) => format!("failed: {}", failure.expected),
        };
        writeln!(
            out,
            "\n{} passes in {} of scenario time; the scenario {verdict}\n",
            passes.len(),
            duration::format(played.scenario_time)
        )
    }

    fn at(&self, pass: &PassRecord) -> String {
        let since = pass.started.duration_since(self.run.case.clock.start);
        duration::format_clock(Duration::try_from(since).unwrap_or_default())
    }

    fn tell_quiet(
        &self,
        first: &PassRecord,
        last: Option<&PassRecord>,
        count: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (number, until) = match last {
            Some(last) => (format!("{}-{}", first.number, last.number), format!(" to {}", self.at(last))),
            None => (first.number.to_string(), String::new()),
        };
        let passes =
            if count == 1 { "nothing to do".to_owned() } else { format!("{count} passes, nothing to do") };
        let next = &last.unwrap_or(first).next;
        writeln!(out, "\npass {number}  {}{until}  {}  {passes}; next {next}", self.at(first), first.object)
    }

    fn tell_pass(&self, pass: &PassRecord, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\npass {}  {}  {}", pass.number, self.at(pass), pass.object)?;
        writeln!(out, "  trigger  {}", pass.trigger)?;
        for (index, step) in pass.trace.iter().filter(|step| !step.trim().is_empty()).enumerate() {
            writeln!(out, "  {:7}  {}", if index == 0 { "rules" } else { "" }, step.trim())?;
        }
        if pass.trace.iter().all(|step| step.trim().is_empty()) {
            writeln!(out, "  rules    none: the status follows what was observed")?;
        }
        let plan = if pass.plan.is_empty() { "nothing".to_owned() } else { pass.plan.join(", ") };
        writeln!(out, "  plan     {plan}")?;
        writeln!(out, "  next     {}", pass.next)?;
        let counts = pass.counts;
        let cost = format!(
            "{} API reads, {} API writes, {} Flink requests",
            counts.api_reads, counts.api_writes, counts.flink_requests
        );
        writeln!(out, "  outcome  {} ({cost})", pass.outcome)
    }

    fn tell_json(&self, played: &Played) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for pass in self.passes(played) {
            if pass.is_converged && !self.arguments.all {
                continue;
            }
            let counts = pass.counts;
            let record = json!({"scenario": self.run.scenario.metadata.name, "case": self.run.name(), "seed": self.seed,
                "pass": pass.number, "object": pass.object, "started": pass.started, "ended": pass.ended,
                "trigger": pass.trigger, "rules": pass.trace, "plan": pass.plan, "next": pass.next,
                "outcome": pass.outcome, "converged": pass.is_converged, "apiReads": counts.api_reads,
                "apiWrites": counts.api_writes, "flinkRequests": counts.flink_requests});
            writeln!(out, "{record}")?;
        }
        Ok(())
    }
}
