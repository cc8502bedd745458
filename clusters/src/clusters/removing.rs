//! `down` and `prune`: removes what is ours, and looks whether it is gone.

use super::{Clusters, Pruned, Which, io_problem};
use crate::colima;
use crate::engine::{Engine, ask};
use crate::host::Place;
use crate::kubectl::{self, Access};
use crate::maker::{Maker, Presence};
use crate::plan;
use crate::problem::{Problem, Trouble};
use crate::record::{Lock, Record, State};

impl Clusters<'_> {
    /// Removes a cluster that `up` made, or from somebody's cluster what `up` put there. `Ok(false)`: there is none.
    pub fn down(&self, name: &str) -> Result<bool, Problem> {
        let place = Place::of(self.host, name);
        let had_folder = place.folder.exists();
        let _lock = self.lock(&place)?;
        let result = match Record::load(&place) {
            Some(record) => self.down_recorded(&record, &place).map(|()| true),
            None => self.down_marked(&place),
        };
        if result.is_ok() || !had_folder {
            Record::forget(&place)
                .map_err(|error| io_problem("remove the cluster's files", &place.folder, &error))?;
        }
        result
    }

    fn down_recorded(&self, record: &Record, place: &Place) -> Result<(), Problem> {
        if let Some(profile) = &record.owned_vm {
            // With the VM goes all that is in it.
            (self.say)(&format!("deleting Colima's VM `{profile}`"));
            ask(self.runner, &colima::delete(profile), "delete Colima's VM")?;
        } else if let Some((maker, host)) = record.maker() {
            let engine = Engine::at(self.runner, host, None)?;
            self.remove(place, maker, &engine)?;
        } else {
            self.give_back(record, place)?;
        }
        if record.is_merged {
            for call in kubectl::unmerge(&self.host.kubeconfig(), &record.context) {
                self.gone(&call)?;
            }
        }
        Ok(())
    }

    /// Takes out of somebody's cluster what `up` put there.
    fn give_back(&self, record: &Record, place: &Place) -> Result<(), Problem> {
        let kubeconfig = place.kubeconfig();
        if !kubeconfig.exists() {
            return Ok(());
        }
        (self.say)(&format!(
            "removing what drey put into `{}`; the CRDs and their objects stay",
            record.context
        ));
        let access = Access { kubeconfig: &kubeconfig, context: &record.context };
        ask(self.runner, &access.remove(&record.name), "remove what drey put into the cluster").map(drop)
    }

    /// Without a record, by the claim on the engine of today.
    fn down_marked(&self, place: &Place) -> Result<bool, Problem> {
        let engine = match Engine::look(self.runner, self.host) {
            Ok(engine) => engine,
            Err(problem) if problem.trouble == Trouble::NotInstalled => return Ok(false),
            Err(problem) => return Err(problem),
        };
        let claim = self.marks(&engine)?.into_iter().find(|(name, _)| *name == place.name);
        if let Some((_, maker)) = claim {
            return self.remove(place, maker, &engine).map(|()| true);
        }
        for maker in [Maker::K3d, Maker::Kind].into_iter().filter(|maker| self.runner.has(maker.program())) {
            if self.presence(&place.name, maker, &engine)? != Presence::Absent {
                let program = maker.program();
                let why = format!("{program} has a cluster `{}`, which drey did not make", place.name);
                let next = format!("if you mean it, delete it with {program} itself");
                return Err(Problem::new(Trouble::ForeignCluster, "remove the cluster", why, next));
            }
        }
        Ok(false)
    }

    /// Deletes, and looks: k3d reports success for a deletion that found no engine.
    fn remove(&self, place: &Place, maker: Maker, engine: &Engine) -> Result<(), Problem> {
        (self.say)(&format!("deleting `{}` with {}", place.name, maker.program()));
        let (unmark, others) = match plan::removal(place, maker, engine).split_last() {
            Some((last, others)) => (last.clone(), others.to_vec()),
            None => return Ok(()),
        };
        for call in &others {
            self.gone(call)?;
        }
        if self.presence(&place.name, maker, engine)? != Presence::Absent {
            let why = format!("{} still lists it after its deletion", maker.program());
            let next = "look at its containers with `docker ps -a`, and run it again";
            return Err(Problem::new(Trouble::Other, "remove the cluster", why, next));
        }
        self.gone(&unmark)
    }

    /// Finds, and unless `is_dry` removes, what no run comes back for.
    pub fn prune(&self, which: &Which, is_dry: bool) -> Result<Pruned, Problem> {
        let is_all = matches!(which, Which::All);
        let mut pruned = Pruned::default();
        let recorded = Record::names(self.host).into_iter();
        pruned.removed.extend(recorded.filter(|name| self.is_stray(name, which)));
        if self.runner.has("docker") {
            let engine = Engine::look(self.runner, self.host)?;
            let unknown = |name: &String| Record::load(&Place::of(self.host, name)).is_none();
            let claimed = self.marks(&engine)?.into_iter().map(|(name, _)| name).filter(unknown);
            let list = if is_all { &mut pruned.removed } else { &mut pruned.of_others };
            list.extend(claimed);
        }
        pruned.removed.sort();
        pruned.removed.dedup();
        // One that cannot be removed, as its engine is down, does not keep the others.
        let names = if is_dry { Vec::new() } else { pruned.removed.clone() };
        match names.iter().filter_map(|name| self.down(name).err()).next_back() {
            Some(problem) => Err(problem.and("Those that could be removed are gone")),
            None => Ok(pruned),
        }
    }

    /// Nobody is at work on it, and nobody will miss it.
    fn is_stray(&self, name: &str, which: &Which) -> bool {
        let place = Place::of(self.host, name);
        let is_free = matches!(Lock::take(&place), Ok(Some(_)));
        is_free
            && match (Record::load(&place), which) {
                (None, _) | (_, Which::All) => true,
                (Some(record), _) if record.state != State::Ready => true,
                (Some(record), Which::Strays { older_than }) => {
                    record.is_temporary && Record::age(&place).is_some_and(|age| age >= *older_than)
                }
            }
    }
}
