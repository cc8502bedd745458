//! Scenarios under `cargo test`, for this repository and for others: a folder becomes one test per case, and a scenario can
//! be written in Rust.
//!
//! This module and [`scenarios!`](crate::scenarios) are the stable surface of the crate: harness/stable-api.txt lists it,
//! a test holds the list, and what it names changes only with the minor version. See docs/cargo-test.md. Leaves out:
//! clusters; `drey run --mode cluster` has them.

mod finished;
mod flink;
mod live;
mod scenario;

pub use finished::Finished;
pub use flink::{Flink, Job, Savepoint, Start};
pub use live::{HookError, HookResult, Live, Object};
pub use scenario::Scenario;

pub use crate::library::Mode;
/// The Rust types of Flink's custom resources.
pub use drey_api as api;
/// The Rust types of Kubernetes' own objects.
pub use k8s_openapi;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use drey_language::files::normalise;
use drey_language::report::{CaseReport, Outcome};
use drey_language::scenario::Scenario as Written;
use drey_language::{Paint, Vocabulary, failure};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::library::{self, Found, GOLDEN_SEED, Goldens, Options, cells_of};
use crate::modes::usual_jobs;
use crate::run::vocabulary;

/// A `main` that runs every scenario below a folder of the crate as a test of its own, one per case.
///
/// For a test target with `harness = false`; the folder is relative to the crate's `Cargo.toml`:
///
/// ```no_run
/// drey_harness::scenarios!("scenarios");
/// ```
///
/// Or over real HTTP, without golden transcripts: `drey_harness::scenarios!("scenarios", in Loopback);`
#[macro_export]
macro_rules! scenarios {
    ($folder:literal) => {
        $crate::scenarios!($folder, in Virtual);
    };
    ($folder:literal, in $mode:ident) => {
        fn main() -> ::std::process::ExitCode {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder);
            $crate::testing::run_folder_in(folder, $crate::testing::Mode::$mode)
        }
    };
}

/// The examples of docs/cargo-test.md, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/cargo-test.md")]
struct DocumentedUse;

/// Set to anything but the empty text or `0`: runs that pass become the golden ones.
pub const BLESS: &str = "DREY_BLESS";
/// Another seed than that of the golden transcripts.
pub const SEED: &str = "DREY_SEED";

/// Plays every scenario below the folder under the command line of `cargo test`: filters, `--list`, `--test-threads`.
///
/// A file that cannot be read is a test that fails, and so is a folder without scenarios: a suite that runs nothing
/// must not look like one that passes.
pub fn run_folder(folder: impl AsRef<Path>) -> ExitCode {
    run_folder_in(folder, Mode::Virtual)
}

/// As [`run_folder`], in another mode.
pub fn run_folder_in(folder: impl AsRef<Path>, mode: Mode) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(usual_jobs(mode));
    libtest_mimic::run(&arguments, trials(&normalise(folder.as_ref()), mode)).exit_code()
}

/// Plays one scenario file, all its cases, and panics with the report of the first that fails: for tests written by
/// hand, or with `#[rstest]` and `#[files(..)]`.
///
/// ```no_run
/// #[test]
/// fn an_upgrade_keeps_state() {
///     drey_harness::testing::assert_scenario("scenarios/upgrade-keeps-state.yaml");
/// }
/// ```
///
/// # Panics
/// When the file cannot be read as a scenario, or one of its cases fails.
#[track_caller]
pub fn assert_scenario(path: impl AsRef<Path>) {
    let vocabulary = vocabulary();
    let found = library::find(&[path.as_ref().to_path_buf()], &vocabulary)
        .unwrap_or_else(|error| panic!("failed to {error:#}"));
    if let Some(problems) = found.problems.first() {
        panic!("{}", problems.render(Paint::Plain));
    }
    let options = options(Mode::Virtual).unwrap_or_else(|error| panic!("{error}"));
    for scenario in &found.scenarios {
        for run in cells_of(scenario) {
            if let Err(text) = play(scenario, &run.name(), &vocabulary, &options) {
                panic!("{text}");
            }
        }
    }
}

fn trials(folder: &Path, mode: Mode) -> Vec<Trial> {
    let vocabulary = Arc::new(vocabulary());
    let found =
        library::find(&[folder.to_path_buf()], &vocabulary).map_err(|error| format!("failed to {error:#}"));
    let (found, options) = match (found, options(mode)) {
        (Ok(found), Ok(options)) => (found, options),
        (Err(error), _) | (_, Err(error)) => return vec![failing("scenarios", error)],
    };
    let Found { scenarios, problems } = found;
    let mut trials: Vec<Trial> =
        problems.iter().map(|problem| failing(&name_of(problem), problem.render(Paint::Plain))).collect();
    for scenario in scenarios {
        if !scenario.modes.iter().any(|one| one == mode.name()) {
            let why = format!("runs in {} only", scenario.modes.join(", "));
            let name = title(folder, &scenario, "default");
            trials.push(Trial::test(name, move || Err(Failed::from(why))).with_ignored_flag(true));
            continue;
        }
        let scenario = Arc::new(scenario);
        for run in cells_of(&scenario) {
            let name = title(folder, &scenario, &run.name());
            let (scenario, vocabulary, options) = (scenario.clone(), vocabulary.clone(), options.clone());
            let case = run.name();
            trials.push(Trial::test(name, move || {
                play(&scenario, &case, &vocabulary, &options).map_err(Failed::from)
            }));
        }
    }
    if trials.iter().all(Trial::has_ignored_flag) {
        trials.push(failing(
            "scenarios",
            format!("no scenario of mode {mode} below {}: is the path right?", folder.display()),
        ));
    }
    trials
}

fn failing(name: &str, text: String) -> Trial {
    Trial::test(name, move || Err(Failed::from(text)))
}

fn name_of(problems: &drey_language::Diagnostics) -> String {
    problems.iter().next().map_or_else(|| "scenario".to_owned(), |first| first.span.file().to_owned())
}

/// `upgrade/running-keeps-state`, `upgrade/running-keeps-state::upgradeMode=savepoint`.
fn title(folder: &Path, scenario: &Written, case: &str) -> String {
    let path = scenario.path.strip_prefix(folder).unwrap_or(&scenario.path).with_extension("");
    let path = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    if case == "default" { path } else { format!("{path}::{case}") }
}

fn options(mode: Mode) -> Result<Options, String> {
    let (is_blessing, seed) = (is_blessing(), chosen_seed()?);
    if is_blessing && seed != GOLDEN_SEED {
        return Err(format!("golden transcripts are of seed {GOLDEN_SEED}: unset {SEED} to bless"));
    }
    let goldens = if is_blessing { Goldens::Bless } else { Goldens::Compare };
    Ok(Options { jobs: 1, goldens, mode, ..Options::usual(seed) })
}

fn is_blessing() -> bool {
    std::env::var_os(BLESS).is_some_and(|value| !value.is_empty() && value != "0")
}

fn chosen_seed() -> Result<u64, String> {
    match std::env::var(SEED) {
        Err(_) => Ok(GOLDEN_SEED),
        Ok(text) => text.parse().map_err(|_| format!("{SEED}={text}: a seed is a whole number")),
    }
}

/// One case with the crashes it stands for; the report of the first that fails.
fn play(scenario: &Written, case: &str, vocabulary: &Vocabulary, options: &Options) -> Result<(), String> {
    let run = library::find_run(scenario, case)?;
    let reports = library::play(&[run], vocabulary, options, &mut ());
    let bad: Vec<&CaseReport> = reports.iter().filter(|report| report.outcome.is_bad()).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let mut text = told(first);
    if bad.len() > 1 {
        text.push_str(&format!("\nand {} more runs of {}\n", bad.len() - 1, scenario.path.display()));
    }
    Err(text)
}

fn told(report: &CaseReport) -> String {
    let mut text = format!("{}\n", report.title());
    match &report.outcome {
        Outcome::Failed { failures } => {
            failures.iter().for_each(|one| text.push_str(&failure::render(one, report, Paint::Plain)));
        }
        Outcome::Broken { error } => text.push_str(&format!("{error}\nreplay: {}\n", report.replay)),
        Outcome::Passed | Outcome::Skipped { .. } => {}
    }
    text
}
