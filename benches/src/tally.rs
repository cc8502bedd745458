//! Counts of requests, by kind: what the operator asked the API server and Flink for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_harness::world::World;
use drey_harness::world::gate::{OPERATOR_USER, is_write};
use drey_harness::world::network::CallRecord;
use fake_kube_apiserver::RequestRecord;

/// Requests of the operator so far. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tally {
    inner: Arc<Mutex<Requests>>,
}

/// Requests of a stretch of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// `update flinkdeployments/status` and so on; watches and the lists that begin them are left out.
    pub api: BTreeMap<String, u64>,
    pub writes: u64,
    /// `GET /v1/jobs/:id`.
    pub flink: BTreeMap<String, u64>,
}

impl Requests {
    pub fn api_requests(&self) -> u64 {
        self.api.values().sum()
    }

    pub fn flink_requests(&self) -> u64 {
        self.flink.values().sum()
    }
}

impl Tally {
    /// Counts from now on: the lists that begin a watch are over once the operator is up.
    pub fn of(world: &World) -> Tally {
        let tally = Tally::default();
        let ear = tally.clone();
        world.watcher.on_request(move |record| ear.hear(record));
        tally
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, record: &RequestRecord) {
        let info = &record.info;
        if !info.user.starts_with(OPERATOR_USER) || info.verb == "watch" {
            return;
        }
        let subresource =
            if info.subresource.is_empty() { String::new() } else { format!("/{}", info.subresource) };
        let mut requests = self.lock();
        *requests.api.entry(format!("{} {}{subresource}", info.verb, info.resource)).or_default() += 1;
        requests.writes += u64::from(is_write(info));
    }

    /// What was counted since the last call, with the calls to Flink of the same stretch.
    pub fn take(&self, calls: &[CallRecord]) -> Requests {
        let mut requests = std::mem::take(&mut *self.lock());
        for call in calls {
            *requests.flink.entry(format!("{} {}", call.method, shape(&call.path))).or_default() += 1;
        }
        requests
    }
}

/// A path with its ids replaced, so that calls of the same kind fall together.
fn shape(path: &str) -> String {
    let is_id = |part: &str| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(part) { ":id" } else { part }).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_one_kind_fall_together() {
        assert_eq!(shape("/v1/jobs/00000000000000000000000000000001/stop"), "/v1/jobs/:id/stop");
        assert_eq!(shape("/v1/jobs/overview"), "/v1/jobs/overview");
    }
}
