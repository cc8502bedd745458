//! `drey play`: a world on a port, for kubectl. The time of day is read here and nowhere else in this command.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use drey_harness::determinism::on_thread;
use drey_harness::library::{self, GOLDEN_SEED};
use drey_harness::modes::playground::{
    ClusterOptions, ClusterPage, Logbook, News, PlayOptions, Playground, step_index,
};
use drey_harness::modes::{Mode, Pace, block_on_steered, check_scale};
use drey_harness::run::vocabulary;
use drey_harness::world::TimeOfDay;
use drey_language::Scenario;
use drey_language::duration;
use drey_language::events::Event;
use drey_language::failure::Failure;
use drey_language::vocabulary::Vocabulary;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{seed, show_problems};

/// Open a simulated cluster for kubectl and a browser: API server, kubelet, Flink and the operator in this process.
///
/// Writes a kubeconfig, tells where the live page is and what to try, shows what happens, and serves until Ctrl-C. It
/// begins with three deployments. With a scenario it plays its steps first, all of them or those before --pause-at, and
/// leaves the world open as it is then. What is done by hand is recorded: the page saves it as a scenario, or --save.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Play this scenario file first.
    scenario: Option<PathBuf>,
    /// One case of its matrix, as `drey list` names it. Default: the first.
    #[arg(long, value_name = "NAME", requires = "scenario")]
    case: Option<String>,
    /// Stop before this step: its number from 1, its `name:`, or its word.
    #[arg(long, value_name = "STEP", requires = "scenario")]
    pause_at: Option<String>,
    /// Seconds in the world per real second. Above 1, ages that kubectl computes itself run behind.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    time_scale: f64,
    /// Address to listen on, on this machine; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the kubeconfig, removed at the end. Default: a file in the folder for temporary files.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Open the control endpoint here: `drey fault` sets faults of the API server while the world runs.
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    control: Option<SocketAddr>,
    /// Start no operator and no deployments: to run one of your own against the world.
    #[arg(long, conflicts_with = "scenario")]
    no_operator: bool,
    /// Begin without the three deployments.
    #[arg(long, conflicts_with = "scenario")]
    empty: bool,
    /// Where the live page is, on this machine; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    page: SocketAddr,
    /// Show no page.
    #[arg(long, conflicts_with = "page")]
    no_page: bool,
    /// Show the page over a real cluster instead: of this kubeconfig; $KUBECONFIG or ~/.kube/config unless said.
    #[arg(long, value_name = "KUBECONFIG", num_args = 0..=1, require_equals = true,
        conflicts_with_all = ["scenario", "no_operator", "empty", "no_page", "save", "control", "kubeconfig"])]
    cluster: Option<Option<PathBuf>>,
    /// With --cluster: the context to use, instead of the current one.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    context: Option<String>,
    /// With --cluster: the namespace that is shown.
    #[arg(long, value_name = "NAME", requires = "cluster", default_value = "default")]
    namespace: String,
    /// At the end, write what was done by hand as a scenario that replays. The file must not exist yet.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Decides every choice left open.
    #[arg(long, value_name = "N", default_value_t = GOLDEN_SEED, value_parser = seed)]
    seed: u64,
    /// Do not show what happens.
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  drey play                                            three deployments, a page to watch and break them, kubectl
  drey play --empty                                    a cluster with the operator; try what it prints
  drey play --cluster --namespace jobs                 the same page over a real cluster, by its watches
  drey play --save session.yaml                        what you do becomes a scenario: drey run session.yaml
  drey play --listen 127.0.0.1:6443 --time-scale 10    on a port of your choice, ten times as fast
  drey play scenarios/upgrade/x.yaml --pause-at patch  stop before the first `patch` and look around
  drey play --control                                  to break its API server meanwhile: drey fault --help
  drey play --no-operator --kubeconfig k.yaml          then: drey-operator --kubeconfig k.yaml --flink-transport proxy

Exit codes: 0 closed by Ctrl-C; 1 the scenario failed; 2 it did not start.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    check_scale(Mode::Loopback, arguments.time_scale).map_err(anyhow::Error::msg)?;
    let vocabulary = vocabulary();
    if let Some(kubeconfig) = &arguments.cluster {
        return over_a_cluster(arguments, kubeconfig.clone(), &vocabulary);
    }
    let scenario = match &arguments.scenario {
        None => None,
        Some(file) => {
            anyhow::ensure!(
                !file.is_dir(),
                "play {}: it is a folder; name one scenario file",
                file.display()
            );
            let found = library::find(std::slice::from_ref(file), &vocabulary)?;
            if show_problems(&found)? {
                return Ok(2);
            }
            found.scenarios.into_iter().next()
        }
    };
    let plan = scenario.map(|scenario| arguments.plan(scenario)).transpose()?;
    let options = arguments.options();
    if let Some(file) = &arguments.save {
        anyhow::ensure!(
            !file.exists(),
            "save the session to {}: the file exists already\nnext: remove it, or choose another with --save FILE",
            file.display()
        );
    }
    let (is_quiet, save) = (arguments.quiet, arguments.save.clone());
    options.logbook.install();
    // The depth of unoptimised futures wants the stack of a scenario's thread.
    let played = on_thread("play", move || {
        let play = play(&options, plan, &vocabulary, is_quiet, save.as_deref());
        block_on_steered(options.pace.clone(), play)?
    });
    played.map_err(|_| anyhow::anyhow!("keep the world open: a task of it panicked, see above"))?
}

/// In real time, which is the cluster's.
fn over_a_cluster(
    arguments: &Arguments,
    kubeconfig: Option<PathBuf>,
    vocabulary: &Vocabulary,
) -> anyhow::Result<u8> {
    let options = ClusterOptions {
        kubeconfig,
        context: arguments.context.clone(),
        namespace: arguments.namespace.clone(),
        page: arguments.page,
        time: TimeOfDay::starting(time_of_day()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let page = ClusterPage::open(&options, vocabulary).await?;
        say(&format!(
            "The live page, to watch it: {}\n\nIt shows namespace {} of {}.\nCtrl-C ends it.",
            page.url(),
            options.namespace,
            page.description
        ))?;
        tokio::select! {
            () = page.live() => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(0)
    })
}

/// Which steps of which case.
struct Plan {
    scenario: Scenario,
    case: usize,
    pause_before: Option<usize>,
}

impl Arguments {
    fn options(&self) -> PlayOptions {
        let default = || std::env::temp_dir().join(format!("drey-play-{}.kubeconfig", std::process::id()));
        PlayOptions {
            seed: self.seed,
            now: time_of_day(),
            pace: Pace::limited(Some(self.time_scale)),
            listen: self.listen,
            kubeconfig: self.kubeconfig.clone().unwrap_or_else(default),
            has_operator: !self.no_operator,
            is_empty: self.empty,
            page: (!self.no_page).then_some(self.page),
            logbook: Logbook::default(),
            control: self.control,
        }
    }

    fn plan(&self, scenario: Scenario) -> anyhow::Result<Plan> {
        let case = match &self.case {
            None => 0,
            Some(name) => {
                let run = library::find_run(&scenario, name).map_err(anyhow::Error::msg)?;
                scenario.cases.iter().position(|case| case.name == run.case.name).unwrap_or_default()
            }
        };
        let step = self.pause_at.as_deref().map(|step| step_index(&scenario, &scenario.cases[case], step));
        let pause_before = step.transpose().map_err(anyhow::Error::msg)?;
        Ok(Plan { scenario, case, pause_before })
    }
}

#[expect(clippy::disallowed_methods, reason = "a world that people look at shows the time of day")]
pub fn time_of_day() -> Timestamp {
    Timestamp::now()
}

async fn play(
    options: &PlayOptions,
    plan: Option<Plan>,
    vocabulary: &Vocabulary,
    is_quiet: bool,
    save: Option<&Path>,
) -> anyhow::Result<u8> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let case =
        plan.as_ref().map(|plan| (plan.scenario.metadata.name.as_str(), &plan.scenario.cases[plan.case]));
    let ground = Playground::open(options, case, vocabulary).await?;
    greet(&ground, options, plan.is_some())?;
    let mut teller = Teller { is_quiet, start: options.now, is_told: false };
    let mut code = 0;
    {
        let live = ground.live(|news| teller.tell(news));
        let first = ground.play(plan.as_ref().and_then(|plan| plan.pause_before));
        tokio::pin!(live, first);
        let mut is_played = false;
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                result = &mut first, if !is_played => {
                    is_played = true;
                    match (result, &plan) {
                        (Ok(()), None) => {}
                        (Ok(()), Some(plan)) => say(&state_after(plan))?,
                        (Err(failure), _) => {
                            code = 1;
                            say(&told(&failure))?;
                        }
                    }
                }
                () = &mut live => {}
            }
        }
    }
    if let Some(file) = save {
        std::fs::write(file, ground.scenario())
            .with_context(|| format!("save the session to {}", file.display()))?;
        say(&format!("saved; the same again: drey run {} --seed {}", file.display(), options.seed))?;
    }
    close(ground, code).await
}

async fn close(ground: Playground, code: u8) -> anyhow::Result<u8> {
    let file = ground.kubeconfig().display().to_string();
    ground.close().await?;
    say(&format!("closed; {file} is removed"))?;
    Ok(code)
}

fn state_after(plan: &Plan) -> String {
    let name = &plan.scenario.metadata.name;
    match plan.pause_before {
        Some(index) => {
            let step = &plan.scenario.cases[plan.case].steps[index];
            format!(
                "{name} stands before step {}: {}. The world is open; Ctrl-C closes it.",
                index + 1,
                step.title()
            )
        }
        None => format!("{name} passed. The world stays open; Ctrl-C closes it."),
    }
}

fn told(failure: &Failure) -> String {
    let at = failure.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let note = failure.note.lines().map(|line| format!("\n  {line}")).collect::<String>();
    format!(
        "{} failed{at}: {}{note}\nThe world stays open as it is; Ctrl-C closes it.",
        failure.check, failure.expected
    )
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn greet(ground: &Playground, options: &PlayOptions, has_scenario: bool) -> anyhow::Result<()> {
    let mut text = format!(
        "A cluster listens on {}. For kubectl:\n\n  export KUBECONFIG={}\n",
        ground.url(),
        ground.kubeconfig().display()
    );
    if let Some(control) = ground.control() {
        text.push_str(&format!(
            "  export DREY_CONTROL={control}    # for drey fault; the kubeconfig tells it, too\n"
        ));
    }
    if let Some(control) = ground.flink().control() {
        text.push_str(&format!("  export DREY_FLINK={control}    # for drey flink\n"));
    }
    if let Some(page) = ground.page() {
        text = format!("The live page, to watch and break it: {page}\n\n{text}");
    }
    let flink = ground.flink().url("NAMESPACE", "NAME");
    text.push_str(&format!("\nFlink of every deployment, REST API and dashboard: {flink}\n"));
    if !has_scenario && options.has_operator {
        text.push_str(if options.is_empty { TRY } else { TRY_THREE });
    }
    text.push_str("\nCtrl-C ends it.\n");
    say(&text).context("write to the terminal")
}

const TRY: &str = "
Then try:

  kubectl apply -f scenarios/manifests/basic-example.yaml
  kubectl wait flinkdeployment/basic-example --for=jsonpath='{.status.lifecycleState}'=STABLE --timeout=2m
  kubectl get flinkdeployments,pods
  kubectl describe flinkdeployment basic-example
  kubectl logs deployment/basic-example
  kubectl patch flinkdeployment basic-example --type=merge -p '{\"spec\":{\"job\":{\"parallelism\":4}}}'
  kubectl delete pod -l component=jobmanager
  kubectl get events
  kubectl delete flinkdeployment basic-example
";

const TRY_THREE: &str = "
Then try, besides the page:

  kubectl get flinkdeployments,pods
  kubectl describe flinkdeployment orders
  kubectl logs deployment/payments
  kubectl patch flinkdeployment orders --type=merge -p '{\"spec\":{\"job\":{\"parallelism\":4}}}'
  kubectl delete pod -l app=clicks,component=jobmanager
  kubectl get events
";

/// Prints what happens. A terminal that is gone is no reason to end the world.
struct Teller {
    is_quiet: bool,
    start: Timestamp,
    /// Of failures only the first is told: the others follow from it, mostly.
    is_told: bool,
}

impl Teller {
    fn tell(&mut self, news: News) {
        // Nobody reads any more.
        let _ = match news {
            News::Failed(failure) if !self.is_told => {
                self.is_told = true;
                say(&told(&failure))
            }
            News::Happened(events) if !self.is_quiet => self.lines(events),
            News::Failed(_) | News::Happened(_) => Ok(()),
        };
    }

    fn lines(&self, events: Vec<Event>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for event in events {
            let time = duration::format_clock(event.since(self.start));
            let object = event.object.map(|object| format!("{object} ")).unwrap_or_default();
            writeln!(out, "{time:>12} {:<8} {object}{}", event.lane, event.text)?;
        }
        out.flush()
    }
}
