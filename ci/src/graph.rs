//! The dependency graph of the workspace as `cargo metadata` resolves it: normal and build edges, no dev edges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Package name to the names it links against directly.
pub struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
    /// Workspace members, by name.
    pub members: BTreeSet<String>,
}

/// The folder that holds the workspace's `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

impl Graph {
    /// Asks cargo, for this machine's platform: only what was downloaded to build this test is needed, so it works offline.
    pub fn load() -> Result<Graph> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let platform = host_platform()?;
        let args = ["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform];
        let metadata = output_of(Command::new(cargo).args(args).current_dir(workspace_root()))?;
        Graph::from_metadata(&serde_json::from_slice(&metadata).context("parse cargo metadata")?)
    }

    /// Builds the graph from the JSON of `cargo metadata --format-version 1`.
    pub fn from_metadata(metadata: &Value) -> Result<Graph> {
        let mut names = BTreeMap::new();
        for package in list(metadata, "packages")? {
            names.insert(text(package, "id")?, text(package, "name")?);
        }
        let name_of = |id: &str| names.get(id).cloned().with_context(|| format!("package {id} has no name"));
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"], "nodes")? {
            let from = edges.entry(name_of(&text(node, "id")?)?).or_default();
            for dep in list(node, "deps")?.iter().filter(|dep| is_linked(dep)) {
                from.insert(name_of(&text(dep, "pkg")?)?);
            }
        }
        let members = list(metadata, "workspace_members")?
            .iter()
            .filter_map(Value::as_str)
            .map(name_of)
            .collect::<Result<_>>()?;
        Ok(Graph { edges, members })
    }

    /// Everything `package` reaches, itself not included.
    pub fn reach(&self, package: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package];
        while let Some(next) = open.pop() {
            for dep in self.edges.get(next).into_iter().flatten() {
                if seen.insert(dep.as_str()) {
                    open.push(dep);
                }
            }
        }
        seen
    }

    /// A shortest chain of names from `package` to `target`, for the message of a broken rule.
    pub fn path(&self, package: &str, target: &str) -> Vec<String> {
        let mut chains = std::collections::VecDeque::from([vec![package.to_owned()]]);
        let mut seen = BTreeSet::new();
        while let Some(chain) = chains.pop_front() {
            let last = chain.last().expect("a chain starts with the package").clone();
            if last == target {
                return chain;
            }
            for dep in self.edges.get(&last).into_iter().flatten().filter(|dep| seen.insert((*dep).clone())) {
                chains.push_back(chain.iter().cloned().chain([dep.clone()]).collect());
            }
        }
        Vec::new()
    }
}

/// The target triple of the compiler, such as `x86_64-unknown-linux-gnu`.
fn host_platform() -> Result<String> {
    let version = output_of(Command::new("rustc").arg("-vV"))?;
    let version = String::from_utf8_lossy(&version);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Dev edges do not end up in what we ship; `null` is cargo's spelling of a normal dependency.
fn is_linked(dep: &Value) -> bool {
    dep["dep_kinds"].as_array().is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("cargo metadata has no list `{key}`"))
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("cargo metadata has no text `{key}`"))?.to_owned())
}
