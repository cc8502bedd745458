//! Pulling images: policies, names, and the texts of failures (kube-api.md 3.2).

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

pub fn policy(container: &Value) -> PullPolicy {
    match container["imagePullPolicy"].as_str() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some(_) => PullPolicy::IfNotPresent,
        None => {
            let image = container["image"].as_str().unwrap_or("");
            let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, t)| t);
            if matches!(tag, None | Some("latest")) && !image.contains('@') {
                PullPolicy::Always
            } else {
                PullPolicy::IfNotPresent
            }
        }
    }
}

/// Repository names are lower case; the runtime refuses anything else before asking a registry.
pub fn invalid_name(image: &str) -> Option<String> {
    let name = image.split('@').next().unwrap_or("");
    let path = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => name,
    };
    // The first component may be a registry host, which is allowed capitals and a port.
    let checked =
        path.split_once('/').filter(|(host, _)| host.contains(['.', ':'])).map_or(path, |(_, rest)| rest);
    let fine = !checked.is_empty()
        && checked.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c));
    (!fine).then(|| {
        format!("Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format")
    })
}

/// `busybox:1` -> `docker.io/library/busybox:1`.
pub fn full_name(image: &str) -> String {
    let tagged = match image.rsplit('/').next() {
        Some(last) if last.contains(':') || last.contains('@') => image.to_owned(),
        _ => format!("{image}:latest"),
    };
    match tagged.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tagged,
        Some(_) => format!("docker.io/{tagged}"),
        None => format!("docker.io/library/{tagged}"),
    }
}

/// The runtime's text for a pull that fails; `error` replaces the registry's part.
pub fn pull_error(image: &str, error: &str) -> String {
    if !error.is_empty() {
        return error.to_owned();
    }
    let full = full_name(image);
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{full}\": failed to resolve reference \"{full}\": {full}: not found"
    )
}

/// A digest that stands for the image, the same in every run.
pub fn digest(image: &str) -> String {
    let word = |salt: &str| crate::json::fnv64a(format!("{salt}{image}").as_bytes());
    format!("{:016x}{:016x}{:016x}{:016x}", word("a"), word("b"), word("c"), word("d"))
}

pub fn image_id(image: &str) -> String {
    let full = full_name(image);
    let repository = match full.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => &full,
    };
    format!("{}@sha256:{}", repository.split('@').next().unwrap_or(repository), digest(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        assert_eq!(full_name("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full_name("a/b:1"), "docker.io/a/b:1");
        assert_eq!(full_name("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
        assert_eq!(full_name("localhost:5000/b"), "localhost:5000/b:latest");
        assert!(invalid_name("Busy Box").is_some());
        assert!(invalid_name("localhost:5000/b:1").is_none());
        assert!(invalid_name("flink:1.20").is_none());
    }

    #[test]
    fn policies() {
        let check = |c: Value, expected| assert_eq!(policy(&c), expected);
        check(json!({"image": "a"}), PullPolicy::Always);
        check(json!({"image": "a:latest"}), PullPolicy::Always);
        check(json!({"image": "a:1"}), PullPolicy::IfNotPresent);
        check(json!({"image": "a:1", "imagePullPolicy": "Never"}), PullPolicy::Never);
    }
}
