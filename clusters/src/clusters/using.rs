//! `status` and `load-image`: uses what is there.

use std::time::Duration;

use super::{Clusters, Health, Status};
use crate::choose;
use crate::engine::{Engine, ask};
use crate::host::Place;
use crate::kubectl::Access;
use crate::plan;
use crate::problem::{Problem, Trouble};
use crate::record::{Origin, Record, State};

impl Clusters<'_> {
    /// Gives images of the local engine to the nodes.
    pub fn load_images(&self, name: &str, images: &[String]) -> Result<(), Problem> {
        let record = self.record(name)?;
        match &record.origin {
            Origin::Kind { .. } | Origin::K3d { .. } => {}
            Origin::Kubeconfig { context } => return Err(plan::cannot_load(context)),
            // The VM's kubelet runs on the docker that built them.
            Origin::Colima { profile } => {
                let engine = choose::engine_of_vm(self.runner, profile)?;
                return self.all_there(&engine, images);
            }
        }
        let Some((maker, host)) = record.maker() else { return Ok(()) };
        let engine = Engine::at(self.runner, host, None)?;
        self.all_there(&engine, images)?;
        self.carry_out(&plan::load(name, maker, &engine, images), Duration::ZERO)
    }

    fn all_there(&self, engine: &Engine, images: &[String]) -> Result<(), Problem> {
        let missing = engine.missing_images(self.runner, images)?;
        let Some(first) = missing.first() else { return Ok(()) };
        let why = format!("not on the engine at {}: {}", engine.host, missing.join(", "));
        let next = format!("build it or `docker pull {first}`, and run it again");
        Err(Problem::new(Trouble::ImageMissing, "load images", why, next))
    }

    /// All clusters with a record, or one.
    pub fn status(&self, name: Option<&str>) -> Result<Vec<Status>, Problem> {
        let names = match name {
            Some(name) => vec![self.record(name)?.name],
            None => Record::names(self.host),
        };
        Ok(names.iter().filter_map(|name| self.status_of(name)).collect())
    }

    fn status_of(&self, name: &str) -> Option<Status> {
        let place = Place::of(self.host, name);
        let record = Record::load(&place)?;
        let health = match record.state {
            State::Creating | State::Made => Health::HalfMade,
            State::Ready => {
                let access = Access { kubeconfig: &place.kubeconfig(), context: &record.context };
                match ask(self.runner, &access.version(), "ask the API server for its version") {
                    Ok(outcome) => Health::Ready(git_version(&outcome.stdout)),
                    Err(problem) => Health::NotReady(problem),
                }
            }
        };
        let provider = record.provider();
        Some(Status {
            name: record.name,
            provider,
            context: record.context,
            kubeconfig: place.kubeconfig(),
            health,
        })
    }

    fn record(&self, name: &str) -> Result<Record, Problem> {
        Record::load(&Place::of(self.host, name)).ok_or_else(|| {
            let known = Record::names(self.host);
            let next = match known.is_empty() {
                true => "make one with `drey cluster up`".to_owned(),
                false => format!("choose one with --name: {}", known.join(", ")),
            };
            Problem::new(
                Trouble::NothingThere,
                format!("use cluster `{name}`"),
                "drey made no such cluster",
                next,
            )
        })
    }
}

fn git_version(text: &str) -> String {
    let version: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    version["gitVersion"].as_str().unwrap_or("of unknown version").to_owned()
}
