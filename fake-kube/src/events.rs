//! The event recorder: same event again -> count and lastTimestamp, as client-go's EventCorrelator does.
//! Leaves out its similarity aggregation and spam filter; what is bounded is the memory of earlier events.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json::{fnv64a, stamp};
use crate::write::EventSpec;

const REMEMBERED_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub struct Recorder {
    known: BTreeMap<u64, Known>,
    order: VecDeque<u64>,
    seed: u64,
    made: u64,
}

#[derive(Clone, Debug)]
pub struct Known {
    pub name: String,
    pub count: i64,
}

/// How one event is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    New(Value),
    Again { name: String, patch: Value },
}

impl Recorder {
    pub fn new(seed: u64) -> Recorder {
        Recorder { seed, ..Recorder::default() }
    }

    pub fn record(&mut self, spec: &EventSpec, now: Timestamp) -> Record {
        let key = fingerprint(spec);
        if let Some(known) = self.known.get_mut(&key) {
            known.count += 1;
            let patch = json!({"count": known.count, "lastTimestamp": stamp(now)});
            return Record::Again { name: known.name.clone(), patch };
        }
        self.made += 1;
        let subject = spec.involved["name"].as_str().unwrap_or("");
        // Real names carry the nanosecond of the first occurrence; here it is a hash, for two events may share it.
        let unique = fnv64a(format!("{}/{}/{key}", self.seed, self.made).as_bytes());
        let name = format!("{subject}.{unique:016x}");
        self.known.insert(key, Known { name: name.clone(), count: 1 });
        self.order.push_back(key);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        Record::New(object(spec, &name, now))
    }

    /// The stored event went away (TTL, namespace): the next one is new again.
    pub fn forget(&mut self, spec: &EventSpec) {
        let key = fingerprint(spec);
        self.known.remove(&key);
        self.order.retain(|k| *k != key);
    }
}

fn fingerprint(spec: &EventSpec) -> u64 {
    let mut involved = spec.involved.clone();
    crate::json::remove(&mut involved, "/resourceVersion");
    let text =
        format!("{involved}|{}|{}|{}|{}", spec.kind.as_str(), spec.reason, spec.message, spec.component);
    fnv64a(text.as_bytes())
}

fn object(spec: &EventSpec, name: &str, now: Timestamp) -> Value {
    let mut source = json!({"component": spec.component});
    if let Some(host) = &spec.host {
        source["host"] = host.as_str().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": spec.namespace()},
        "involvedObject": spec.involved, "reason": spec.reason, "message": spec.message, "source": source,
        "firstTimestamp": stamp(now), "lastTimestamp": stamp(now), "count": 1, "type": spec.kind.as_str(),
        "eventTime": null, "reportingComponent": spec.component,
        "reportingInstance": spec.host.as_deref().unwrap_or(""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_count() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let mut r = Recorder::new(1);
        let spec = EventSpec::normal(&pod, "kubelet", "Pulled", "done".into());
        let t = Timestamp::UNIX_EPOCH;
        let Record::New(first) = r.record(&spec, t) else { panic!("new") };
        let Record::Again { name, patch } = r.record(&spec, t) else { panic!("again") };
        assert_eq!(first["metadata"]["name"], name.as_str());
        assert_eq!(patch["count"], 2);
        let other = EventSpec::normal(&pod, "kubelet", "Pulled", "else".into());
        assert!(matches!(r.record(&other, t), Record::New(_)));
        r.forget(&spec);
        assert!(matches!(r.record(&spec, t), Record::New(_)));
    }
}
