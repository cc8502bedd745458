//! The container engine: which one is meant, does it answer, is it Colima's, what images has it. Asked once and then said
//! to every tool by DOCKER_HOST, for k3d reads no docker contexts and kind does.

use std::path::Path;

use serde_json::Value;

use crate::call::{Call, Outcome, Runner};
use crate::explain;
use crate::host::Host;
use crate::problem::{Problem, Trouble};

/// An engine that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// As in DOCKER_HOST: `unix:///var/run/docker.sock`.
    pub host: String,
    /// Colima's profile, when it runs in Colima's VM.
    pub colima: Option<String>,
    pub version: String,
}

/// The socket that k3d mounts into its tools container whatever DOCKER_HOST says.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

impl Engine {
    /// The one that the docker command would use.
    pub fn look(runner: &dyn Runner, host: &Host) -> Result<Engine, Problem> {
        if let Some(given) = host.var("DOCKER_HOST") {
            return Engine::at(runner, given, None);
        }
        let call = Call::new("docker", ["context", "inspect"]);
        let outcome = ask(runner, &call, "find the container engine")?;
        let (context, endpoint) = current_context(&outcome.stdout)
            .unwrap_or_else(|| ("default".to_owned(), format!("unix://{DEFAULT_SOCKET}")));
        Engine::at(runner, &endpoint, Some(&context))
    }

    /// The one at this address, if it answers.
    pub fn at(runner: &dyn Runner, endpoint: &str, context: Option<&str>) -> Result<Engine, Problem> {
        // Not `docker info`: without a daemon it still prints a whole object, full of zeroes.
        let call =
            Call::new("docker", ["version", "--format", "{{.Server.Version}}"]).env("DOCKER_HOST", endpoint);
        let doing = format!("reach the container engine at {endpoint}");
        match ask(runner, &call, &doing) {
            Ok(outcome) => Ok(Engine {
                host: endpoint.to_owned(),
                colima: colima_profile(endpoint, context),
                version: outcome.stdout.trim().to_owned(),
            }),
            Err(problem) => Err(made_a_directory(endpoint).unwrap_or(problem)),
        }
    }

    /// For calls of docker itself and of tools that call it.
    pub fn on(&self, call: Call) -> Call {
        call.env("DOCKER_HOST", &self.host)
    }

    /// `DOCKER_SOCK` for k3d: its tools container mounts the default socket unless told, and where there is none docker
    /// makes an empty directory of that name on the host. On Colima the default is right: the path is inside the VM.
    pub fn socket_for_k3d(&self) -> Option<&str> {
        let path = self.host.strip_prefix("unix://")?;
        (self.colima.is_none() && path != DEFAULT_SOCKET).then_some(path)
    }

    /// Whether ports on 127.0.0.1 of the engine are those of this machine.
    pub fn is_local(&self) -> bool {
        self.host.starts_with("unix://")
    }

    pub fn docker<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Call {
        self.on(Call::new("docker", args))
    }

    /// Those that the engine does not have.
    pub fn missing_images(&self, runner: &dyn Runner, images: &[String]) -> Result<Vec<String>, Problem> {
        let mut missing = Vec::new();
        for image in images {
            let call = self.docker(["image", "inspect", image]);
            let doing = format!("look for image {image}");
            let outcome = runner.run(&call).map_err(|error| explain::cut(&doing, &error))?;
            if !outcome.is_success() {
                let problem = explain::exit(&doing, &call, &outcome);
                if problem.trouble != Trouble::ImageMissing {
                    return Err(problem);
                }
                missing.push(image.clone());
            }
        }
        Ok(missing)
    }
}

/// Runs a call whose failure is a problem.
pub(crate) fn ask(runner: &dyn Runner, call: &Call, doing: &str) -> Result<Outcome, Problem> {
    let outcome = runner.run(call).map_err(|error| explain::cut(doing, &error))?;
    if outcome.is_success() { Ok(outcome) } else { Err(explain::exit(doing, call, &outcome)) }
}

/// Name and address in what `docker context inspect` prints.
fn current_context(text: &str) -> Option<(String, String)> {
    let contexts: Value = serde_json::from_str(text).ok()?;
    let context = contexts.get(0)?;
    let host = context["Endpoints"]["docker"]["Host"].as_str().filter(|host| !host.is_empty())?;
    Some((context["Name"].as_str().unwrap_or_default().to_owned(), host.to_owned()))
}

/// `~/.colima/<profile>/docker.sock`, or a context named `colima` or `colima-<profile>`.
fn colima_profile(endpoint: &str, context: Option<&str>) -> Option<String> {
    let of_context = match context {
        Some("colima") => Some("default"),
        Some(name) => name.strip_prefix("colima-"),
        None => None,
    };
    let parts: Vec<&str> = endpoint.split('/').collect();
    let folder = parts.iter().position(|part| matches!(*part, ".colima" | "colima"));
    let of_path = folder.and_then(|at| match parts.get(at + 1..)? {
        [profile, "docker.sock"] => Some(*profile),
        ["docker.sock"] => Some("default"),
        _ => None,
    });
    of_context.or(of_path).map(str::to_owned)
}

/// A socket's path that is a directory: what a tool leaves that mounted it before there was a socket.
fn made_a_directory(endpoint: &str) -> Option<Problem> {
    let path = endpoint.strip_prefix("unix://")?;
    Path::new(path).is_dir().then(|| {
        let why = format!("{path} is a directory where docker's socket belongs: some container mounted it before the engine ran");
        let next = format!("remove it (`sudo rmdir {path}`), start docker again, and run it again");
        Problem::new(Trouble::EngineDown, format!("reach the container engine at {endpoint}"), why, next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colima_is_known_by_context_and_by_path() {
        let check = |endpoint: &str, context: Option<&str>, profile: Option<&str>| {
            assert_eq!(colima_profile(endpoint, context).as_deref(), profile, "{endpoint} {context:?}");
        };
        check("unix:///var/run/docker.sock", Some("default"), None);
        check("unix:///Users/u/.colima/default/docker.sock", Some("colima"), Some("default"));
        check("unix:///Users/u/.colima/drey/docker.sock", None, Some("drey"));
        check("unix:///home/u/.config/colima/docker.sock", None, Some("default"));
        check("unix:///x/docker.sock", Some("colima-big"), Some("big"));
        check("tcp://10.0.0.1:2375", None, None);
    }

    #[test]
    fn k3d_hears_of_a_socket_elsewhere_unless_it_is_in_a_vm() {
        let engine = |host: &str, colima: Option<&str>| Engine {
            host: host.to_owned(),
            colima: colima.map(str::to_owned),
            version: "20.10".to_owned(),
        };
        assert_eq!(engine("unix:///var/run/docker.sock", None).socket_for_k3d(), None);
        assert_eq!(
            engine("unix:///run/user/1/docker.sock", None).socket_for_k3d(),
            Some("/run/user/1/docker.sock")
        );
        assert_eq!(engine("unix:///u/.colima/default/docker.sock", Some("default")).socket_for_k3d(), None);
        assert_eq!(engine("tcp://10.0.0.1:2375", None).socket_for_k3d(), None);
    }
}
