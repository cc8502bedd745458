//! Publishes core v1 Events under the names the Java operator gives them (reconciler.md 7.1), so that both bump
//! the same object and `kubectl get events` reads the same. What to say is decided elsewhere.

use std::collections::BTreeMap;

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

/// Publishes one event, new or repeated. 403 and races with other writers are not worth failing for.
pub(crate) async fn publish(
    api: &Api,
    resource: &FlinkDeployment,
    event: &Event,
    now: Timestamp,
) -> Result<(), ApiError> {
    let name = event_name(event, resource);
    let place = Place::new("v1", "events", resource.namespace());
    // Most events are new, and of a `once` event nothing more is needed: created first, read only when it is there.
    let result = match api.create(&place, &fresh(&name, event, resource, now)).await {
        Err(e) if e.is_already_exists() && event.once => return Ok(()),
        Err(e) if e.is_already_exists() => match api.get(&place, &name).await {
            Ok(stored) => api.replace(&place, &name, &repeated(stored, event, now)).await,
            Err(e) => Err(e),
        },
        result => result,
    };
    match result {
        Ok(_) => Ok(()),
        Err(e) if e.is_forbidden() || e.is_conflict() || e.is_not_found() => {
            tracing::warn!(event = name, reason = event.reason, error = %e, "leave out an event");
            Ok(())
        }
        Err(e) => Err(e),
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

fn repeated(mut stored: Value, event: &Event, now: Timestamp) -> Value {
    let count = stored["count"].as_i64().unwrap_or(0);
    stored["count"] = json!(count.saturating_add(1).min(i64::from(i32::MAX)));
    stored["lastTimestamp"] = json!(seconds(now));
    stored["message"] = json!(event.message);
    stored
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
        let second = repeated(first.clone(), &event("n", None), t(20));
        assert_eq!(second["count"], 2);
        assert_eq!(second["message"], "n");
        assert_eq!(second["firstTimestamp"], first["firstTimestamp"]);
        assert_eq!(second["lastTimestamp"], "1970-01-01T00:00:20Z");
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
