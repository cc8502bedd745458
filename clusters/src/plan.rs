//! What `up` and `down` do, as values: a check of what was found, then two plans, one that ends with a kubeconfig and one
//! for what goes into the cluster. Pure: `clusters` looks and carries out.

use std::path::PathBuf;

use crate::call::Call;
use crate::choose::Target;
use crate::colima;
use crate::engine::Engine;
use crate::file::ClusterFile;
use crate::host::{Host, Place};
use crate::kubectl::{self, Access, HostAddress};
use crate::maker::{self, Maker, Presence};
use crate::problem::{Problem, Trouble};
use crate::record;

/// A step of a plan. Steps are carried out in order; the first that fails ends the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Run {
        doing: String,
        call: Call,
    },
    /// Writes a file for our eyes only.
    Write {
        path: PathBuf,
        text: String,
    },
    /// Writes what a call prints there.
    Keep {
        doing: String,
        call: Call,
        path: PathBuf,
    },
    /// Asks again until the answer is yes, or `wait` of the file is over.
    Until {
        doing: String,
        call: Call,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// What takes back the steps, should one fail. Each finds what it removes, or finds it gone.
    pub undo: Vec<Call>,
}

/// What was found of a cluster in an engine and of what it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub presence: Presence,
    /// Whether the name is claimed by us, on the engine or by a record.
    pub is_ours: bool,
    /// Given up halfway before.
    pub is_half_made: bool,
    pub missing_images: Vec<String>,
    /// Ports on 127.0.0.1 that somebody listens on, of those wanted.
    pub taken_ports: Vec<u16>,
    /// Folders to mount that do not exist.
    pub missing_mounts: Vec<PathBuf>,
    /// For the API server, when the file names none.
    pub free_port: u16,
}

impl Facts {
    fn is_made(&self) -> bool {
        self.presence != Presence::Absent && !self.is_half_made
    }
}

/// Whatever a tool would find out late, wrongly, or not at all.
pub fn check(
    file: &ClusterFile,
    host: &Host,
    maker: Maker,
    engine: &Engine,
    facts: &Facts,
) -> Result<(), Problem> {
    let doing = format!("make cluster `{}`", file.name);
    let refuse = |trouble, why: String, next: String| Err(Problem::new(trouble, &doing, why, next));
    if facts.presence != Presence::Absent && !facts.is_ours {
        let why = format!("{} has a cluster of that name, which drey did not make", maker.program());
        return refuse(
            Trouble::ForeignCluster,
            why,
            format!(
                "choose another --name, or use it as it is: --provider kubeconfig --yes-use-context {}",
                maker.context(&file.name)
            ),
        );
    }
    if let Some(image) = facts.missing_images.first() {
        let all = facts.missing_images.join(", ");
        let why = format!("not on the engine at {}: {all}", engine.host);
        return refuse(
            Trouble::ImageMissing,
            why,
            format!("build it or `docker pull {image}`, and run it again"),
        );
    }
    if facts.is_made() {
        return Ok(());
    }
    if let Some(port) = facts.taken_ports.first() {
        let why = format!("something listens on 127.0.0.1:{port} already");
        return refuse(
            Trouble::PortTaken,
            why,
            "end it (`ss -ltnp` shows what it is), or choose another port in the cluster file".to_owned(),
        );
    }
    if let Some(path) = facts.missing_mounts.first() {
        let why = format!(
            "{} does not exist, and docker would make an empty folder of it, owned by root",
            path.display()
        );
        return refuse(
            Trouble::MountMissing,
            why,
            "make the folder, or correct `mounts` in the cluster file".to_owned(),
        );
    }
    let outside = file.mounts.iter().find(|mount| !mount.host.starts_with(host.home()));
    if let (Some(mount), Some(profile)) = (outside, &engine.colima) {
        let why = format!(
            "{} is outside of the home, and Colima's VM `{profile}` sees the home alone: the nodes would see an empty folder",
            mount.host.display()
        );
        return refuse(
            Trouble::MountNotShared,
            why,
            "use a folder below the home, or add it to `mounts` of Colima (`colima start --edit`)".to_owned(),
        );
    }
    Ok(())
}

/// From what there is to a kubeconfig, in an engine.
pub fn create(file: &ClusterFile, place: &Place, maker: Maker, engine: &Engine, facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let name = &file.name;
    if !facts.is_made() {
        // The claim comes first: whatever happens after it, `prune` finds the cluster.
        plan.run("claim the name", record::mark(name, maker, engine));
        if facts.is_half_made {
            plan.run("remove what an earlier run left", maker.delete(place, engine));
        }
        if maker == Maker::Kind {
            plan.steps.push(Step::Write { path: place.kind_config(), text: maker::kind_config(file) });
        }
        let port = file.api_port.unwrap_or(facts.free_port);
        plan.run(
            &format!("create the cluster with {}", maker.program()),
            maker.create(file, place, engine, port),
        );
        for call in maker.registry(file, engine) {
            plan.run("connect the registry", call);
        }
        plan.undo = removal(place, maker, engine);
    } else if facts.presence == Presence::Stopped {
        plan.steps.extend(
            maker.start(file, engine).map(|call| Step::Run { doing: "start the nodes".to_owned(), call }),
        );
    }
    let keep = maker.kubeconfig(name, engine);
    plan.keep("read the kubeconfig", keep, place.kubeconfig());
    plan
}

/// Images for the nodes, which keep those they have.
pub fn load(name: &str, maker: Maker, engine: &Engine, images: &[String]) -> Plan {
    let mut plan = Plan::default();
    for image in images {
        plan.run(&format!("load {image}"), maker.load(image, name, engine));
    }
    plan
}

/// Everything that makes a cluster in an engine gone; the claim last.
pub fn removal(place: &Place, maker: Maker, engine: &Engine) -> Vec<Call> {
    let mut calls = vec![maker.delete(place, engine)];
    calls.extend(maker.leftovers(&place.name, engine));
    calls.push(record::unmark(&place.name, engine));
    calls.into_iter().map(Call::undo).collect()
}

/// To a kubeconfig of a cluster that is there.
pub fn adopt(file: &ClusterFile, place: &Place, target: &Target) -> Result<Plan, Problem> {
    let mut plan = Plan::default();
    let (context, kubeconfig) = match target {
        Target::Vm { profile } => (colima::context(profile), None),
        Target::Given { context, kubeconfig } => (context.clone(), kubeconfig.as_deref()),
        Target::InDocker { maker, .. } => (maker.context(&file.name), None),
    };
    if let (Target::Given { .. }, false) = (target, file.images.is_empty()) {
        return Err(cannot_load(&context));
    }
    if let Some(key) = only_at_creation(file) {
        let why = format!(
            "`{key}` is given to nodes when they are made, and those of `{context}` are there already"
        );
        let next = format!("take `{key}` out of the cluster file, or use provider k3d or kind");
        return Err(Problem::new(Trouble::Other, "use the cluster as it is", why, next));
    }
    plan.keep("read the kubeconfig", kubectl::extract(kubeconfig, &context), place.kubeconfig());
    Ok(plan)
}

fn only_at_creation(file: &ClusterFile) -> Option<&'static str> {
    let keys = [
        ("ports", !file.ports.is_empty()),
        ("mounts", !file.mounts.is_empty()),
        ("registry", file.registry.is_some()),
        ("ingress", file.ingress.is_some()),
        ("apiPort", file.api_port.is_some()),
        ("workers", file.workers > 0),
        ("nodeImage", file.node_image.is_some()),
    ];
    keys.into_iter().find(|(_, is_given)| *is_given).map(|(key, _)| key)
}

/// There is no general way into the nodes of a cluster that one only has a kubeconfig of.
pub fn cannot_load(context: &str) -> Problem {
    let why = format!("drey does not know how the nodes of `{context}` get images");
    let next = "push them to a registry the cluster pulls from, name them by it in your manifests, and take them out of `images`";
    Problem::new(Trouble::CannotLoadImages, "load images", why, next)
}

/// What goes into a cluster that answers.
pub fn furnish(file: &ClusterFile, place: &Place, target: &Target, address: Option<&HostAddress>) -> Plan {
    let kubeconfig = place.kubeconfig();
    let context = target.context(&file.name);
    let access = Access { kubeconfig: &kubeconfig, context: &context };
    let is_k3s = matches!(target, Target::InDocker { maker: Maker::K3d, .. } | Target::Vm { .. });
    let mut plan = Plan::default();
    if file.has_crds {
        plan.run("install the CRDs", access.apply(&kubectl::crds()));
        plan.run("wait for the CRDs", access.crds_established(file.wait));
    }
    if file.ingress.is_some() || file.s3.is_some() || address.is_some() {
        plan.run("make the namespace", access.apply(&kubectl::namespace(file)));
    }
    if let Some(address) = address {
        plan.run(
            "give this machine a name in the cluster",
            access.apply(&kubectl::host_service(file, address)),
        );
    }
    if let Some(ingress) = &file.ingress {
        plan.run("install the ingress controller", access.apply(&kubectl::ingress(file, ingress, is_k3s)));
    }
    if let Some(s3) = &file.s3 {
        plan.run("install the S3 store", access.apply(&kubectl::s3(file, s3)));
    }
    // All are applied before any is waited for.
    for (is_wanted, deployment) in [(file.ingress.is_some(), "traefik"), (file.s3.is_some(), "s3")] {
        if is_wanted {
            plan.run(&format!("wait for {deployment}"), access.rollout(deployment, file.wait));
        }
    }
    plan
}

impl Plan {
    pub fn run(&mut self, doing: &str, call: Call) {
        self.steps.push(Step::Run { doing: doing.to_owned(), call });
    }

    pub fn keep(&mut self, doing: &str, call: Call, path: PathBuf) {
        self.steps.push(Step::Keep { doing: doing.to_owned(), call, path });
    }

    pub fn until(&mut self, doing: &str, call: Call) {
        self.steps.push(Step::Until { doing: doing.to_owned(), call });
    }
}
