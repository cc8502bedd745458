//! Colima's virtual machines: what there is, and what one is called with. A VM brings Kubernetes of its own, or docker
//! alone, in which k3d or kind then work. Pure: nothing is run here.

use std::time::Duration;

use serde::Deserialize;

use crate::call::Call;
use crate::file::Colima;

/// A line of `colima list --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Vm {
    #[serde(rename = "name")]
    pub profile: String,
    pub status: String,
    /// `docker`, `docker+k3s`, `containerd`; not said of a VM that is stopped.
    #[serde(default)]
    pub runtime: String,
}

impl Vm {
    pub fn is_running(&self) -> bool {
        self.status == "Running"
    }

    pub fn has_kubernetes(&self) -> bool {
        self.runtime.ends_with("+k3s")
    }

    pub fn has_docker(&self) -> bool {
        self.runtime.starts_with("docker")
    }
}

/// Booting a VM, its image pulled first where need be.
const BOOTING: Duration = Duration::from_secs(1200);
const STOPPING: Duration = Duration::from_secs(300);

/// `list`, not `status`: the latter has no JSON for what is stopped.
pub fn list() -> Call {
    Call::new("colima", ["list", "--json"])
}

/// One object per line, no array.
pub fn parse_list(text: &str) -> Vec<Vm> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Starts or makes it. The user's current contexts stay as they are.
pub fn start(colima: &Colima, with_kubernetes: bool) -> Call {
    let sizes = [
        ("--cpus", colima.cpus.to_string()),
        ("--memory", colima.memory_gib.to_string()),
        ("--disk", colima.disk_gib.to_string()),
    ];
    let mut call = Call::new("colima", ["start", &colima.profile, "--activate=false"]);
    for (flag, value) in sizes {
        call = call.arg(flag).arg(value);
    }
    if with_kubernetes {
        call = call.arg("--kubernetes");
    }
    call.within(BOOTING).shown()
}

/// Prints its sockets, as JSON, of a VM that runs.
pub fn status(profile: &str) -> Call {
    Call::new("colima", ["status", profile, "--json"])
}

/// The address of its docker in what [`status`] printed.
pub fn docker_socket(text: &str) -> Option<String> {
    let status: serde_json::Value = serde_json::from_str(text.trim()).ok()?;
    Some(status["docker_socket"].as_str().filter(|socket| !socket.is_empty())?.to_owned())
}

pub fn delete(profile: &str) -> Call {
    Call::new("colima", ["delete", profile, "-f"]).within(STOPPING)
}

/// The name of its contexts, of docker as of Kubernetes.
pub fn context(profile: &str) -> String {
    if profile == "default" { "colima".to_owned() } else { format!("colima-{profile}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_tells_the_socket() {
        // Keys as in Colima's source, cmd/status.go.
        let text = r#"{"display_name":"colima","runtime":"docker","docker_socket":"unix:///Users/u/.colima/default/docker.sock","kubernetes":false}"#;
        assert_eq!(docker_socket(text).as_deref(), Some("unix:///Users/u/.colima/default/docker.sock"));
        assert_eq!(docker_socket("").as_deref(), None);
        assert_eq!((context("default"), context("big")), ("colima".to_owned(), "colima-big".to_owned()));
    }
}
