//! What one cluster is like, from the command line or a file of clusters, and the options it is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fake_flink::dashboard::Dashboard;
use fake_flink::serve::ServeOptions;
use fake_flink::{
    Delay, Mode, ModelKnobs, ProgramTable, ResourceManager, SnapshotStore, StartOptions, Version,
};

#[derive(Clone, Debug)]
pub struct Shape {
    pub programs: ProgramTable,
    /// What an application runs; without it the default program.
    pub main_class: Option<String>,
    pub flink: Version,
    pub session: bool,
    pub config: BTreeMap<String, String>,
    pub time_scale: f64,
    pub seed: u64,
    pub instant: bool,
    pub log: bool,
}

/// A session as the conformance runner expects it (its README): what a fresh installation is not.
const SESSION: &[(&str, &str)] = &[
    ("taskmanager.numberOfTaskSlots", "4"),
    ("parallelism.default", "2"),
    ("web.refresh-interval", "100"),
    ("metrics.fetcher.update-interval", "100"),
];

impl Shape {
    pub fn options(
        &self,
        address: SocketAddr,
        storage: SnapshotStore,
        dashboard: Option<Dashboard>,
    ) -> anyhow::Result<ServeOptions> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut start = if self.session {
            StartOptions { resources: ResourceManager::Standalone, ..StartOptions::session(self.flink, now) }
        } else {
            let mode = Mode::Application { main_class: self.main_class.clone(), args: Vec::new(), jar: None };
            StartOptions { mode, ..StartOptions::application(self.flink, now) }
        };
        start.programs = self.programs.clone();
        if self.session {
            start.config.extend(SESSION.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        }
        start.seed = self.seed;
        start.storage = storage;
        start.dashboard = dashboard;
        start.pod_ip = address.ip().to_string();
        start = start.config("rest.port", &address.port().to_string());
        start.model = if self.instant {
            ModelKnobs::instant()
        } else {
            // A server says ready when it is.
            ModelKnobs { rest_up: Delay::ZERO, leader_ready: Delay::ZERO, ..ModelKnobs::default() }
        };
        start.config.extend(self.config.clone());
        let task_managers = match self.session {
            true => vec![("localhost:40001-5e55ed".to_owned(), slots(&start.config)?)],
            false => Vec::new(),
        };
        Ok(ServeOptions {
            start,
            time_scale: self.time_scale,
            task_manager_start: Duration::from_secs(2),
            task_managers,
            log: if self.log { |line| eprintln!("{line}") } else { |_| {} },
        })
    }
}

fn slots(config: &BTreeMap<String, String>) -> anyhow::Result<u32> {
    let slots = config.get("taskmanager.numberOfTaskSlots").map_or(Ok(1), |slots| slots.parse());
    slots.context("read taskmanager.numberOfTaskSlots: a whole number, for example 4")
}

/// `KEY=VALUE` pairs.
pub fn config(entries: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut config = BTreeMap::new();
    for entry in entries {
        let Some((key, value)) = entry.split_once('=') else {
            bail!("read --config {entry:?}: expected KEY=VALUE, for example parallelism.default=2")
        };
        config.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(config)
}

/// The known programs and those of a file, and the entry class of the first of these.
pub fn programs(file: Option<&Path>) -> anyhow::Result<(ProgramTable, Option<String>)> {
    let mut table = ProgramTable::default();
    let Some(path) = file else { return Ok((table, None)) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("read jobs from {name}"))?;
    let classes = fake_flink::program::read(&mut table, &name, &text)?;
    Ok((table, classes.into_iter().next().flatten()))
}

/// The dashboards of the versions in use: each is opened once, its clusters share it.
#[derive(Default)]
pub struct Dashboards {
    given: Option<PathBuf>,
    opened: BTreeMap<String, Option<Dashboard>>,
}

impl Dashboards {
    pub fn new(given: Option<&Path>) -> Dashboards {
        Dashboards { given: given.map(Path::to_owned), opened: BTreeMap::new() }
    }

    pub fn of(&mut self, version: Version) -> anyhow::Result<Option<Dashboard>> {
        let key = version.to_string();
        if let Some(known) = self.opened.get(&key) {
            return Ok(known.clone());
        }
        let jar = self.given.clone().or_else(|| Dashboard::find(version));
        let dashboard = jar.as_deref().map(Dashboard::open).transpose()?;
        self.opened.insert(key, dashboard.clone());
        Ok(dashboard)
    }
}
