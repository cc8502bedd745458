//! A world to play in: loopback with TLS and a kubeconfig for kubectl, a live page, open until somebody closes it. With a
//! scenario it is the world of that scenario at one of its steps; without one a cluster with the operator and three
//! deployments, or with nothing. What is done by hand is recorded.

mod cluster;
mod hand;
mod live;
mod logbook;
mod shown;
mod words;

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use drey_language::events::{Kind, Lane};
use drey_language::failure::Failure;
use drey_language::files::Files;
use drey_language::scenario::parse_with;
use drey_language::scenario::{Case, Scenario, Step};
use drey_language::vocabulary::Vocabulary;
use drey_playground::{Server, Settings};
use fake_kube::control::{Control, ControlSocket, Controlling, RequestFaults, Struck};
use jiff::Timestamp;
use serde_json::Value;

use super::flink_doors::FlinkDoors;
use super::{ListenerOptions, Pace, Place};
use crate::run::{CaseRun, Interrupt, OpenCase};
use crate::world::World;
use crate::world::clock::ApiClock;

pub use cluster::{ClusterOptions, ClusterPage};
pub use live::News;
pub use logbook::Logbook;

/// How a playground is opened.
#[derive(Clone)]
pub struct PlayOptions {
    pub seed: u64,
    /// Scenario time begins here: the time of day, so that kubectl's ages are right.
    pub now: Timestamp,
    /// Of the runtime that it is opened on.
    pub pace: Pace,
    pub listen: SocketAddr,
    /// Where the kubeconfig goes; the file must not exist yet and is removed at the end.
    pub kubeconfig: PathBuf,
    pub has_operator: bool,
    /// Where no scenario says what there is: nothing at all, instead of three deployments.
    pub is_empty: bool,
    /// Where the live page is; nowhere without one.
    pub page: Option<SocketAddr>,
    pub logbook: Logbook,
    /// Where faults are set from outside; nowhere unless asked for.
    pub control: Option<SocketAddr>,
}

/// An open world. [`Playground::close`] it; dropping it leaves only the kubeconfig behind.
pub struct Playground {
    case: OpenCase,
    kubeconfig: PathBuf,
    url: String,
    control: Option<(String, RequestFaults, Controlling)>,
    flink: FlinkDoors,
    told: Cell<usize>,
    live: live::Live,
    page: Option<Server>,
    vocabulary: Vocabulary,
    /// What it is called: the scenario, or what stands in for one.
    name: String,
    seed: u64,
}

impl Playground {
    /// A world without a scenario when `case` is none.
    pub async fn open(
        options: &PlayOptions,
        case: Option<(&str, &Case)>,
        vocabulary: &Vocabulary,
    ) -> anyhow::Result<Playground> {
        if options.kubeconfig.exists() {
            bail!(
                "write kubeconfig {}: the file exists already\nnext: remove it, or choose another with --kubeconfig FILE",
                options.kubeconfig.display()
            );
        }
        if !options.listen.ip().is_loopback() {
            bail!(
                "listen on {}: not a loopback address, and what runs in the playground answers whoever reaches it\nnext: use --listen 127.0.0.1:0, or fake-kube serve for a server that others may reach",
                options.listen
            );
        }
        let control = match options.control {
            Some(address) => Some(ControlSocket::bind(address).await?),
            None => None,
        };
        let (name, mut case) = match case {
            Some((name, case)) => (name.to_owned(), case.clone()),
            None if options.is_empty || !options.has_operator => {
                ("an empty cluster".to_owned(), empty(options.has_operator, vocabulary)?)
            }
            None => ("three deployments".to_owned(), built_in(THREE, vocabulary)?),
        };
        case.clock.start = options.now;
        let place = Place::Loopback(ListenerOptions {
            bind: options.listen,
            tls: true,
            kubeconfig: Some(options.kubeconfig.clone()),
            control: control.as_ref().map(|socket| socket.url().to_owned()),
        });
        let run = CaseRun {
            seed: options.seed,
            speed_max: None,
            crash: None,
            place,
            listener: None,
            interrupt: Interrupt::default(),
        };
        let case = OpenCase::open(&case, vocabulary, &run, 1.0)
            .await
            .map_err(|error| in_words(error, options.listen))?;
        let sockets = case.world().sockets.as_ref().context("find the listener of the world")?;
        let url = sockets.listening.url.clone();
        let control = control.map(|socket| {
            let (url, faults) = (socket.url().to_owned(), live_faults(case.world()));
            let serving = socket.serve(Control { faults: faults.clone(), time: None, pods: None });
            (url, faults, serving)
        });
        let start = case.case().clock.start;
        let (pace, logbook) = (options.pace.clone(), options.logbook.clone());
        let live = live::Live::watch(case.world(), pace, logbook, &secret(), start);
        let told = recorder_of_flink(&live, case.world());
        let flink = FlinkDoors::open(case.world(), options.control.is_some().then_some(told)).await?;
        let mut ground = Playground {
            case,
            kubeconfig: options.kubeconfig.clone(),
            url,
            control,
            flink,
            told: Cell::new(0),
            live,
            page: None,
            vocabulary: vocabulary.clone(),
            name,
            seed: options.seed,
        };
        if let Some(address) = options.page {
            ground.show(address)?;
        }
        Ok(ground)
    }

    fn show(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let settings = Settings { address, token: secret() };
        let server =
            Server::start(&settings, self.live.stage.clone()).map_err(|error| in_words(error, address))?;
        let mut facts = vec![
            format!("export KUBECONFIG={}", self.kubeconfig.display()),
            format!("API server  {}", self.url),
            format!("Flink       {}", self.flink.url("NAMESPACE", "NAME")),
            format!("seed        {}", self.seed),
        ];
        facts.extend(self.control().map(|url| format!("export DREY_CONTROL={url}")));
        let world = shown::world(&self.name, self.case.case(), self.seed, &facts, &self.vocabulary);
        self.live.stage.feed.set("world", &world.to_string());
        self.page = Some(server);
        Ok(())
    }

    /// The address of the live page.
    pub fn page(&self) -> Option<String> {
        self.page.as_ref().map(Server::url)
    }

    fn world(&self) -> &World {
        self.case.world()
    }

    fn control_faults(&self) -> Vec<Value> {
        self.control.as_ref().map(|(_, faults, _)| faults.list()).unwrap_or_default()
    }

    /// The address of the control endpoint.
    pub fn control(&self) -> Option<&str> {
        self.control.as_ref().map(|(url, ..)| url.as_str())
    }

    /// Where Flink's REST API, its dashboard and its control are.
    pub fn flink(&self) -> &FlinkDoors {
        &self.flink
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Scenario time that has passed.
    pub fn elapsed(&self) -> Duration {
        self.case.world().clock.elapsed()
    }

    /// Plays the steps before this one, or all. [`Playground::live`] must go on beside it.
    pub async fn play(&self, before: Option<usize>) -> Result<(), Failure> {
        self.live.is_playing.set(true);
        let result = self.case.play(before).await;
        self.live.is_playing.set(false);
        self.live.played_until.set(self.elapsed());
        result
    }

    /// Ends the operator and the listener, removes the kubeconfig.
    pub async fn close(mut self) -> anyhow::Result<()> {
        // A clock that stands would keep the operator from ending in time.
        self.live.pace.go(None);
        drop(self.page.take());
        self.case.close().await;
        match std::fs::remove_file(&self.kubeconfig) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.kubeconfig.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Faults set by hand stand before those of the scenario, and are told like them.
fn live_faults(world: &World) -> RequestFaults {
    let journal = world.journal.clone();
    let told = move |struck: &Struck| {
        let text = format!("{}: {} {}", struck.fault, struck.request.method, struck.request.path);
        journal.push(journal.event(Lane::Fault, Kind::FaultHit, text));
    };
    RequestFaults::install(&world.api, Arc::new(ApiClock(world.clock)), Some(Arc::new(told)))
}

fn in_words(error: anyhow::Error, listen: SocketAddr) -> anyhow::Error {
    let is_taken = error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    });
    match is_taken {
        true => anyhow::anyhow!(
            "listen on {listen}: the port is in use\nnext: stop what listens there, or use --listen {}:0, which takes a free port",
            listen.ip()
        ),
        false => error,
    }
}

/// The step a name or number (from 1) means, as an index.
pub fn step_index(scenario: &Scenario, case: &Case, wanted: &str) -> Result<usize, String> {
    let title = |step: &Step| step.label.clone().unwrap_or_else(|| step.name.clone());
    let by_number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let index = by_number.or_else(|| {
        let labelled = case.steps.iter().position(|step| step.label.as_deref() == Some(wanted));
        labelled.or_else(|| case.steps.iter().position(|step| step.name == wanted))
    });
    index.filter(|index| *index < case.steps.len()).ok_or_else(|| {
        let steps: Vec<String> = case
            .steps
            .iter()
            .enumerate()
            .map(|(n, step)| format!("  {:>3} {}", n + 1, title(step)))
            .collect();
        format!("find step `{wanted}` in {}; its steps are:\n{}", scenario.path.display(), steps.join("\n"))
    })
}

const THREE: &str = include_str!("playground/three.yaml");

/// A scenario of no steps: the world's defaults are those of any scenario.
fn empty(has_operator: bool, vocabulary: &Vocabulary) -> anyhow::Result<Case> {
    let replicas = u8::from(has_operator);
    let text = format!(
        "apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: playground}}\nworld: {{operator: {{replicas: {replicas}}}}}\n\
         steps: [{{advance: 1s}}]\n"
    );
    let mut case = built_in(&text, vocabulary)?;
    case.steps.clear();
    Ok(case)
}

/// The one case of a scenario that is not a file.
fn built_in(text: &str, vocabulary: &Vocabulary) -> anyhow::Result<Case> {
    struct Text(String);
    impl Files for Text {
        fn read(&self, _path: &Path) -> io::Result<String> {
            Ok(self.0.clone())
        }
        fn exists(&self, _path: &Path) -> bool {
            true
        }
        fn siblings(&self, _path: &Path) -> Vec<String> {
            Vec::new()
        }
    }
    let scenario = parse_with(Path::new("playground.yaml"), vocabulary, &Text(text.to_owned()))
        .map_err(|problems| anyhow::anyhow!("read the playground's own scenario: {problems:?}"))?;
    scenario.cases.into_iter().next().context("find the playground's case")
}

/// Commands of `drey flink` go into the recording.
fn recorder_of_flink(live: &live::Live, world: &World) -> super::flink_doors::Told {
    let (recording, clock) = (live.recording.clone(), world.clock);
    Arc::new(move |key, command| {
        recording.add(clock.elapsed(), "drey flink", hand::flink_step(key, command));
    })
}

/// 128 bits nobody else on this machine knows: `std` keys its hashers from the system's randomness.
fn secret() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}
