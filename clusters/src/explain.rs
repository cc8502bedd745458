//! What a tool's failure means to the person at the terminal: one paragraph with the next step. The exit code says that
//! it failed; the texts only choose the hint, and what fits no hint is told in the tool's own words.

use crate::call::{Call, Outcome, RunError};
use crate::problem::{Problem, Trouble};

/// What somebody's text says, what it means, what to do. The first that fits counts; all in lower case.
struct Hint {
    any_of: &'static [&'static str],
    trouble: Trouble,
    why: &'static str,
    next: &'static str,
}

/// In order: causes before their consequences. Texts as recorded from kind 0.33, k3d 5.9, Colima 0.10, docker 20.10 and 28.
const HINTS: &[Hint] = &[
    Hint {
        any_of: &["no space left on device", "disk quota exceeded"],
        trouble: Trouble::OutOfDisk,
        why: "the disk of the container engine is full",
        next: "free some space, for instance with `docker system prune` or by `drey cluster prune`, and run it again",
    },
    Hint {
        any_of: &["permission denied while trying to connect", "connect: permission denied"],
        trouble: Trouble::SocketDenied,
        why: "docker's socket does not admit this user",
        next: "join the group that owns the socket (`sudo usermod -aG docker $USER`, then log in again), or point DOCKER_HOST to an engine of your own",
    },
    Hint {
        any_of: &[
            "cannot connect to the docker daemon",
            "is the docker daemon running",
            "failed to get docker info",
            "docker daemon is not running",
            "socket not found",
            "client error (connect)",
        ],
        trouble: Trouble::EngineDown,
        why: "no container engine answers",
        next: "start it (Linux: `sudo systemctl start docker`; macOS: `colima start` or Docker Desktop), see that `docker version` shows a server, and run it again",
    },
    Hint {
        any_of: &["port is already allocated", "address already in use", "ports are not available"],
        trouble: Trouble::PortTaken,
        why: "a port of this machine that the cluster is to have is taken",
        next: "end what listens there (`ss -ltnp` shows it), or choose another port in the cluster file",
    },
    Hint {
        any_of: &[
            "unable to apply caps",
            "privileged mode is incompatible",
            "privileged containers are not allowed",
        ],
        trouble: Trouble::PrivilegedRefused,
        why: "this engine runs no privileged containers, which nodes of kind and k3d are",
        next: "use an engine of a full host or VM; inside a container that lacks capabilities, use `--provider kubeconfig` with a cluster elsewhere",
    },
    Hint {
        any_of: &[
            "failed to pull",
            "pull access denied",
            "manifest unknown",
            "no such host",
            "toomanyrequests",
            "unable to find image",
        ],
        trouble: Trouble::PullFailed,
        why: "an image cannot be pulled",
        next: "check the network and the image's name with `docker pull`; without network, load the image first (`docker load`) and name it as `nodeImage` in the cluster file",
    },
    Hint {
        any_of: &["not present locally", "no such image"],
        trouble: Trouble::ImageMissing,
        why: "the image is not on this engine",
        next: "build it or `docker pull` it, and run it again",
    },
    Hint {
        any_of: &[
            "already exist for a cluster",
            "cluster with that name already exists",
            "node with that name already exists",
        ],
        trouble: Trouble::NameTaken,
        why: "there is a cluster or registry of that name already",
        next: "choose another name with --name",
    },
    Hint {
        any_of: &["is not a valid cluster name", "provided cluster name"],
        trouble: Trouble::BadName,
        why: "the tool does not take that name",
        next: "choose one of 32 characters a-z, 0-9 and `-` at most",
    },
    Hint {
        any_of: &["lima not found", "exec: \"limactl\""],
        trouble: Trouble::NotInstalled,
        why: "Colima needs Lima, and `limactl` is not on PATH",
        next: "install it (`brew install lima`) and run it again",
    },
    Hint {
        any_of: &[
            "error waiting for log line",
            "failed to init node with kubeadm",
            "timed out waiting for",
            "could not find a log line",
        ],
        trouble: Trouble::NeverReady,
        why: "a node never became ready",
        next: "see that the machine has memory (2 GiB free) and inotify handles (`sysctl fs.inotify`), and look at the node with `docker logs`",
    },
    Hint {
        any_of: &["certificate has expired", "certificate is not yet valid"],
        trouble: Trouble::CertificateBad,
        why: "a certificate of the kubeconfig or of the server is out of its time",
        next: "fetch a new kubeconfig from whoever runs the cluster, or make a cluster of ours again: `drey cluster down`, then `up`",
    },
    Hint {
        any_of: &["x509:", "certificate signed by unknown authority", "tls: "],
        trouble: Trouble::CertificateBad,
        why: "the certificates of the kubeconfig do not fit the server",
        next: "fetch a new kubeconfig from whoever runs the cluster",
    },
    Hint {
        any_of: &[
            "(forbidden)",
            "error from server (forbidden",
            "unauthorized",
            "must be logged in",
            "is forbidden:",
        ],
        trouble: Trouble::Forbidden,
        why: "the user of this kubeconfig may not do that",
        next: "use a context of a cluster admin: CRDs and namespaces are made",
    },
    Hint {
        any_of: &[
            "the connection to the server",
            "unable to connect to the server",
            "i/o timeout",
            "no route to host",
            "couldn't get current server api",
        ],
        trouble: Trouble::Unreachable,
        why: "the API server does not answer",
        next: "see that the cluster runs (`drey cluster status`) and that `kubectl version` reaches it",
    },
    Hint {
        any_of: &[
            "context was not found",
            "current-context is not set",
            "does not exist",
            "no context exists",
        ],
        trouble: Trouble::NothingThere,
        why: "the kubeconfig has no such context, or none at all",
        next: "choose one that `kubectl config get-contexts` lists, as `context` in the cluster file",
    },
];

/// A call that was answered with a code other than 0.
pub fn exit(doing: &str, call: &Call, outcome: &Outcome) -> Problem {
    // Quotes are escaped where a tool logs as key=value.
    let both = format!("{}\n{}", outcome.stderr, outcome.stdout).to_lowercase().replace("\\\"", "\"");
    let fits = |hint: &&Hint| hint.any_of.iter().any(|text| both.contains(text)) && suits(hint, call);
    let said = said(outcome);
    match HINTS.iter().find(fits) {
        Some(hint) => Problem::new(
            hint.trouble,
            doing,
            format!("{} ({} says: {said})", hint.why, call.program),
            hint.next,
        ),
        None => {
            let code = outcome.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            let why = format!("`{call}` ended with {code} and says: {said}");
            Problem::new(Trouble::Other, doing, why, "run that command yourself to see all it says")
        }
    }
}

/// Words of engines in the mouth of kubectl mean the API server.
fn suits(hint: &Hint, call: &Call) -> bool {
    let of_cluster =
        [Trouble::CertificateBad, Trouble::Forbidden, Trouble::Unreachable, Trouble::NothingThere];
    let of_engine = [Trouble::EngineDown, Trouble::SocketDenied, Trouble::PullFailed];
    match call.program.as_str() {
        "kubectl" => !of_engine.contains(&hint.trouble),
        _ => !of_cluster.contains(&hint.trouble),
    }
}

/// A call that came to no end of its own.
pub fn cut(doing: &str, error: &RunError) -> Problem {
    let (trouble, next) = match error {
        RunError::Missing { program } => (Trouble::NotInstalled, install(program).to_owned()),
        RunError::TimedOut { said: told, .. } => {
            let why = format!("{error}; the last it said: {}", said(told));
            let next =
                "run it again with a larger `wait` in the cluster file, or see why the machine is slow";
            return Problem::new(Trouble::TookTooLong, doing, why, next);
        }
        RunError::Interrupted { .. } => {
            (Trouble::Interrupted, "`drey cluster prune` removes what may be left".to_owned())
        }
        RunError::Start { source, .. } => {
            let next = "see that the program on PATH fits this machine".to_owned();
            return Problem::new(Trouble::Other, doing, format!("{error}: {source}"), next);
        }
    };
    Problem::new(trouble, doing, error.to_string(), next)
}

/// How one gets a program.
pub fn install(program: &str) -> &'static str {
    match program {
        "kind" => {
            "install kind (`go install sigs.k8s.io/kind@v0.33.0` or `brew install kind`), or choose another --provider"
        }
        "k3d" => "install k3d 5 (https://k3d.io, `brew install k3d`), or choose another --provider",
        "colima" => "install Colima (`brew install colima`), or choose another --provider",
        "kubectl" => "install kubectl (https://kubernetes.io/docs/tasks/tools)",
        "docker" => "install docker's command line tool and an engine (Docker, or Colima on a Mac)",
        _ => "install it and see that it is on PATH",
    }
}

const SAID_MAX: usize = 400;

/// The line that names the cause. k3d's last line alone misleads, and kind puts the cause below `Command Output:`.
fn said(outcome: &Outcome) -> String {
    let text =
        without_colours(if outcome.stderr.trim().is_empty() { &outcome.stdout } else { &outcome.stderr });
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let names_cause = |line: &&&str| {
        let lower = line.to_lowercase();
        ["level=error", "level=fatal", "error", "fata[", "erro[", "cannot connect"]
            .iter()
            .any(|mark| lower.contains(mark))
    };
    let after_output = lines.iter().rev().find(|line| line.contains("Error response from daemon:"));
    let line = after_output
        .or_else(|| lines.iter().find(names_cause))
        .or(lines.last())
        .copied()
        .unwrap_or("nothing");
    let message = line.split_once("msg=").map_or(line, |(_, message)| message.trim_matches('"'));
    let message = message.strip_prefix("ERROR: ").unwrap_or(message).replace("\\\"", "\"");
    if message.chars().count() > SAID_MAX {
        return format!("{}..", message.chars().take(SAID_MAX).collect::<String>());
    }
    message.trim_end_matches('.').to_owned()
}

/// k3d colours even what goes into pipes.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 2..];
        let end = tail.find(|c: char| c.is_ascii_alphabetic()).map_or(tail.len(), |end| end + 1);
        rest = &tail[end..];
    }
    out + rest
}
