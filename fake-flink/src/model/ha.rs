//! HA metadata as Flink's Kubernetes services write it: ConfigMap names, labels, keys and the handles inside.
//!
//! Reference section 8 and the recorded `ha-configmaps-*.json`. This file builds and reads contents; when they are
//! written is decided in `halog.rs`.

use crate::version::Version;
use base64::Engine;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub data: BTreeMap<String, String>,
}

impl ConfigMap {
    /// What an object of the API holds.
    pub fn of(object: &Value) -> ConfigMap {
        ConfigMap {
            labels: texts(&object["metadata"]["labels"]),
            annotations: texts(&object["metadata"]["annotations"]),
            data: texts(&object["data"]),
        }
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Of the objects with the labels of HA ConfigMaps: the cluster's own `flink-config-…` carries them, too, and one that is
/// being deleted counts as gone.
pub fn is_ha(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.ends_with("-config-map") && object["metadata"]["deletionTimestamp"].is_null()
}

/// The HA ConfigMaps of one cluster id, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HaState {
    pub maps: BTreeMap<String, ConfigMap>,
}

pub const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";
const LEADER_PREFIX: &str = "org.apache.flink.k8s.leader.";
const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;

pub fn cluster_map(cluster: &str) -> String {
    format!("{cluster}-cluster-config-map")
}

pub fn job_map(cluster: &str, job: &str) -> String {
    format!("{cluster}-{job}-config-map")
}

pub fn labels(cluster: &str, version: Version) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app".to_owned(), cluster.to_owned()),
        ("type".to_owned(), "flink-native-kubernetes".to_owned()),
    ]);
    if !version.is_2() {
        labels.insert("configmap-type".to_owned(), "high-availability".to_owned());
    }
    labels
}

pub fn plan_key(version: Version, job: &str) -> String {
    format!("{}-{job}", if version.is_2() { "executionPlan" } else { "jobGraph" })
}

pub fn plan_file(version: Version) -> &'static str {
    if version.is_2() { "submittedExecutionPlan" } else { "submittedJobGraph" }
}

const CHECKPOINT_PREFIX: &str = "checkpointID-";

pub fn checkpoint_key(id: u64) -> String {
    format!("{CHECKPOINT_PREFIX}{id:019}")
}

/// The checkpoint that a key points to.
pub fn checkpoint_of(key: &str) -> Option<u64> {
    key.strip_prefix(CHECKPOINT_PREFIX)?.parse().ok()
}

pub fn component_key(component: &str) -> String {
    format!("{LEADER_PREFIX}{component}")
}

pub fn job_leader_key(version: Version, job: &str) -> String {
    let infix = if version.since_1_20() { "job-" } else { "" };
    format!("{LEADER_PREFIX}{infix}{job}")
}

pub fn is_leader_key(key: &str) -> bool {
    key.starts_with(LEADER_PREFIX)
}

/// Who holds the lock; the text of the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub holder: String,
    pub lease_ms: i64,
    pub acquired: Timestamp,
    pub renewed: Timestamp,
    pub transitions: u64,
}

impl Lock {
    pub fn text(&self, version: Version) -> String {
        let lease = if version.is_2() {
            format!("\"{}\"", crate::conf::iso(self.lease_ms))
        } else {
            format!("{}.{:03}000000", self.lease_ms / 1000, self.lease_ms % 1000)
        };
        format!(
            "{{\"holderIdentity\":\"{}\",\"leaseDuration\":{lease},\"acquireTime\":\"{}\",\"renewTime\":\"{}\",\"leaderTransitions\":{}}}",
            self.holder,
            micros(self.acquired),
            micros(self.renewed),
            self.transitions
        )
    }

    /// Holder and transitions of an annotation; `None` when it is not one.
    pub fn read(text: &str) -> Option<(String, u64)> {
        let value: Value = serde_json::from_str(text).ok()?;
        Some((value["holderIdentity"].as_str()?.to_owned(), value["leaderTransitions"].as_u64().unwrap_or(0)))
    }
}

fn micros(t: Timestamp) -> String {
    let us = t.as_microsecond().rem_euclid(1_000_000);
    format!("{}.{us:06}Z", t.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// The Java object stream of `StateHandleWithDeleteMarker(RetrievableStreamStateHandle(FileStateHandle))`, as recorded.
pub fn encode_handle(path: &str, size: u64) -> String {
    let mut out = Vec::with_capacity(700 + path.len());
    out.extend(b"\xac\xed\x00\x05sr\x00corg.apache.flink.kubernetes.highavailability.KubernetesStateHandleStore$StateHandleWithDeleteMarker");
    out.extend(b"\x1b\xadD\x80\xef\x86\r|\x02\x00\x02Z\x00\x11markedForDeletionL\x00\x05innert\x007Lorg/apache/flink/runtime/state/RetrievableStateHandle;xp\x00");
    out.extend(b"sr\x00;org.apache.flink.runtime.state.RetrievableStreamStateHandle\x00\x01\x1e\x18\xf1U\x97+\x02\x00\x01L\x00\x18wrappedStreamStateHandle");
    out.extend(b"t\x002Lorg/apache/flink/runtime/state/StreamStateHandle;xpsr\x009org.apache.flink.runtime.state.filesystem.FileStateHandle");
    out.extend(b"\x04\xdcu\xd8b\xbd\x1b\xb3\x02\x00\x02J\x00\tstateSizeL\x00\x08filePatht\x00\x1fLorg/apache/flink/core/fs/Path;xp");
    out.extend(size.to_be_bytes());
    out.extend(b"sr\x00\x1dorg.apache.flink.core.fs.Path\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x01L\x00\x03urit\x00\x0eLjava/net/URI;xp");
    out.extend(b"sr\x00\x0cjava.net.URI\xac\x01x.C\x9eI\xab\x03\x00\x01L\x00\x06stringt\x00\x12Ljava/lang/String;xpt");
    let path = &path.as_bytes()[..path.len().min(usize::from(u16::MAX))];
    out.extend((path.len() as u16).to_be_bytes());
    out.extend(path);
    out.push(b'x');
    BASE64.encode(out)
}

/// The path inside such a handle; `None` when the text is not one.
pub fn decode_handle(text: &str) -> Option<String> {
    let bytes = BASE64.decode(text.trim()).ok()?;
    let mark = b"Ljava/lang/String;xpt";
    let at = bytes.windows(mark.len()).rposition(|w| w == mark)? + mark.len();
    let length = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    String::from_utf8(bytes.get(at + 2..at + 2 + length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_round_trips_and_looks_recorded() {
        let text = encode_handle("file:/ha/my-app/completedCheckpoint0123456789ab", 7182);
        assert!(text.starts_with("rO0ABXNyAGNvcmcuYXBhY2hlLmZsaW5rLmt1YmVybmV0ZXM"));
        assert_eq!(decode_handle(&text).as_deref(), Some("file:/ha/my-app/completedCheckpoint0123456789ab"));
        assert_eq!(decode_handle("cnViYmlzaA=="), None);
    }

    #[test]
    fn keys_of_the_versions() {
        assert_eq!(job_leader_key(Version::V1_18, "ab"), "org.apache.flink.k8s.leader.ab");
        assert_eq!(job_leader_key(Version::V2_2, "ab"), "org.apache.flink.k8s.leader.job-ab");
        assert_eq!(plan_key(Version::V1_20, "ab"), "jobGraph-ab");
        assert_eq!(checkpoint_key(3), "checkpointID-0000000000000000003");
    }
}
