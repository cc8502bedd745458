//! What the HA ConfigMaps of a cluster say (reconciler.md 5.1). "Configured" and "metadata available" are different
//! predicates; this file answers the second one, `Settings::ha` the first.

use crate::observation::{HaConfigMap, HaFacts, Seen};
use std::collections::BTreeMap;

/// Whether a stateful job could be restored from the HA metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaMetadata {
    /// Nobody could be asked: neither "available" nor "gone" may be concluded.
    Unknown,
    /// No map of a job: the cluster-level map alone does not count (B26).
    Gone,
    /// A map of a job, without any checkpoint in it (empty data is fine, B27).
    WithoutCheckpoint,
    WithCheckpoint,
    /// In ZooKeeper or wherever a user's own factory keeps it: relied on, since Flink removes it only when the job has
    /// ended, and never seen. A JobManager that finds none is made to fail by the guard (4.8.2).
    Elsewhere,
}

impl HaMetadata {
    pub fn is_available(self) -> bool {
        match self {
            HaMetadata::WithoutCheckpoint | HaMetadata::WithCheckpoint | HaMetadata::Elsewhere => true,
            HaMetadata::Unknown | HaMetadata::Gone => false,
        }
    }
}

pub fn metadata(seen: &Seen<HaFacts>) -> HaMetadata {
    let facts = match seen {
        Seen::Known(facts) => facts,
        Seen::Absent => return HaMetadata::Gone,
        Seen::Unreachable { .. } | Seen::NotAsked => return HaMetadata::Unknown,
    };
    let live = || facts.config_maps.iter().filter(|map| !map.deleting);
    if !live().any(is_job_map) {
        return HaMetadata::Gone;
    }
    match live().any(|map| map.keys.iter().any(|key| key.starts_with("checkpointID-"))) {
        true => HaMetadata::WithCheckpoint,
        false => HaMetadata::WithoutCheckpoint,
    }
}

/// Names of all HA maps, for deletion.
pub fn map_names(seen: &Seen<HaFacts>) -> Vec<String> {
    ha_maps(seen).map(|map| map.name.clone()).collect()
}

/// Stored job graphs and execution plans by map; only maps that hold some.
pub fn job_graph_keys(seen: &Seen<HaFacts>) -> BTreeMap<String, Vec<String>> {
    ha_maps(seen)
        .map(|map| (map.name.clone(), map.keys.iter().filter(|key| is_job_graph(key)).cloned().collect()))
        .filter(|(_, keys): &(String, Vec<String>)| !keys.is_empty())
        .collect()
}

fn ha_maps(seen: &Seen<HaFacts>) -> impl Iterator<Item = &HaConfigMap> {
    seen.known()
        .into_iter()
        .flat_map(|facts| &facts.config_maps)
        .filter(|map| !map.deleting && is_ha_map(map))
}

/// The per-job map of Flink 1.15 and later, or the leader map of older ones.
fn is_job_map(map: &HaConfigMap) -> bool {
    let name = &map.name;
    (name.ends_with("-config-map") && !name.ends_with("-cluster-config-map"))
        || name.ends_with("-jobmanager-leader")
}

fn is_ha_map(map: &HaConfigMap) -> bool {
    map.name.ends_with("-config-map") || map.name.ends_with("-leader")
}

/// `jobGraph-` up to 1.20, `executionPlan-` from 2.0 (B23).
fn is_job_graph(key: &str) -> bool {
    key.starts_with("jobGraph-") || key.starts_with("executionPlan-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(entries: &[(&str, &[&str])]) -> Seen<HaFacts> {
        let config_maps = entries
            .iter()
            .map(|(name, keys)| HaConfigMap {
                name: (*name).into(),
                deleting: false,
                keys: keys.iter().map(|key| (*key).into()).collect(),
            })
            .collect();
        Seen::Known(HaFacts { config_maps })
    }

    #[test]
    fn b26_the_cluster_level_map_alone_is_no_metadata() {
        assert_eq!(metadata(&maps(&[("app-cluster-config-map", &["jobGraph-x"])])), HaMetadata::Gone);
    }

    #[test]
    fn b27_an_empty_job_map_is_metadata_without_checkpoint() {
        assert_eq!(metadata(&maps(&[("app-0a-config-map", &[])])), HaMetadata::WithoutCheckpoint);
        let with = maps(&[("app-0a-config-map", &["checkpointID-0000000000000000005"])]);
        assert_eq!(metadata(&with), HaMetadata::WithCheckpoint);
    }

    #[test]
    fn old_layout_counts_and_maps_being_deleted_do_not() {
        assert!(metadata(&maps(&[("app-dispatcher-jobmanager-leader", &[])])).is_available());
        let mut gone = maps(&[("app-0a-config-map", &["checkpointID-1"])]);
        if let Seen::Known(facts) = &mut gone {
            facts.config_maps[0].deleting = true;
        }
        assert_eq!(metadata(&gone), HaMetadata::Gone);
    }

    #[test]
    fn could_not_ask_is_neither_gone_nor_available() {
        assert_eq!(metadata(&Seen::NotAsked), HaMetadata::Unknown);
        assert_eq!(metadata(&Seen::Absent), HaMetadata::Gone);
    }

    #[test]
    fn b23_job_graphs_and_execution_plans_are_found_and_other_maps_left_alone() {
        let seen = maps(&[
            (
                "app-cluster-config-map",
                &["jobGraph-a", "executionPlan-a", "org.apache.flink.k8s.leader.dispatcher"],
            ),
            ("app-0a-config-map", &["checkpointID-1", "counter"]),
            ("flink-config-app", &["flink-conf.yaml"]),
        ]);
        let keys = job_graph_keys(&seen);
        assert_eq!(keys.len(), 1);
        assert_eq!(keys["app-cluster-config-map"], ["jobGraph-a", "executionPlan-a"]);
        assert_eq!(map_names(&seen), ["app-cluster-config-map", "app-0a-config-map"]);
    }
}
