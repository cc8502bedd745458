//! Where a container finds its files, and what it is told besides: the same in an image, and in a plain process that stands
//! for a container (`$CONTAINER_ROOT`, as `fake-kube serve --run` starts it).

use std::path::{Path, PathBuf};

/// A variable that says something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A file of the container.
pub fn file(path: &str) -> PathBuf {
    below(variable("CONTAINER_ROOT").as_deref(), path)
}

/// A process shares its network with all others: it listens at its pod's address, not at all of them.
pub fn own_address() -> Option<std::net::IpAddr> {
    variable("CONTAINER_ROOT")?;
    variable("POD_IP")?.parse().ok()
}

fn below(root: Option<&str>, path: &str) -> PathBuf {
    match root {
        Some(root) => Path::new(root).join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_process_lie_below_its_root() {
        assert_eq!(below(None, "/opt/flink/conf"), Path::new("/opt/flink/conf"));
        assert_eq!(below(Some("/tmp/c1"), "/opt/flink/conf"), Path::new("/tmp/c1/opt/flink/conf"));
    }
}
