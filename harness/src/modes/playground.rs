//! A world to play in: loopback with TLS and a kubeconfig for kubectl, open until somebody closes it. With a scenario it
//! is the world of that scenario at one of its steps; without one it is a cluster with the operator and nothing else.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use drey_language::events::{Event, Kind, Lane};
use drey_language::failure::Failure;
use drey_language::files::Files;
use drey_language::scenario::parse_with;
use drey_language::scenario::{Case, Scenario, Step};
use drey_language::vocabulary::Vocabulary;
use fake_kube::control::{Control, ControlSocket, Controlling, RequestFaults, Struck};
use jiff::Timestamp;

use super::flink_doors::FlinkDoors;
use super::{ListenerOptions, Place};
use crate::run::{CaseRun, Interrupt, OpenCase};
use crate::world::World;
use crate::world::clock::ApiClock;

/// How a playground is opened.
#[derive(Clone, Debug)]
pub struct PlayOptions {
    pub seed: u64,
    /// Scenario time begins here: the time of day, so that kubectl's ages are right.
    pub now: Timestamp,
    pub scale: f64,
    pub listen: SocketAddr,
    /// Where the kubeconfig goes; the file must not exist yet and is removed at the end.
    pub kubeconfig: PathBuf,
    pub has_operator: bool,
    /// Where faults are set from outside; nowhere unless asked for.
    pub control: Option<SocketAddr>,
}

/// An open world. [`Playground::close`] it; dropping it leaves only the kubeconfig behind.
pub struct Playground {
    case: OpenCase,
    kubeconfig: PathBuf,
    url: String,
    control: Option<(String, Controlling)>,
    flink: FlinkDoors,
    told: usize,
}

impl Playground {
    /// A world without a scenario when `case` is none.
    pub async fn open(
        options: &PlayOptions,
        case: Option<&Case>,
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
        let mut case = match case {
            Some(case) => case.clone(),
            None => empty(options.has_operator, vocabulary)?,
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
        let case = OpenCase::open(&case, vocabulary, &run, options.scale)
            .await
            .map_err(|error| in_words(error, options.listen))?;
        let sockets = case.world().sockets.as_ref().context("find the listener of the world")?;
        let url = sockets.listening.url.clone();
        let control = control.map(|socket| {
            let url = socket.url().to_owned();
            (url, socket.serve(Control { faults: live_faults(case.world()), time: None }))
        });
        let flink = FlinkDoors::open(case.world(), options.control.is_some()).await?;
        Ok(Playground { case, kubeconfig: options.kubeconfig.clone(), url, control, flink, told: 0 })
    }

    /// The address of the control endpoint.
    pub fn control(&self) -> Option<&str> {
        self.control.as_ref().map(|(url, _)| url.as_str())
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

    /// Plays the steps of the scenario before this one, or all.
    pub async fn play(&mut self, before: Option<usize>) -> Result<(), Failure> {
        self.case.play(before).await
    }

    /// Call it a few times per second while nothing is played.
    pub async fn tick(&self) -> Result<(), Failure> {
        self.case.tick().await
    }

    /// What happened since the last call, routine left out.
    pub fn news(&mut self) -> Vec<Event> {
        let from = self.told;
        let events =
            self.case.world().journal.with(|log| log.events()[from.min(log.events().len())..].to_vec());
        self.told += events.len();
        events
            .into_iter()
            .filter(|event| event.detail.get("quiet") != Some(&serde_json::Value::Bool(true)))
            .collect()
    }

    /// Ends the operator and the listener, removes the kubeconfig.
    pub async fn close(self) -> anyhow::Result<()> {
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

/// A scenario of no steps, from text: the world's defaults are those of any scenario.
fn empty(has_operator: bool, vocabulary: &Vocabulary) -> anyhow::Result<Case> {
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
    let replicas = u8::from(has_operator);
    let text = format!(
        "apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: playground}}\nworld: {{operator: {{replicas: {replicas}}}}}\n\
         steps: [{{advance: 1s}}]\n"
    );
    let scenario = parse_with(Path::new("playground.yaml"), vocabulary, &Text(text))
        .map_err(|problems| anyhow::anyhow!("read the playground's own scenario: {problems:?}"))?;
    let mut case = scenario.cases.into_iter().next().context("find the playground's case")?;
    case.steps.clear();
    Ok(case)
}
