//! The files of one container below a folder of its own, as its volumes have them: ConfigMaps, Secrets, downward API, and
//! what every pod has of its ServiceAccount. Written once, when the container starts; removed with it.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use jiff::SignedDuration;
use serde_json::Value;

use super::HostOptions;
use crate::programs::ProcessStart;

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Tokens are not renewed in the files, so they last longer than a cluster does.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(24 * 365);

pub fn furnish(root: &Path, options: &HostOptions, start: &ProcessStart) -> io::Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
    for (path, text) in start.files.iter().map(|(path, text)| (path.as_str(), text.as_str())) {
        write(root, path, text)?;
    }
    let name = start.pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let is_mounted = start.pod["spec"]["automountServiceAccountToken"] != Value::Bool(false);
    let token = options.api.account_token(&start.namespace, name, TOKEN_LASTS).filter(|_| is_mounted);
    if let Some(token) = token {
        let files = [("token", &token), ("ca.crt", &options.ca), ("namespace", &start.namespace)];
        files.into_iter().try_for_each(|(file, text)| write(root, &format!("{ACCOUNT}/{file}"), text))?;
    }
    Ok(())
}

fn write(root: &Path, path: &str, text: &str) -> io::Result<()> {
    let file = below(root, path)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no path of a mount: {path}")))?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

/// `..` would lead out of the folder.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let mut file = root.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => file.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_stay_below_the_folder() {
        let root = Path::new("/r");
        assert_eq!(below(root, "/opt/flink/conf/a.yaml"), Some(PathBuf::from("/r/opt/flink/conf/a.yaml")));
        assert_eq!(below(root, "opt/./x"), Some(PathBuf::from("/r/opt/x")));
        assert_eq!(below(root, "/opt/../../etc/passwd"), None);
    }
}
