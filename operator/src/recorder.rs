//! Publishes core v1 Events under the names the Java operator gives them (reconciler.md 7.1), so that both bump
//! the same object and `kubectl get events` reads the same. What to say is decided elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use drey_api::FlinkDeployment;
use drey_reconciler::{Event, EventKind};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{Api, ApiError, Place};

/// Java's `String.hashCode`, over UTF-16 code units.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |h, unit| h.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `<Component>.<n>`; repeats of the same thing about the same object get the same name.
pub(crate) fn event_name(event: &Event, resource: &FlinkDeployment) -> String {
    let kind = kind_text(event.kind);
    let what = event.key.as_ref().unwrap_or(&event.message);
    let text =
        format!("{}{what}{kind}{}{}{}", event.reason, FlinkDeployment::KIND, resource.name(), resource.uid());
    format!("{}.{}", event.component.as_str(), java_hash(&text) & 0x7FFF_FFFF)
}

fn kind_text(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    }
}

/// So many events are remembered; of more, the oldest are looked up again when they repeat.
const REMEMBERED_MAX: usize = 4096;

/// An event, and when what it tells of happened.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub at: Timestamp,
    pub event: Event,
    /// An attempt to publish it had no answer.
    pub tried: bool,
}

impl Happening {
    /// Both would be the same object.
    pub(crate) fn is_same(&self, event: &Event) -> bool {
        let name = |e: &Event| (e.component, e.kind, e.key.clone().unwrap_or_else(|| e.message.clone()));
        self.event.reason == event.reason && name(&self.event) == name(event)
    }
}

/// Publishes events and remembers how often, so that a repeat is one request, and a repeat that is not counted none.
#[derive(Default)]
pub(crate) struct Recorder {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By namespace and name; `None`: it is there, and its count is not known.
    counts: BTreeMap<String, Option<i64>>,
    order: VecDeque<String>,
}

impl Known {
    fn put(&mut self, id: String, count: Option<i64>) {
        if self.counts.insert(id.clone(), count).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
    }
}

impl Recorder {
    /// Publishes one event, new or repeated. 403 and races with other writers are not worth failing for.
    pub(crate) async fn publish(
        &self,
        api: &Api,
        resource: &FlinkDeployment,
        happening: &Happening,
    ) -> Result<(), ApiError> {
        let Happening { at, event, .. } = happening;
        let name = event_name(event, resource);
        let place = Place::new("v1", "events", resource.namespace());
        let id = format!("{}/{name}", resource.namespace());
        let known = self.with(|known| known.counts.get(&id).copied());
        let result = match known {
            Some(_) if event.once => return Ok(()),
            Some(count) => match self.repeat(api, &place, &name, event, *at, count).await {
                // Events live for an hour.
                Err(e) if e.is_not_found() => self.create(api, &place, &name, resource, happening).await,
                result => result,
            },
            None => self.create(api, &place, &name, resource, happening).await,
        };
        match result {
            Ok(count) => {
                self.with(|known| known.put(id, count));
                Ok(())
            }
            Err(e) if e.is_forbidden() || e.is_conflict() || e.is_not_found() => {
                tracing::warn!(event = name, reason = event.reason, error = %e, "leave out an event");
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Most events are new: created first, and read only when they are there. The answer is the count, if it is known.
    async fn create(
        &self,
        api: &Api,
        place: &Place,
        name: &str,
        resource: &FlinkDeployment,
        happening: &Happening,
    ) -> Result<Option<i64>, ApiError> {
        let Happening { at, event, tried } = happening;
        match api.create(place, &fresh(name, event, resource, *at)).await {
            Ok(_) => Ok(Some(1)),
            // After an attempt without answer it is most likely that one.
            Err(e) if e.is_already_exists() && (event.once || *tried) => Ok(None),
            Err(e) if e.is_already_exists() => self.repeat(api, place, name, event, *at, None).await,
            Err(e) => Err(e),
        }
    }

    async fn repeat(
        &self,
        api: &Api,
        place: &Place,
        name: &str,
        event: &Event,
        at: Timestamp,
        count: Option<i64>,
    ) -> Result<Option<i64>, ApiError> {
        let count = match count {
            Some(count) => count,
            None => api.get(place, name).await?["count"].as_i64().unwrap_or(0),
        };
        let next = count.saturating_add(1).min(i64::from(i32::MAX));
        api.merge(place, name, &repeated(event, at, next)).await?;
        Ok(Some(next))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Known) -> R) -> R {
        f(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn fresh(name: &str, event: &Event, resource: &FlinkDeployment, now: Timestamp) -> Value {
    let component = event.component.as_str();
    let mut metadata = json!({ "name": name, "namespace": resource.namespace() });
    let annotations = valid_annotations(&event.annotations);
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": metadata,
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": FlinkDeployment::KIND,
            "name": resource.name(),
            "namespace": resource.namespace(),
            "uid": resource.uid(),
            "resourceVersion": resource.metadata.resource_version,
        },
        "type": kind_text(event.kind),
        "reason": event.reason,
        "message": event.message,
        "source": { "component": component },
        "firstTimestamp": seconds(now),
        "lastTimestamp": seconds(now),
        "count": 1,
    })
}

/// What a repeat changes, as a merge patch.
fn repeated(event: &Event, at: Timestamp, count: i64) -> Value {
    let mut patch = json!({ "count": count, "lastTimestamp": seconds(at), "message": event.message });
    let annotations = valid_annotations(&event.annotations);
    if !annotations.is_empty() {
        patch["metadata"] = json!({ "annotations": annotations });
    }
    patch
}

/// Kubernetes times have whole seconds.
fn seconds(t: Timestamp) -> String {
    Timestamp::from_second(t.as_second()).unwrap_or(t).to_string()
}

/// Failure labels of a job become annotations; keys Kubernetes would refuse are dropped (reconciler.md 7.4).
fn valid_annotations(annotations: &BTreeMap<String, String>) -> BTreeMap<&String, &String> {
    annotations.iter().filter(|(key, _)| is_valid_key(key)).collect()
}

fn is_valid_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let name_ok = name.len() <= 63
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    let prefix_ok = prefix.is_none_or(|p| {
        p.len() <= 253
            && p.split('.').all(|label| {
                edge(label.bytes().next())
                    && edge(label.bytes().last())
                    && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            })
    });
    name_ok && prefix_ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use drey_reconciler::Component;

    #[test]
    fn java_hash_rows() {
        let check = |text: &str, expected: i32| assert_eq!(java_hash(text), expected, "{text}");
        // The first four are in every Java tutorial; the last two need wrapping and surrogate pairs.
        check("", 0);
        check("a", 97);
        check("abc", 96_354);
        check("hello", 99_162_322);
        check("polygenelubricants", i32::MIN);
        check("\u{1F600}", 0xD83D * 31 + 0xDE00);
    }

    fn resource() -> FlinkDeployment {
        let mut resource = FlinkDeployment::new("wordcount", Default::default());
        resource.metadata.namespace = Some("ns".into());
        resource.metadata.uid = Some("u-1".into());
        resource
    }

    fn event(message: &str, key: Option<&str>) -> Event {
        Event {
            kind: EventKind::Warning,
            reason: "Missing".into(),
            message: message.into(),
            component: Component::Job,
            key: key.map(Into::into),
            once: false,
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn names_are_component_and_hash_of_what_and_about_whom() {
        let name = |m, k| event_name(&event(m, k), &resource());
        let hash = java_hash("MissingJob Not FoundWarningFlinkDeploymentwordcountu-1") & 0x7FFF_FFFF;
        assert_eq!(name("Job Not Found", None), format!("Job.{hash}"));
        assert_eq!(name("x", Some("k")), name("y", Some("k")), "the key stands for the message");
        assert_ne!(name("x", None), name("y", None));
        let (_, n) = name("a long message that makes the sum negative now and then", None)
            .split_once('.')
            .map(|(c, n)| (c.to_owned(), n.parse::<u32>().unwrap()))
            .unwrap();
        assert!(n <= 0x7FFF_FFFF);
    }

    #[test]
    fn a_repeat_changes_count_time_and_message_only() {
        let t = |s| Timestamp::from_second(s).unwrap();
        let first = fresh("Job.1", &event("m", None), &resource(), t(10));
        assert_eq!(first["count"], 1);
        assert_eq!(first["firstTimestamp"], "1970-01-01T00:00:10Z");
        let mut told = event("n", None);
        told.annotations.insert("tm-id".into(), "tm-1".into());
        told.annotations.insert("no key".into(), "x".into());
        assert_eq!(
            repeated(&told, t(20), 2),
            json!({
                "count": 2, "message": "n", "lastTimestamp": "1970-01-01T00:00:20Z",
                "metadata": { "annotations": { "tm-id": "tm-1" } },
            })
        );
    }

    #[test]
    fn so_many_events_are_remembered_and_no_more() {
        let mut known = Known::default();
        for n in 0..=REMEMBERED_MAX {
            known.put(n.to_string(), Some(1));
            known.put(n.to_string(), Some(2));
        }
        assert_eq!((known.counts.len(), known.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert_eq!((known.counts.get("0"), known.counts.get("1")), (None, Some(&Some(2))));
    }

    #[test]
    fn annotation_keys() {
        for good in ["exception-timestamp", "tm-id", "failure-label-a.b_C", "x.y/z"] {
            assert!(is_valid_key(good), "{good}");
        }
        for bad in ["", "a b", "-a", "a-", "A.b/c", "/x", &"a".repeat(64)] {
            assert!(!is_valid_key(bad), "{bad}");
        }
    }
}
