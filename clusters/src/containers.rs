//! k3s in a container for one test of yours, by `testcontainers` (feature of that name). Needs an engine that runs
//! privileged containers; where there is none, [`or_skip`] says so, and fails when it must not be skipped.
//!
//! ```no_run
//! # async fn test() {
//! use drey_clusters::{Host, containers};
//!
//! let Some(k3s) = containers::or_skip(containers::start(&Host::of_process()).await) else { return };
//! println!("KUBECONFIG={}", k3s.kubeconfig().display());
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use testcontainers_modules::k3s::{K3s as Image, KUBE_SECURE_PORT};
use testcontainers_modules::testcontainers::core::error::TestcontainersError;
use testcontainers_modules::testcontainers::runners::AsyncRunner;
use testcontainers_modules::testcontainers::{ContainerAsync, ImageExt};

use crate::engine::Engine;
use crate::explain;
use crate::host::{Host, write_private};
use crate::{Call, Outcome, Problem, Processes, Trouble};

/// A cluster that goes when this is dropped. After kill -9 it stays: testcontainers reaps nothing.
pub struct K3s {
    kubeconfig: PathBuf,
    _container: ContainerAsync<Image>,
    _folder: TempDir,
}

/// The module's own image is of Kubernetes 1.28.
const TAG: &str = "v1.33.5-k3s1";
const SOCKET: &str = "unix:///var/run/docker.sock";

/// Starts one, and answers when its node is registered.
pub async fn start(host: &Host) -> Result<K3s, Problem> {
    let doing = "start k3s in a container";
    let engine = Engine::look(&Processes::new(Arc::default()), host)?;
    if host.var("DOCKER_HOST").is_none() && engine.host != SOCKET {
        // testcontainers reads no docker contexts, and a program cannot set its own environment safely.
        let why = format!("docker's context leads to {}, which testcontainers does not see", engine.host);
        let next = format!("set DOCKER_HOST={}", engine.host);
        return Err(Problem::new(Trouble::EngineDown, doing, why, next));
    }
    // Below the home, which is what the VM of a Mac sees.
    let folder = tempfile::Builder::new().prefix(".drey-k3s-").tempdir_in(host.home());
    let folder = folder.map_err(|error| told(doing, &error.to_string()))?;
    let image = Image::default().with_conf_mount(folder.path());
    let image = image.with_tag(TAG).with_privileged(true).with_userns_mode("host");
    let container = image.start().await.map_err(|error| explained(doing, &error))?;
    let port = container.get_host_port_ipv4(KUBE_SECURE_PORT).await;
    let port = port.map_err(|error| explained(doing, &error))?;
    let text = container.image().read_kube_config().map_err(|error| told(doing, &error.to_string()))?;
    let kubeconfig = folder.path().join("kubeconfig");
    let text = text.replace("https://127.0.0.1:6443", &format!("https://127.0.0.1:{port}"));
    write_private(&kubeconfig, &text).map_err(|error| told(doing, &error.to_string()))?;
    Ok(K3s { kubeconfig, _container: container, _folder: folder })
}

impl K3s {
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

/// `None` was said on standard error. With DREY_REQUIRE_DOCKER=1 in the environment it is a failure instead.
pub fn or_skip<T>(started: Result<T, Problem>) -> Option<T> {
    match started {
        Ok(started) => Some(started),
        Err(problem) => {
            let is_required = std::env::var("DREY_REQUIRE_DOCKER").as_deref() == Ok("1");
            assert!(!is_required, "DREY_REQUIRE_DOCKER=1: failed to {problem}");
            eprintln!("skipped: could not {problem}");
            None
        }
    }
}

/// Its errors carry the engine's words in their own text and have no source.
fn explained(doing: &str, error: &TestcontainersError) -> Problem {
    told(doing, &error.to_string())
}

fn told(doing: &str, text: &str) -> Problem {
    let call = Call::new("testcontainers", ["k3s"]);
    explain::exit(doing, &call, &Outcome { code: Some(1), stdout: String::new(), stderr: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as testcontainers 0.27 printed them.
    #[test]
    fn what_it_says_is_explained() {
        let check = |text: &str, trouble: Trouble| {
            let problem = told("start k3s in a container", text);
            assert_eq!(problem.trouble, trouble, "{problem}");
        };
        check(
            "failed to initialize a docker client: Socket not found: /var/run/docker.sock",
            Trouble::EngineDown,
        );
        check(
            "failed to create a container: Error in the hyper legacy client: client error (Connect)",
            Trouble::EngineDown,
        );
        check(
            "failed to pull the image 'rancher/k3s:v1.28.8-k3s1', error: Docker responded with status code 500: dial tcp",
            Trouble::PullFailed,
        );
    }

    /// With an engine this is k3s; without one it says why it is skipped.
    #[test]
    fn k3s_or_a_reason() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let started = runtime.block_on(start(&Host::of_process()));
        let Some(k3s) = or_skip(started) else { return };
        let text = std::fs::read_to_string(k3s.kubeconfig()).expect("a kubeconfig");
        assert!(text.contains("server: https://127.0.0.1:"), "{text}");
        runtime.block_on(async { drop(k3s) });
    }
}
