//! Many clusters in one process: `--cluster NAME[=ADDR]` and the file of `--clusters`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::shape::Shape;

/// A cluster to be hosted.
#[derive(Clone, Debug)]
pub struct Planned {
    pub name: String,
    /// Its own address; otherwise it is reached by host name at the common one.
    pub listen: Option<SocketAddr>,
    pub shape: Shape,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clusters: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    name: String,
    /// That many, called NAME-1, NAME-2 ...
    count: Option<u32>,
    listen: Option<SocketAddr>,
    flink: Option<String>,
    session: Option<bool>,
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
    time_scale: Option<f64>,
    seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(value) => value.clone(),
        }
    }
}

/// What one process hosts at most; a file that asks for more is a mistake.
const CLUSTERS_MAX: usize = 5_000;
const FILE_MAX: u64 = 4 << 20;

/// `usual` is what the command line says; entries of the file change it.
pub fn plan(file: Option<&Path>, named: &[String], usual: &Shape) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for text in named {
        planned.push(of_argument(text, usual)?);
    }
    if let Some(path) = file {
        let what = || format!("read clusters from {}", path.display());
        let length = std::fs::metadata(path).with_context(what)?.len();
        ensure!(length <= FILE_MAX, "{}: more than {FILE_MAX} bytes", what());
        let text = std::fs::read_to_string(path).with_context(what)?;
        planned.extend(of_text(&text, usual).with_context(what)?);
    }
    ensure!(planned.len() <= CLUSTERS_MAX, "host {} clusters: at most {CLUSTERS_MAX}", planned.len());
    let mut names = BTreeSet::new();
    for cluster in &planned {
        check_name(&cluster.name)?;
        ensure!(names.insert(&cluster.name), "name clusters: {:?} is there twice", cluster.name);
    }
    Ok(planned)
}

fn of_argument(text: &str, usual: &Shape) -> anyhow::Result<Planned> {
    let (name, listen) = match text.split_once('=') {
        None => (text, None),
        Some((name, address)) => {
            let wrong = || format!("read --cluster {text:?}: expected NAME or NAME=ADDRESS:PORT");
            (name, Some(address.parse().with_context(wrong)?))
        }
    };
    Ok(Planned { name: name.to_owned(), listen, shape: seeded(usual, name) })
}

fn of_text(text: &str, usual: &Shape) -> anyhow::Result<Vec<Planned>> {
    let file: File = serde_saphyr::from_str(text)?;
    let mut planned = Vec::new();
    for entry in &file.clusters {
        let names: Vec<String> = match entry.count {
            None => vec![entry.name.clone()],
            Some(count) => {
                (1..=count).take(CLUSTERS_MAX + 1).map(|i| format!("{}-{i}", entry.name)).collect()
            }
        };
        let has_one_port = entry.listen.is_some_and(|address| address.port() != 0);
        if has_one_port && names.len() > 1 {
            bail!(
                "{}: {} clusters cannot listen on one port; use port 0, or leave `listen` out",
                entry.name,
                names.len()
            );
        }
        for name in names {
            planned.push(Planned { shape: entry.shape(usual, &name)?, listen: entry.listen, name });
        }
    }
    Ok(planned)
}

impl Entry {
    fn shape(&self, usual: &Shape, name: &str) -> anyhow::Result<Shape> {
        let mut shape = seeded(usual, name);
        if let Some(flink) = &self.flink {
            shape.flink = flink.parse().map_err(|why| anyhow::anyhow!("{name}: flink: {why}"))?;
        }
        shape.session = self.session.unwrap_or(shape.session);
        shape.time_scale = self.time_scale.unwrap_or(shape.time_scale);
        shape.seed = self.seed.unwrap_or(shape.seed);
        shape.config.extend(self.config.iter().map(|(key, value)| (key.clone(), value.text())));
        Ok(shape)
    }
}

/// Clusters of one process differ in their ids.
fn seeded(usual: &Shape, name: &str) -> Shape {
    let of_name = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Shape { seed: usual.seed ^ of_name, ..usual.clone() }
}

/// Names are host names.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = !name.is_empty() && name.len() <= 63 && name.chars().all(is_label);
    ensure!(is_good, "name a cluster {name:?}: small letters, digits and dashes, 63 at most");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Shape {
        let flink = "1.20".parse().unwrap();
        Shape {
            programs: Default::default(),
            main_class: None,
            flink,
            session: true,
            config: BTreeMap::new(),
            time_scale: 1.0,
            seed: 0,
            instant: false,
            log: false,
        }
    }

    #[test]
    fn a_file_of_clusters() {
        let text = "clusters:\n- {name: a, flink: '2.2', config: {parallelism.default: 3, x: yes}}\n- {name: b, count: 3, listen: '127.0.0.1:0', session: false}\n";
        let planned = of_text(text, &usual()).unwrap();
        let names: Vec<&str> = planned.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b-1", "b-2", "b-3"]);
        assert_eq!(planned[0].shape.flink.to_string(), "2.2.1");
        assert_eq!(planned[0].shape.config["parallelism.default"], "3");
        assert!(planned[0].shape.session && !planned[1].shape.session && planned[0].listen.is_none());
        assert_ne!(planned[1].shape.seed, planned[2].shape.seed);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, part) in [
            ("clusters: [{name: a, flonk: 1}]", "flonk"),
            ("clusters: [{name: a, flink: '9.9'}]", "9.9"),
            ("clusters: [{name: a, count: 2, listen: '127.0.0.1:80'}]", "one port"),
            ("nothing: here", "nothing"),
        ] {
            let why = of_text(text, &usual()).map(|_| ()).unwrap_err();
            assert!(format!("{why:#}").contains(part), "{text}: {why:#}");
        }
        for named in [&["A"][..], &["a", "a"], &["a=nowhere"]] {
            let named: Vec<String> = named.iter().map(|n| (*n).to_owned()).collect();
            assert!(plan(None, &named, &usual()).is_err(), "{named:?}");
        }
    }
}
