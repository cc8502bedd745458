//! `drey run`: plays scenarios, shows progress, compares goldens, writes the report.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use drey_harness::library::{self, Filter, GOLDEN_SEED, Goldens, Mode, Options, ReportFolder, Run, Tally};
use drey_harness::modes::usual_jobs;
use drey_harness::run::vocabulary;
use drey_language::Scenario;
use drey_language::diagnostics::nearest;
use drey_language::report::RunReport;

use crate::arguments::{Regardless, regardless, seed, show_problems};
use crate::place::Place;
use crate::show::{Format, Show};
use tokio::signal::unix::SignalKind;

/// Play scenarios against the real reconciler and report.
///
/// Every scenario runs in a world of its own. A run passes when its steps hold, no invariant is broken, and it is the
/// run kept in the golden transcript beside the file. Each cell of a matrix is a run; `crashOperator: {everyWrite:
/// true}` adds two runs per write of the operator. A scenario passes when all its runs do.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Files and folders with scenarios.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Decides every choice left open; the same seed gives the same run. Golden transcripts are of seed 1.
    #[arg(long, value_name = "N", default_value_t = GOLDEN_SEED, value_parser = seed)]
    seed: u64,
    /// Runs at the same time. Default: one per core, two in loopback mode, one on a cluster.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only what fits: words of the name, case or path, `tag:T`, `name:N`, `case:C`, `!` before what must not fit. `*`
    /// stands for any text in tags and names.
    #[arg(long, value_name = "EXPR", default_value = "")]
    filter: Filter,
    /// Write index.html, junit.xml, events.jsonl, summary.md and transcripts/ into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Keep the transcripts of runs that pass as the golden ones; read the diff before you commit it.
    #[arg(long, conflicts_with = "no_golden")]
    bless: bool,
    /// Judge by steps and invariants alone, as with other seeds and modes.
    #[arg(long)]
    no_golden: bool,
    /// Leave out the runs that crash the operator at each of its writes; the cells they belong to are played.
    #[arg(long)]
    quick: bool,
    /// Only the first case of each scenario.
    #[arg(long)]
    first: bool,
    /// A line for every run, also where a bar is shown.
    #[arg(long, short)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  drey run                                           the library below scenarios/
  drey run my-scenario.yaml --no-golden              while writing one
  drey run my-scenario.yaml --bless                  when it is as it should be
  drey run --filter 'tag:upgrade !name:*-cluster'    by tag and name
  drey run --seed 0x51f3 --jobs 2 --report out       other choices of chance; report in out/index.html
  drey run --format json | jq 'select(.type == \"result\") | {scenario, result: .outcome.result}'

Exit codes: 0 all passed; 1 a scenario failed; 2 nothing ran (bad command line, bad file, nothing chosen, all skipped);
130 interrupted. Ctrl-C ends the runs and clears away what they made on a cluster; a second one ends at once.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let options = arguments.options()?;
    let folder = arguments.report.as_deref().map(ReportFolder::claim).transpose()?;
    let vocabulary = vocabulary();
    let found = library::find(&arguments.paths, &vocabulary)?;
    if show_problems(&found)? {
        writeln!(
            Regardless(io::stderr()),
            "nothing was run: {} cannot be read",
            files(found.problems.len())
        )?;
        return Ok(2);
    }
    let runs = arguments.chosen(&found.scenarios)?;
    let interrupt = options.interrupt.clone();
    let ends_early = interrupt.clone();
    on_interrupt(move || ends_early.set()).context("listen for Ctrl-C")?;
    let growing = folder.clone().map(ReportFolder::begin);
    let mut show = Show::new(arguments.format, arguments.verbose, growing);
    let started = Instant::now();
    let cases = library::play(&runs, &vocabulary, &options, &mut show);
    let report = RunReport { title: arguments.title(), cases, wall: started.elapsed() };
    let (shown, growing) = show.end(&report);
    if interrupt.is_set() {
        writeln!(Regardless(io::stderr()), "interrupted: what ran is ended, and no report is written")?;
        return Ok(INTERRUPTED);
    }
    let tally = Tally::of(&report, options.seed);
    // A report of nothing would only replace one of something.
    let folder = folder.filter(|_| tally.has_run());
    let written = growing.filter(|_| tally.has_run()).map_or(Ok(()), |growing| growing.finish(&report));
    regardless(shown)?;
    written?;
    arguments.close(&tally, folder.as_ref())?;
    Ok(tally.exit_code())
}

/// As shells say of a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The first Ctrl-C ends the runs, which may have something to clear away; the second ends the process.
fn on_interrupt(deed: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let first = runtime.block_on(async { tokio::signal::unix::signal(SignalKind::interrupt()) })?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let mut signal = first;
            signal.recv().await;
            deed();
            signal.recv().await;
            std::process::exit(i32::from(INTERRUPTED));
        });
    });
    Ok(())
}

fn files(count: usize) -> String {
    if count == 1 { "a file".to_owned() } else { format!("{count} files") }
}

impl Arguments {
    fn options(&self) -> anyhow::Result<Options> {
        let can_bless = self.seed == GOLDEN_SEED && self.place.mode == Mode::Virtual;
        anyhow::ensure!(
            !self.bless || can_bless,
            "bless: golden transcripts are of seed {GOLDEN_SEED} in virtual time; leave out --seed and --mode"
        );
        let goldens = match (self.bless, self.no_golden) {
            (true, _) => Goldens::Bless,
            (_, true) => Goldens::Ignore,
            _ => Goldens::Compare,
        };
        let usual = Options::usual(self.seed);
        self.place.fill(Options {
            jobs: self.jobs.map_or(usual_jobs(self.place.mode), usize::from),
            goldens,
            is_quick: self.quick,
            ..usual
        })
    }

    fn title(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }

    /// What the filter leaves; nothing is an error that says what there is.
    fn chosen<'s>(&self, scenarios: &'s [Scenario]) -> anyhow::Result<Vec<Run<'s>>> {
        let all = library::cells(scenarios);
        anyhow::ensure!(
            !all.is_empty(),
            "find a scenario below {}: files with `kind: Scenario` and the extension yaml are looked for",
            self.title()
        );
        let mut runs: Vec<Run<'_>> = all.into_iter().filter(|run| self.filter.fits(run)).collect();
        if self.first {
            runs.dedup_by_key(|run| &run.scenario.path);
        }
        anyhow::ensure!(!runs.is_empty(), "find a run that fits the filter{}", what_there_is(scenarios));
        Ok(runs)
    }

    /// The last lines. Those of a JSON stream go beside it.
    fn close(&self, tally: &Tally, folder: Option<&ReportFolder>) -> io::Result<()> {
        let mut out: Box<dyn Write> = match self.format {
            Format::Human => Box::new(Regardless(io::stdout())),
            Format::Json => Box::new(Regardless(io::stderr())),
        };
        if !tally.has_run() {
            writeln!(
                Regardless(io::stderr()),
                "nothing ran: no scenario can be run in mode {}, see `modes:` in the files",
                self.place.mode
            )?;
        }
        if let Some(folder) = folder {
            writeln!(out, "report: {}", folder.path().join("index.html").display())?;
        }
        writeln!(out, "{tally}")?;
        out.flush()
    }
}

fn what_there_is(scenarios: &[Scenario]) -> String {
    let tags: BTreeSet<&str> =
        scenarios.iter().flat_map(|one| &one.metadata.tags).map(String::as_str).collect();
    let names: Vec<&str> = scenarios.iter().map(|one| one.metadata.name.as_str()).collect();
    let mut text = format!("; `drey list` shows the {} scenarios", names.len());
    if !tags.is_empty() {
        text.push_str(&format!("\ntags: {}", tags.into_iter().collect::<Vec<_>>().join(" ")));
    }
    // A single word that is nearly a name or a tag was probably meant to be it.
    let words = std::env::args().skip_while(|word| word != "--filter").nth(1).unwrap_or_default();
    let word = words.split_whitespace().next().unwrap_or_default();
    let word = word.split_once(':').map_or(word, |(_, value)| value);
    match nearest(word, &names) {
        Some(near) if !word.is_empty() => format!("; did you mean `{near}`?{text}"),
        _ => text,
    }
}
