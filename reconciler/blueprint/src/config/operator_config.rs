//! The operator's own configuration and the defaults it holds for clusters (config.md 3 and 4).

use std::collections::{BTreeMap, BTreeSet};

use drey_api::FlinkVersion;

use super::conf::{ConfValue, FlinkConf, InvalidValue, Key};
use super::keys::{self, Scope};
use super::text::{ConfigFileError, parse_standard};

const NAMESPACE_LAYER: &str = "kubernetes.operator.default-configuration.namespace.";
const VERSION_LAYER: &str = "kubernetes.operator.default-configuration.flink-version.";
const ALL_NAMESPACES: &str = "JOSDK_ALL_NAMESPACES";

/// The operator's configuration: its own settings, and defaults for all clusters, for namespaces and for versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorConfig {
    base: FlinkConf,
    /// Installations without the FlinkStateSnapshot CRD cannot use it, whatever is configured.
    snapshot_crd_missing: bool,
}

impl OperatorConfig {
    /// From a flat map. Refuses values of the operator's own keys that cannot be read; all problems are listed.
    pub fn new(base: BTreeMap<String, String>) -> Result<Self, Vec<InvalidValue>> {
        let config = Self { base: base.into(), snapshot_crd_missing: false };
        let mut problems: Vec<InvalidValue> = keys::problems(&config.base).collect();
        if config.value(keys::LEADER_ELECTION_ENABLED)
            && config.get(keys::LEADER_ELECTION_LEASE_NAME).is_none()
        {
            problems.push(InvalidValue {
                key: keys::LEADER_ELECTION_LEASE_NAME.name.to_owned(),
                value: String::new(),
                problem: "must be defined when operator leader election is enabled.".to_owned(),
            });
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// From the text of a `config.yaml`.
    pub fn from_yaml(text: &str) -> Result<Result<Self, Vec<InvalidValue>>, ConfigFileError> {
        Ok(Self::new(parse_standard(text)?))
    }

    /// The same with `entries` on top: an override directory, or a test's wishes.
    pub fn with(
        &self,
        entries: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<InvalidValue>> {
        let mut base = self.base.clone();
        base.extend(entries);
        let mut config = Self::new(base.into_map())?;
        config.snapshot_crd_missing = self.snapshot_crd_missing;
        Ok(config)
    }

    pub fn without_snapshot_crd(mut self) -> Self {
        self.snapshot_crd_missing = true;
        self
    }

    pub fn has_snapshot_crd(&self) -> bool {
        !self.snapshot_crd_missing
    }

    /// An operator-wide setting.
    pub fn get<T: ConfValue>(&self, key: Key<T>) -> Option<T> {
        self.base.get(key)
    }

    pub fn value<T: ConfValue + Default>(&self, key: Key<T>) -> T {
        self.base.value(key)
    }

    pub fn base(&self) -> &FlinkConf {
        &self.base
    }

    /// Both the operator and the resource must want FlinkStateSnapshot resources.
    pub fn snapshot_resources(&self, conf: &FlinkConf) -> bool {
        self.has_snapshot_crd()
            && self.value(keys::SNAPSHOT_RESOURCE_ENABLED)
            && conf.value(keys::SNAPSHOT_RESOURCE_ENABLED)
    }

    /// Namespaces to watch; empty means all. `environment` is the content of `WATCH_NAMESPACES` and wins.
    pub fn watched_namespaces(&self, environment: Option<&str>) -> BTreeSet<String> {
        let configured = self.value(keys::WATCHED_NAMESPACES);
        let text = environment.filter(|text| !text.trim().is_empty()).unwrap_or(&configured);
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        if names.contains(ALL_NAMESPACES) { BTreeSet::new() } else { names }
    }

    /// Defaults for a cluster: everything, then the namespace's, then its version's (newer `+` layers over older,
    /// the exact version over all).
    pub fn defaults_for(&self, namespace: &str, version: Option<FlinkVersion>) -> FlinkConf {
        let mut conf = self.base.clone();
        let namespace_layer = format!("{NAMESPACE_LAYER}{namespace}.");
        conf.extend(owned(self.base.with_prefix(&namespace_layer)));
        if let Some(version) = version {
            for (_, layer) in self.version_layers().into_iter().filter(|(layer, _)| layer.applies_to(version))
            {
                conf.extend(layer);
            }
        }
        conf
    }

    /// Layers in the order they apply.
    fn version_layers(&self) -> BTreeMap<VersionLayer, BTreeMap<String, String>> {
        let mut layers: BTreeMap<VersionLayer, BTreeMap<String, String>> = BTreeMap::new();
        for (rest, value) in self.base.with_prefix(VERSION_LAYER) {
            if let Some((layer, key)) = VersionLayer::split(rest) {
                layers.entry(layer).or_default().insert(key.to_owned(), value.to_owned());
            }
        }
        layers
    }

    /// What deserves a line in the log: layers of versions that do not exist, keys in the wrong place.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (rest, _) in self.base.with_prefix(VERSION_LAYER) {
            let known = VersionLayer::split(rest)
                .is_some_and(|(layer, _)| FlinkVersion::ALL.contains(&layer.version));
            if !known {
                warnings.push(format!("Unknown Flink version in config key: {VERSION_LAYER}{rest}"));
            }
        }
        for key in keys::ALL.iter() {
            let old = key.older.iter().find(|old| key.scope != Scope::Flink && self.base.raw(old).is_some());
            warnings
                .extend(old.map(|old| format!("Config key {old} is deprecated, use {} instead", key.name)));
        }
        warnings
    }
}

fn owned<'a>(
    entries: impl Iterator<Item = (&'a str, &'a str)> + 'a,
) -> impl Iterator<Item = (String, String)> + 'a {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// `v1_17+` applies from 1.17 on, `v1_17` to 1.17 alone. Ordered as applied: all `+` layers ascending, then exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct VersionLayer {
    exact: bool,
    version: FlinkVersion,
}

impl VersionLayer {
    /// Splits `v1_17+.some.key`.
    fn split(rest: &str) -> Option<(Self, &str)> {
        let (name, key) = rest.split_once('.')?;
        let (number, exact) = match name.strip_suffix('+') {
            Some(number) => (number, false),
            None => (name, true),
        };
        Some((Self { exact, version: number.parse().ok()? }, key))
    }

    fn applies_to(self, version: FlinkVersion) -> bool {
        if self.exact { self.version == version } else { self.version <= version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> OperatorConfig {
        OperatorConfig::new(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()).unwrap()
    }

    /// The example of config.md 4, and the precedence it states.
    #[test]
    fn version_layers() {
        let config = config(&[
            ("kubernetes.operator.default-configuration.flink-version.v1_16+.k4", "v4"),
            ("kubernetes.operator.default-configuration.flink-version.v1_16+.k5", "v5"),
            ("kubernetes.operator.default-configuration.flink-version.v1_17.k1", "v1"),
            ("kubernetes.operator.default-configuration.flink-version.v1_17.k5", "v5.1"),
            ("kubernetes.operator.default-configuration.flink-version.v1_9+.k6", "nine"),
            ("kubernetes.operator.default-configuration.namespace.ns.k5", "namespace"),
            ("kubernetes.operator.default-configuration.namespace.ns.k7", "namespace"),
            ("k7", "base"),
        ]);
        let get = |namespace: &str, version: FlinkVersion, key: &str| {
            config.defaults_for(namespace, Some(version)).raw(key).map(str::to_owned)
        };
        assert_eq!(get("ns", FlinkVersion::V1_17, "k4").as_deref(), Some("v4"));
        assert_eq!(get("ns", FlinkVersion::V1_17, "k5").as_deref(), Some("v5.1"));
        assert_eq!(get("ns", FlinkVersion::V1_18, "k5").as_deref(), Some("v5"));
        assert_eq!(get("ns", FlinkVersion::V1_18, "k1"), None);
        assert_eq!(get("ns", FlinkVersion::V1_15, "k5").as_deref(), Some("namespace"));
        assert_eq!(get("ns", FlinkVersion::V2_0, "k7").as_deref(), Some("namespace"));
        assert_eq!(get("other", FlinkVersion::V2_0, "k7").as_deref(), Some("base"));
        assert_eq!(get("ns", FlinkVersion::V2_0, "k6").as_deref(), Some("nine"));
    }

    #[test]
    fn unreadable_settings_are_refused_all_at_once() {
        let map = [
            ("kubernetes.operator.reconcile.interval", "15 sek"),
            ("kubernetes.operator.rate-limiter.limit", "many"),
            ("kubernetes.operator.leader-election.enabled", "true"),
        ];
        let problems = OperatorConfig::new(map.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
            .unwrap_err();
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn namespaces() {
        let all = config(&[]);
        assert!(all.watched_namespaces(None).is_empty());
        assert_eq!(all.watched_namespaces(Some("a , b,")).into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let some = config(&[("kubernetes.operator.watched.namespaces", "x")]);
        assert_eq!(some.watched_namespaces(Some(" ")).into_iter().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn warnings_name_the_key() {
        let config = config(&[
            ("kubernetes.operator.default-configuration.flink-version.v9_9.k", "v"),
            ("kubernetes.operator.default-configuration.flink-version.2.0.k", "v"),
            ("kubernetes.operator.reconciler.max.parallelism", "3"),
        ]);
        assert_eq!(
            config.warnings(),
            [
                "Unknown Flink version in config key: kubernetes.operator.default-configuration.flink-version.2.0.k",
                "Unknown Flink version in config key: kubernetes.operator.default-configuration.flink-version.v9_9.k",
                "Config key kubernetes.operator.reconciler.max.parallelism is deprecated, use kubernetes.operator.reconcile.parallelism instead",
            ]
        );
    }
}
