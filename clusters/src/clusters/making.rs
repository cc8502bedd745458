//! `up`: chooses, checks, makes, furnishes.

use std::net::{Ipv4Addr, TcpListener};

use super::{Clusters, Permission, Ready};
use crate::call::Call;
use crate::choose::{self, Choice, Target};
use crate::colima;
use crate::engine::{Engine, ask};
use crate::file::ClusterFile;
use crate::host::Place;
use crate::kubectl::{self, Access, HostAddress};
use crate::maker::{Maker, Presence};
use crate::plan::{self, Facts, Plan};
use crate::problem::{Problem, Trouble};
use crate::record::{self, Origin, Record, State};

/// A VM that was started is looked at again; more often than this something else is wrong.
const VM_STARTS_MAX: usize = 2;

impl Clusters<'_> {
    /// Makes the cluster what the file says. What is there already stays; a second time changes nothing.
    pub fn up(&self, file: &ClusterFile, permission: &Permission) -> Result<Ready, Problem> {
        let place = Place::of(self.host, &file.name);
        let _lock = self.lock(&place)?;
        let before = Record::load(&place);
        let result = self.up_locked(file, permission, &place, before.as_ref());
        if result.is_err() && Record::load(&place).is_none() {
            // Refused before anything was begun: no empty folder stays behind.
            drop(Record::forget(&place));
        }
        result
    }

    fn up_locked(
        &self,
        file: &ClusterFile,
        permission: &Permission,
        place: &Place,
        before: Option<&Record>,
    ) -> Result<Ready, Problem> {
        let target = self.target(file, place, before, permission)?;
        // A VM may have been started for it meanwhile.
        let owned_vm = Record::load(place).and_then(|record| record.owned_vm);
        let mut record = Record {
            name: file.name.clone(),
            origin: target.origin(),
            context: target.context(&file.name),
            state: State::Creating,
            owned_vm,
            is_temporary: permission.is_temporary || before.is_some_and(|record| record.is_temporary),
            is_merged: before.is_some_and(|record| record.is_merged),
        };
        match &target {
            Target::InDocker { maker, engine } => {
                let facts = self.facts(file, *maker, engine, before)?;
                plan::check(file, self.host, *maker, engine, &facts)?;
                let plan = plan::create(file, place, *maker, engine, &facts);
                if facts.presence == Presence::Absent || facts.is_half_made {
                    self.keep(&record, place)?;
                }
                self.carry_out(&plan, file.wait).inspect_err(|_| self.forget_if_gone(&record, place))?;
                record.state = State::Made;
                self.keep(&record, place)?;
                self.carry_out(&plan::load(&file.name, *maker, engine, &file.images), file.wait)?;
            }
            Target::Vm { .. } | Target::Given { .. } => {
                let plan = plan::adopt(file, place, &target)?;
                record.state = State::Made;
                self.keep(&record, place)?;
                self.carry_out(&plan, file.wait)?;
            }
        }
        self.furnish(file, place, &target)?;
        record.state = State::Ready;
        // Any other context is in the user's kubeconfig already, and stays there.
        if permission.merge && record.maker().is_some() {
            self.merge(place, &record.context)?;
            record.is_merged = true;
        }
        self.keep(&record, place)?;
        let provider = record.provider();
        Ok(Ready { name: record.name, provider, context: record.context, kubeconfig: place.kubeconfig() })
    }

    /// Chooses, and starts a VM where one has to run first.
    fn target(
        &self,
        file: &ClusterFile,
        place: &Place,
        before: Option<&Record>,
        permission: &Permission,
    ) -> Result<Target, Problem> {
        let mut record = before.cloned();
        for _ in 0..=VM_STARTS_MAX {
            let sight = choose::look(self.runner, self.host, file, record.as_ref());
            match choose::choose(file, record.as_ref(), &sight, permission.context.as_deref())? {
                Choice::Use { target, why } => {
                    (self.say)(&format!("{}: {why}", target.origin().provider()));
                    return Ok(target);
                }
                Choice::StartVm { with_kubernetes, why } => {
                    (self.say)(&format!("colima: {why}"));
                    let profile = file.colima.profile.clone();
                    let owned = Record {
                        name: file.name.clone(),
                        context: colima::context(&profile),
                        origin: Origin::Colima { profile: profile.clone() },
                        state: State::Creating,
                        owned_vm: Some(profile),
                        is_temporary: permission.is_temporary,
                        is_merged: false,
                    };
                    self.keep(&owned, place)?;
                    record = Some(owned);
                    ask(self.runner, &colima::start(&file.colima, with_kubernetes), "start Colima's VM")?;
                }
            }
        }
        let why = "it was started and is still not as wanted";
        let next = format!("see what `colima list` says of profile `{}`", file.colima.profile);
        Err(Problem::new(Trouble::NeverReady, "start Colima's VM", why, next))
    }

    fn facts(
        &self,
        file: &ClusterFile,
        maker: Maker,
        engine: &Engine,
        before: Option<&Record>,
    ) -> Result<Facts, Problem> {
        let presence = self.presence(&file.name, maker, engine)?;
        let marks = self.marks(engine)?;
        let is_marked = marks.contains(&(file.name.clone(), maker));
        let is_made = presence != Presence::Absent;
        let is_creating = before.is_some_and(|record| record.state == State::Creating);
        let ports = if engine.is_local() && !is_made { file.wanted_ports() } else { Vec::new() };
        let hosts = file.mounts.iter().map(|mount| mount.host.clone());
        Ok(Facts {
            presence,
            is_ours: is_marked
                || before.is_some_and(|record| record.maker().is_some_and(|(made, _)| made == maker)),
            // What came as far as a kubeconfig is gone on with.
            is_half_made: is_made && is_marked && is_creating,
            missing_images: engine.missing_images(self.runner, &file.images)?,
            taken_ports: ports.into_iter().map(|(port, _)| port).filter(|port| is_taken(*port)).collect(),
            missing_mounts: hosts.filter(|path| !path.exists()).collect(),
            free_port: free_port()?,
        })
    }

    fn furnish(&self, file: &ClusterFile, place: &Place, target: &Target) -> Result<(), Problem> {
        let kubeconfig = place.kubeconfig();
        let context = target.context(&file.name);
        let access = Access { kubeconfig: &kubeconfig, context: &context };
        let mut ready = Plan::default();
        ready.until("wait for the API server", access.ready());
        self.carry_out(&ready, file.wait)?;
        if file.has_crds {
            let outcome = ask(self.runner, &access.crd(), "look for CRDs")?;
            kubectl::check_crd(&outcome.stdout)?;
        }
        let address = if file.has_host { Some(self.host_address(target)?) } else { None };
        self.carry_out(&plan::furnish(file, place, target, address.as_ref()), file.wait)
    }

    /// k3d knows a name, and so do Colima's and Docker Desktop's VMs; kind on Linux has the gateway of its network.
    fn host_address(&self, target: &Target) -> Result<HostAddress, Problem> {
        let doing = "find the address of this machine for pods";
        match target {
            Target::InDocker { maker: Maker::K3d, .. } => Ok(HostAddress::Name("host.k3d.internal")),
            Target::Vm { .. } => Ok(HostAddress::Name("host.lima.internal")),
            Target::InDocker { engine, .. } if engine.colima.is_some() || cfg!(target_os = "macos") => {
                Ok(HostAddress::Name("host.docker.internal"))
            }
            Target::InDocker { engine, .. } => {
                let outcome = ask(self.runner, &engine.docker(["network", "inspect", "kind"]), doing)?;
                kubectl::gateway(&outcome.stdout).map(HostAddress::Gateway).ok_or_else(|| {
                    let next =
                        "see `docker network inspect kind`, or take `hostAccess` out of the cluster file";
                    Problem::new(Trouble::Other, doing, "docker's network `kind` has no IPv4 gateway", next)
                })
            }
            Target::Given { context, .. } => {
                let why = format!("nobody but you knows how pods of `{context}` reach this machine");
                let next = "take `hostAccess` out of the cluster file";
                Err(Problem::new(Trouble::Other, doing, why, next))
            }
        }
    }

    /// After a creation was taken back: without a claim on the engine there is nothing left to remember.
    fn forget_if_gone(&self, record: &Record, place: &Place) {
        let Some((maker, host)) = record.maker().filter(|_| record.owned_vm.is_none()) else { return };
        let engine = Engine { host: host.to_owned(), colima: None, version: String::new() };
        let marks = ask(self.runner, &record::marks(&engine).undo(), "look for clusters of ours");
        let claim = (record.name.clone(), maker);
        if marks.is_ok_and(|outcome| !record::parse_marks(&outcome.stdout).contains(&claim)) {
            drop(Record::forget(place));
        }
    }

    /// Into the user's kubeconfig, whose current context stays.
    fn merge(&self, place: &Place, context: &str) -> Result<(), Problem> {
        let user = self.host.kubeconfig();
        let doing = format!("merge the context into {}", user.display());
        let current = self.runner.run(&kubectl::current_context(Some(&user)));
        let current = current.ok().filter(|outcome| outcome.is_success()).map(|o| o.stdout.trim().to_owned());
        let merged = ask(self.runner, &kubectl::merged(&place.kubeconfig(), &user), &doing)?;
        self.write(&user, &merged.stdout)?;
        let use_context = current.as_deref().unwrap_or(context);
        let call = Call::new("kubectl", ["config", "use-context", use_context, "--kubeconfig"]).path(&user);
        ask(self.runner, &call, &doing).map(drop)
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn free_port() -> Result<u16, Problem> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| {
        let next = "see why this machine has none";
        Problem::new(Trouble::PortTaken, "find a free port", error.to_string(), next)
    })
}
