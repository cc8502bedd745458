//! A scenario written in Rust: what is there, what happens, and closures of the test in between. It becomes the same
//! scenario that a file would, checked by the same reader and carried out by the same runner.

use std::collections::BTreeMap;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drey_language::files::{Disk, Files, normalise};
use drey_language::report::{CaseReport, Outcome};
use drey_language::scenario::parse_with;
use drey_language::{Paint, Source, duration, yaml};
use serde::Serialize;
use serde_json::{Value, json};

use super::finished::Finished;
use super::live::{HookResult, Live};
use super::{SEED, chosen_seed};
use crate::library::{self, Mode, Options};
use crate::modes::{ListenerOptions, Place};
use crate::run::hooks::{self, Hooks};
use crate::run::{CaseRun, Context, Interrupt, run_case_with, vocabulary};

/// A scenario in the making. Each runs in a world of its own, on a thread of its own, in virtual time unless
/// [`Scenario::in_mode`] says otherwise; many at once do not know of each other.
///
/// ```no_run
/// use std::time::Duration;
/// use drey_harness::testing::{Scenario, api::FlinkDeployment};
/// use serde_json::json;
///
/// fn minutes(n: u64) -> Duration {
///     Duration::from_secs(60 * n)
/// }
///
/// Scenario::named("a change of parallelism keeps the state")
///     .given_file("manifests/clicks.yaml")
///     .eventually("FlinkDeployment/clicks", minutes(2), json!({"status": {"lifecycleState": "STABLE"}}))
///     .advance(minutes(2))
///     .hook("scale up", async |live| {
///         let clicks = live.typed::<FlinkDeployment>("clicks");
///         clicks.patch(json!({"spec": {"job": {"parallelism": 4}}})).await?;
///         clicks.eventually(minutes(2), |clicks| clicks.generation() == 2).await?;
///         Ok(())
///     })
///     .step("eventually: {within: 2m, of: FlinkDeployment/clicks, match: {status: {observedGeneration: 2}}}")
///     .step("restoredFrom: {name: clicks, is: newest}")
///     .run()
///     .assert_passed();
/// ```
pub struct Scenario {
    name: String,
    seed: Option<u64>,
    mode: Mode,
    world: Value,
    limit: Option<Duration>,
    crds: Vec<PathBuf>,
    monitors: Vec<Entry>,
    steps: Vec<Entry>,
    hooks: Hooks,
    hook_count: usize,
}

/// A step as YAML, and the line of the test that asked for it.
struct Entry {
    text: String,
    from: &'static Location<'static>,
}

impl Scenario {
    /// An empty world and nothing to do. Reports and transcripts show the name in lower case, with `-` between words.
    pub fn named(name: impl Into<String>) -> Scenario {
        Scenario {
            name: name.into(),
            seed: None,
            mode: Mode::Virtual,
            world: json!({}),
            limit: None,
            crds: Vec::new(),
            monitors: Vec::new(),
            steps: Vec::new(),
            hooks: Hooks::default(),
            hook_count: 0,
        }
    }

    /// Decides every choice left open. 1 unless said; `DREY_SEED` says it for all scenarios that do not.
    pub fn seed(mut self, seed: u64) -> Scenario {
        self.seed = Some(seed);
        self
    }

    /// Virtual time, or real HTTP on 127.0.0.1.
    ///
    /// # Panics
    /// For [`Mode::Cluster`], which is for `drey run`.
    #[track_caller]
    pub fn in_mode(mut self, mode: Mode) -> Scenario {
        assert!(mode != Mode::Cluster, "a cluster is for `drey run --mode cluster`, not for tests");
        self.mode = mode;
        self
    }

    /// What `world:` of a scenario file says: delays, the operator's configuration, how Flink behaves.
    pub fn world(mut self, world: Value) -> Scenario {
        self.world = world;
        self
    }

    /// Scenario time passes at most this long; a day unless said.
    pub fn limit(mut self, limit: Duration) -> Scenario {
        self.limit = Some(limit);
        self
    }

    /// A file with CRDs that the world serves beside its own; their kinds can then be named.
    pub fn crd(mut self, file: impl Into<PathBuf>) -> Scenario {
        self.crds.push(file.into());
        self
    }

    /// An object that is applied: anything that serialises to a manifest.
    ///
    /// # Panics
    /// When it does not serialise.
    #[track_caller]
    pub fn given(self, object: impl Serialize) -> Scenario {
        let object = serde_json::to_value(object).unwrap_or_else(|error| panic!("no manifest: {error}"));
        self.add("apply", json!({"object": object}))
    }

    /// The objects of a YAML text, applied one after another.
    ///
    /// # Panics
    /// When the text is not YAML.
    #[track_caller]
    pub fn given_yaml(self, text: &str) -> Scenario {
        let documents = yaml::parse_documents(&Source::new("given_yaml", text));
        let documents = documents.unwrap_or_else(|problems| panic!("{}", problems.render(Paint::Plain)));
        let from = Location::caller();
        let objects = documents.iter().map(yaml::Node::to_json);
        objects.fold(self, |scenario, object| scenario.add_from("apply", json!({"object": object}), from))
    }

    /// The objects of a file, applied. Relative to where the test runs, which is the folder of its crate.
    #[track_caller]
    pub fn given_file(self, file: impl AsRef<Path>) -> Scenario {
        self.add("apply", json!({"file": file.as_ref()}))
    }

    /// A merge patch of an object: `FlinkDeployment/clicks`.
    #[track_caller]
    pub fn patch(self, of: &str, merge: Value) -> Scenario {
        self.add("patch", json!({"of": of, "merge": merge}))
    }

    #[track_caller]
    pub fn delete(self, of: &str) -> Scenario {
        self.add("delete", json!({"of": of}))
    }

    /// Lets scenario time pass.
    #[track_caller]
    pub fn advance(self, span: Duration) -> Scenario {
        self.add("advance", json!(duration::format(span)))
    }

    /// Waits until an object looks like this: a partial match, as `match:` of a scenario file.
    #[track_caller]
    pub fn eventually(self, of: &str, within: Duration, matches: Value) -> Scenario {
        self.add("eventually", json!({"within": duration::format(within), "of": of, "match": matches}))
    }

    /// An object looks like this now.
    #[track_caller]
    pub fn assert(self, of: &str, matches: Value) -> Scenario {
        self.add("assert", json!({"of": of, "match": matches}))
    }

    /// Any step of the scenario language, as a file would hold it: `crashOperator: {}`.
    #[track_caller]
    pub fn step(mut self, yaml: impl AsRef<str>) -> Scenario {
        self.steps.push(Entry { text: dedented(yaml.as_ref()), from: Location::caller() });
        self
    }

    /// A check that holds from start to end, as an entry below `monitors:`.
    #[track_caller]
    pub fn monitor(mut self, yaml: impl AsRef<str>) -> Scenario {
        self.monitors.push(Entry { text: dedented(yaml.as_ref()), from: Location::caller() });
        self
    }

    /// A closure that looks at the world and changes it, when its turn comes. An error or a panic of it fails the
    /// scenario.
    #[track_caller]
    pub fn hook<F>(mut self, name: impl Into<String>, hook: F) -> Scenario
    where
        F: AsyncFnOnce(&Live<'_>) -> HookResult + Send + 'static,
    {
        let given = name.into();
        self.hook_count += 1;
        // Called by this name, which is shown, too.
        let is_taken =
            self.steps.iter().any(|entry| entry.text == format!("{}: {}", hooks::WORD, json!(given)));
        let name = if is_taken { format!("{given} ({})", self.hook_count) } else { given };
        self.hooks.add(name.clone(), boxed(hook));
        self.add(hooks::WORD, json!(name))
    }

    #[track_caller]
    fn add(self, word: &str, arguments: Value) -> Scenario {
        self.add_from(word, arguments, Location::caller())
    }

    fn add_from(mut self, word: &str, arguments: Value, from: &'static Location<'static>) -> Scenario {
        // JSON is YAML; on one line it needs no care for indentation.
        self.steps.push(Entry { text: format!("{word}: {arguments}"), from });
        self
    }

    /// Plays it and tells what became of it.
    ///
    /// # Panics
    /// When a step cannot be read; the message shows where, and what would be right.
    #[track_caller]
    pub fn run(self) -> Finished {
        let seed = self.seed.unwrap_or_else(|| chosen_seed().unwrap_or_else(|error| panic!("{error}")));
        let (text, places) = self.written();
        let path = PathBuf::from(self.slug());
        let mut words = vocabulary();
        words.add(hooks::word());
        let files = Overlay { path: path.clone(), text };
        let scenario = parse_with(&path, &words, &files)
            .unwrap_or_else(|problems| panic!("{}", problems.render(Paint::Plain)));
        let options = Options { jobs: 1, mode: self.mode, ..Options::usual(seed) };
        let place = match self.mode {
            Mode::Loopback => Place::Loopback(ListenerOptions::default()),
            Mode::Virtual | Mode::Cluster => Place::Virtual,
        };
        let cell = library::cells_of(&scenario).next().expect("a scenario has at least one case");
        assert!(
            !cell.crashes_at_every_write(),
            "`crashOperator: {{everyWrite: true}}` stands for many runs, a scenario in Rust is one: write a file for it"
        );
        let interrupt = Interrupt::default();
        let run = CaseRun { seed, speed_max: None, crash: None, place, listener: None, interrupt };
        let played = run_case_with(cell.case, &words, &run, &self.hooks);
        let mut report = cell.report_played(&options, played);
        report.replay = match self.seed {
            Some(_) => "this test again; it sets its seed".to_owned(),
            None => format!("{SEED}={seed} cargo test"),
        };
        places.apply(&mut report);
        Finished::new(report)
    }

    fn slug(&self) -> String {
        let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let words: String = self.name.chars().map(clean).collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
        let slug: String = words.join("-").chars().take(63).collect();
        if slug.is_empty() { "scenario".to_owned() } else { slug }
    }

    /// The scenario as a file, and which of its lines came from where.
    fn written(&self) -> (String, Places) {
        let mut text = String::new();
        let mut line = |key: &str, value: Value| text.push_str(&format!("{key}: {value}\n"));
        line("apiVersion", json!(drey_language::scenario::API_VERSION));
        line("kind", json!("Scenario"));
        line("metadata", json!({"name": self.slug(), "description": self.name}));
        line("modes", json!([self.mode.name()]));
        if self.world != json!({}) {
            line("world", self.world.clone());
        }
        if let Some(limit) = self.limit {
            line("clock", json!({"limit": duration::format(limit)}));
        }
        if !self.crds.is_empty() {
            line("crds", json!(self.crds));
        }
        let mut places = Places::default();
        for (key, entries) in [("monitors", &self.monitors), ("steps", &self.steps)] {
            if entries.is_empty() {
                text.push_str(&format!("{key}: []\n"));
                continue;
            }
            text.push_str(&format!("{key}:\n"));
            for entry in entries {
                places.begin(text.lines().count() as u32 + 1, entry.from);
                text.push_str(&format!("  - {}\n", entry.text.replace('\n', "\n    ")));
            }
        }
        (text, places)
    }
}

fn boxed<F>(hook: F) -> hooks::Hook
where
    F: AsyncFnOnce(&Live<'_>) -> HookResult + Send + 'static,
{
    Box::new(move |context: &Context| {
        Box::pin(async move {
            let live = Live::new(context);
            hook(&live).await.map_err(|error| error.failure())
        })
    })
}

/// Raw strings in code are indented as the code is.
pub(super) fn dedented(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().skip_while(|line| line.trim().is_empty()).collect();
    let indentation = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(common..).unwrap_or("")).collect();
    lines.join("\n")
}

/// Lines of the written scenario at which entries begin.
#[derive(Default)]
struct Places(BTreeMap<u32, &'static Location<'static>>);

impl Places {
    fn begin(&mut self, line: u32, from: &'static Location<'static>) {
        self.0.insert(line, from);
    }

    /// The line of the test, for a place in the scenario that nobody sees.
    fn of(&self, at: &str, name: &str) -> Option<String> {
        let line: u32 = at.strip_prefix(name)?.strip_prefix(':')?.split(':').next()?.parse().ok()?;
        let (_, from) = self.0.range(..=line).next_back()?;
        Some(format!("{}:{}", from.file(), from.line()))
    }

    fn apply(&self, report: &mut CaseReport) {
        let name = report.file.clone();
        if let Outcome::Failed { failures } = &mut report.outcome {
            for failure in failures {
                if let Some(place) = failure.at.as_deref().and_then(|at| self.of(at, &name)) {
                    failure.at = Some(place);
                }
            }
        }
        for step in &mut report.skipped_steps {
            if let Some(place) = self.of(&step.at, &name) {
                step.at = place;
            }
        }
    }
}

/// The disk, with one more file.
struct Overlay {
    path: PathBuf,
    text: String,
}

impl Files for Overlay {
    fn read(&self, path: &Path) -> io::Result<String> {
        if normalise(path) == self.path { Ok(self.text.clone()) } else { Disk.read(path) }
    }

    fn exists(&self, path: &Path) -> bool {
        normalise(path) == self.path || Disk.exists(path)
    }

    fn siblings(&self, path: &Path) -> Vec<String> {
        Disk.siblings(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_code_lose_the_indentation_of_the_code() {
        let text = "\n            eventually:\n              within: 2m\n\n              of: X/y\n        ";
        assert_eq!(dedented(text), "eventually:\n  within: 2m\n\n  of: X/y");
        assert_eq!(dedented("advance: 2m"), "advance: 2m");
        assert_eq!(dedented(""), "");
    }

    #[test]
    fn names_become_scenario_names() {
        let slug = |name: &str| Scenario::named(name).slug();
        assert_eq!(slug("A change, of parallelism!"), "a-change-of-parallelism");
        assert_eq!(slug("\u{e4}\u{f6}"), "scenario");
        assert!(slug(&"long ".repeat(40)).len() <= 63);
    }
}
