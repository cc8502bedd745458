//! Which tool is to make the cluster, and why: a decision about what was seen of this machine. Pure; the looking is at the
//! end of the file.

use std::path::PathBuf;

use crate::call::Runner;
use crate::colima::{self, Vm};
use crate::engine::{Engine, ask};
use crate::explain;
use crate::file::ClusterFile;
use crate::host::Host;
use crate::kubectl;
use crate::maker::Maker;
use crate::problem::{Problem, Trouble};
use crate::provider::Provider;
use crate::record::{Origin, Record};

/// Where the cluster is or will be.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Nodes are containers.
    InDocker { maker: Maker, engine: Engine },
    /// Kubernetes of a Colima VM that runs.
    Vm { profile: String },
    /// Somebody's cluster.
    Given { context: String, kubeconfig: Option<PathBuf> },
}

impl Target {
    pub fn context(&self, name: &str) -> String {
        match self {
            Target::InDocker { maker, .. } => maker.context(name),
            Target::Vm { profile } => colima::context(profile),
            Target::Given { context, .. } => context.clone(),
        }
    }

    pub fn origin(&self) -> Origin {
        match self {
            Target::InDocker { maker: Maker::Kind, engine } => Origin::Kind { engine: engine.host.clone() },
            Target::InDocker { maker: Maker::K3d, engine } => Origin::K3d { engine: engine.host.clone() },
            Target::Vm { profile } => Origin::Colima { profile: profile.clone() },
            Target::Given { context, .. } => Origin::Kubeconfig { context: context.clone() },
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Use {
        target: Target,
        why: String,
    },
    /// A VM has to run first; then look and choose again.
    StartVm {
        with_kubernetes: bool,
        why: String,
    },
}

/// What was seen. What was not looked for is a problem, too: nobody asks for it.
pub struct Sight {
    pub engine: Result<Engine, Problem>,
    pub kind: Result<(), Problem>,
    pub k3d: Result<(), Problem>,
    pub vms: Result<Vec<Vm>, Problem>,
    /// Docker inside the VM of the file's profile, where that runs.
    pub vm_engine: Result<Engine, Problem>,
    /// The file's context, else the current one.
    pub context: Result<String, Problem>,
}

impl Sight {
    fn maker(&self, maker: Maker) -> &Result<(), Problem> {
        match maker {
            Maker::Kind => &self.kind,
            Maker::K3d => &self.k3d,
        }
    }
}

/// `allowed`: the context that may be used although it is not ours.
pub fn choose(
    file: &ClusterFile,
    record: Option<&Record>,
    sight: &Sight,
    allowed: Option<&str>,
) -> Result<Choice, Problem> {
    if let Some(record) = record {
        agrees(file, record)?;
    }
    let recorded = record.map(|record| Provider::named(record.provider()));
    match (file.provider, recorded) {
        (Provider::Auto, Some(provider)) => {
            let why = format!("{} made this cluster before", provider.name());
            of_provider(provider, why, file, record, sight, allowed)
        }
        (Provider::Auto, None) => auto(file, sight, allowed),
        // kind and k3d inside a VM's docker are recorded as what they are.
        (Provider::Colima, Some(Provider::Kind)) => {
            in_docker(Maker::Kind, &sight.vm_engine, sight, as_told(file))
        }
        (Provider::Colima, Some(Provider::K3d)) => {
            in_docker(Maker::K3d, &sight.vm_engine, sight, as_told(file))
        }
        (provider, _) => of_provider(provider, as_told(file), file, record, sight, allowed),
    }
}

fn as_told(file: &ClusterFile) -> String {
    format!("provider `{}` was asked for", file.provider.name())
}

fn of_provider(
    provider: Provider,
    why: String,
    file: &ClusterFile,
    record: Option<&Record>,
    sight: &Sight,
    allowed: Option<&str>,
) -> Result<Choice, Problem> {
    match provider {
        Provider::Kind => in_docker(Maker::Kind, &sight.engine, sight, why),
        Provider::K3d => in_docker(Maker::K3d, &sight.engine, sight, why),
        Provider::Colima => in_vm(file, record, sight, allowed, why),
        Provider::Kubeconfig => given(file, record, sight, allowed, why),
        Provider::Auto => auto(file, sight, allowed),
    }
}

/// A name belongs to one cluster.
fn agrees(file: &ClusterFile, record: &Record) -> Result<(), Problem> {
    let by = record.provider();
    let is_inside_vm = file.provider == Provider::Colima && record.maker().is_some();
    if file.provider == Provider::Auto || file.provider.name() == by || is_inside_vm {
        return Ok(());
    }
    let why = format!("there is a cluster `{}` already, made by {by}", file.name);
    let next = format!(
        "remove it (`drey cluster down --name {}`), choose another --name, or leave out --provider",
        file.name
    );
    Err(Problem::new(Trouble::NameTaken, "make the cluster", why, next))
}

fn in_docker(
    maker: Maker,
    engine: &Result<Engine, Problem>,
    sight: &Sight,
    why: String,
) -> Result<Choice, Problem> {
    sight.maker(maker).clone()?;
    let target = Target::InDocker { maker, engine: engine.clone()? };
    Ok(Choice::Use { target, why })
}

fn auto(file: &ClusterFile, sight: &Sight, allowed: Option<&str>) -> Result<Choice, Problem> {
    let makers = [Maker::K3d, Maker::Kind];
    let maker = makers.into_iter().find(|maker| sight.maker(*maker).is_ok());
    if let (Ok(engine), Some(maker)) = (&sight.engine, maker) {
        let place = engine.colima.as_ref().map_or("docker answers".to_owned(), |profile| {
            format!("docker of Colima's VM `{profile}` answers")
        });
        let why = format!("{} is installed and {place} ({})", maker.program(), engine.host);
        return in_docker(maker, &sight.engine, sight, why);
    }
    if sight.vms.is_ok() {
        let lack =
            if sight.engine.is_err() { "no docker answers" } else { "neither k3d nor kind is installed" };
        return in_vm(file, None, sight, allowed, format!("{lack}, and Colima is installed"));
    }
    if let Ok(context) = &sight.context {
        let why = format!("there is neither docker with k3d or kind nor Colima, but context `{context}`");
        return given(file, None, sight, allowed, why);
    }
    Err(nothing_there(sight))
}

fn nothing_there(sight: &Sight) -> Problem {
    let lack =
        |name: &str, problem: Option<&Problem>| problem.map(|problem| format!("{name}: {}", problem.why));
    let lacks = [
        lack("docker", sight.engine.as_ref().err()),
        lack("k3d", sight.k3d.as_ref().err()),
        lack("kind", sight.kind.as_ref().err()),
        lack("Colima", sight.vms.as_ref().err()),
        lack("kubeconfig", sight.context.as_ref().err()),
    ];
    let why = lacks.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let next = match (&sight.engine, &sight.k3d, &sight.kind) {
        (Ok(_), ..) => {
            "install k3d (https://k3d.io) or kind (`go install sigs.k8s.io/kind@v0.33.0`)".to_owned()
        }
        (Err(problem), Ok(()), _) | (Err(problem), _, Ok(())) => problem.next.clone(),
        _ => {
            "install docker with k3d or kind (on a Mac: `brew install colima docker kind`), or set KUBECONFIG"
                .to_owned()
        }
    };
    Problem::new(Trouble::NothingThere, "find a way to a cluster on this machine", why, next)
}

fn in_vm(
    file: &ClusterFile,
    record: Option<&Record>,
    sight: &Sight,
    allowed: Option<&str>,
    why: String,
) -> Result<Choice, Problem> {
    let wish = file.colima.kubernetes;
    let profile = &file.colima.profile;
    let is_owned = record.is_some_and(|record| record.owned_vm.as_ref() == Some(profile));
    let vms = sight.vms.as_ref().map_err(Problem::clone)?;
    let refuse = |trouble, reason: &str, next: String| {
        Err(Problem::new(trouble, format!("use Colima's VM `{profile}`"), reason, next))
    };
    match vms.iter().find(|vm| vm.profile == *profile) {
        None => {
            let why = format!("{why}; its VM `{profile}` is made");
            Ok(Choice::StartVm { with_kubernetes: wish != Some(false), why })
        }
        Some(vm) if !vm.is_running() && is_owned => Ok(Choice::StartVm {
            with_kubernetes: wish != Some(false),
            why: format!("{why}; its VM is stopped"),
        }),
        Some(vm) if !vm.is_running() => refuse(
            Trouble::ForeignCluster,
            "it is stopped, and was not made by drey",
            format!(
                "start it (`colima start {profile}`), or name a new profile under `colima:` in the cluster file"
            ),
        ),
        Some(vm) if vm.has_kubernetes() && wish != Some(false) => {
            let context = colima::context(profile);
            if !is_owned {
                permitted(&context, allowed)?;
            }
            Ok(Choice::Use { target: Target::Vm { profile: profile.clone() }, why })
        }
        Some(_) if wish == Some(true) && is_owned => {
            Ok(Choice::StartVm { with_kubernetes: true, why: format!("{why}; its VM lacks Kubernetes") })
        }
        Some(_) if wish == Some(true) => refuse(
            Trouble::ForeignCluster,
            "it runs without Kubernetes, and was not made by drey",
            format!(
                "run `colima kubernetes start --profile {profile}`, or write `kubernetes: false` to have k3d or kind inside it"
            ),
        ),
        Some(vm) if !vm.has_docker() => refuse(
            Trouble::ForeignCluster,
            &format!("its runtime is {}, and k3d and kind need docker", vm.runtime),
            "name another profile under `colima:` in the cluster file".to_owned(),
        ),
        Some(_) => {
            let maker = if sight.k3d.is_ok() { Maker::K3d } else { Maker::Kind };
            let why = format!("{why}; the VM has docker, and {} works inside it", maker.program());
            in_docker(maker, &sight.vm_engine, sight, why)
        }
    }
}

fn given(
    file: &ClusterFile,
    record: Option<&Record>,
    sight: &Sight,
    allowed: Option<&str>,
    why: String,
) -> Result<Choice, Problem> {
    let context = sight.context.clone()?;
    if let Some(Origin::Kubeconfig { context: used }) = record.map(|record| &record.origin)
        && *used != context
    {
        let why = format!("`{}` is what drey calls the cluster of context `{used}`", file.name);
        let next =
            format!("choose another --name, or give `{used}` back: `drey cluster down --name {}`", file.name);
        return Err(Problem::new(Trouble::NameTaken, format!("use context `{context}`"), why, next));
    }
    permitted(&context, allowed)?;
    Ok(Choice::Use { target: Target::Given { context, kubeconfig: file.kubeconfig.clone() }, why })
}

/// Nothing is changed on a cluster that drey did not make, unless its name was said.
fn permitted(context: &str, allowed: Option<&str>) -> Result<(), Problem> {
    if allowed == Some(context) {
        return Ok(());
    }
    let why = match allowed {
        None => format!("the cluster of context `{context}` was not made by drey"),
        Some(other) => format!("--yes-use-context names `{other}`, but the context is `{context}`"),
    };
    let next = format!(
        "if CRDs and the namespace {} may be made there, say `--yes-use-context {context}`",
        kubectl::NAMESPACE
    );
    Err(Problem::new(Trouble::ForeignContext, format!("use context `{context}`"), why, next))
}

/// Looks at what the provider needs, and for `auto` at everything.
pub fn look(runner: &dyn Runner, host: &Host, file: &ClusterFile, record: Option<&Record>) -> Sight {
    let wants = |provider: Provider| match (file.provider, record) {
        (Provider::Auto, None) => true,
        (Provider::Auto, Some(record)) => record.provider() == provider.name(),
        // Inside a VM with docker alone it is k3d or kind.
        (Provider::Colima, _) => provider != Provider::Kubeconfig,
        (asked, _) => asked == provider,
    };
    let vms = if wants(Provider::Colima) { look_for_vms(runner) } else { Err(not_asked("colima")) };
    let recorded = record.and_then(|record| record.maker()).map(|(_, engine)| engine.to_owned());
    let in_docker = wants(Provider::Kind) || wants(Provider::K3d);
    Sight {
        engine: match recorded {
            _ if !in_docker || file.provider == Provider::Colima => Err(not_asked("docker")),
            // The engine of a cluster stays its engine, whatever context is current today.
            Some(engine) => Engine::at(runner, &engine, None),
            None => Engine::look(runner, host),
        },
        kind: if wants(Provider::Kind) { check_version(runner, Maker::Kind) } else { Err(not_asked("kind")) },
        k3d: if wants(Provider::K3d) { check_version(runner, Maker::K3d) } else { Err(not_asked("k3d")) },
        vm_engine: match &vms {
            Ok(vms) => vm_engine(runner, vms, &file.colima.profile),
            Err(problem) => Err(problem.clone()),
        },
        vms,
        context: if wants(Provider::Kubeconfig) {
            look_for_context(runner, file)
        } else {
            Err(not_asked("kubectl"))
        },
    }
}

fn not_asked(program: &str) -> Problem {
    Problem::new(
        Trouble::NothingThere,
        format!("use {program}"),
        "it was not looked for",
        "choose it with --provider",
    )
}

fn look_for_vms(runner: &dyn Runner) -> Result<Vec<Vm>, Problem> {
    let outcome = ask(runner, &colima::list(), "look at Colima's VMs")?;
    Ok(colima::parse_list(&outcome.stdout))
}

fn vm_engine(runner: &dyn Runner, vms: &[Vm], profile: &str) -> Result<Engine, Problem> {
    let doing = format!("find docker of Colima's VM `{profile}`");
    if !vms.iter().any(|vm| vm.profile == profile && vm.is_running() && vm.has_docker()) {
        let next = format!("run `colima start {profile}`");
        return Err(Problem::new(Trouble::EngineDown, doing, "no such VM runs with docker", next));
    }
    engine_of_vm(runner, profile)
}

/// Docker of a VM that runs.
pub(crate) fn engine_of_vm(runner: &dyn Runner, profile: &str) -> Result<Engine, Problem> {
    let doing = format!("find docker of Colima's VM `{profile}`");
    let outcome = ask(runner, &colima::status(profile), &doing)?;
    let Some(socket) = colima::docker_socket(&outcome.stdout) else {
        let next = format!("see what `colima status {profile} --json` prints");
        return Err(Problem::new(Trouble::Other, doing, "Colima names no docker socket", next));
    };
    Engine::at(runner, &socket, Some(&colima::context(profile)))
}

/// Whether the tool is there and young enough.
fn check_version(runner: &dyn Runner, maker: Maker) -> Result<(), Problem> {
    let doing = format!("use {}", maker.program());
    let outcome = ask(runner, &maker.version(), &doing)?;
    let (major, minor) = maker.oldest();
    match parse_version(&outcome.stdout) {
        Some(version) if version < maker.oldest() => {
            let why =
                format!("{} is {}.{}, older than {major}.{minor}", maker.program(), version.0, version.1);
            Err(Problem::new(Trouble::TooOld, doing, why, explain::install(maker.program())))
        }
        // A build without a version is somebody's own: let it try.
        Some(_) | None => Ok(()),
    }
}

/// `kind v0.33.0 go1.26.8 linux/amd64`, `k3d version v5.9.0`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix('v').filter(|w| w.contains('.')))?;
    let mut numbers = word.split(['.', '-']).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn look_for_context(runner: &dyn Runner, file: &ClusterFile) -> Result<String, Problem> {
    if let Some(context) = &file.context {
        return Ok(context.clone());
    }
    let call = kubectl::current_context(file.kubeconfig.as_deref());
    let outcome = ask(runner, &call, "find the current context of the kubeconfig")?;
    Ok(outcome.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse_version("kind v0.33.0 go1.26.8 linux/amd64\n"), Some((0, 33)));
        assert_eq!(parse_version("k3d version v5.9.0\nk3s version v1.32.5-k3s1 (default)\n"), Some((5, 9)));
        assert_eq!(parse_version("k3d version dev\n"), None);
    }
}
