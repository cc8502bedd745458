//! What is counted, and the health of the operator, from what it tells its observer. `text` is what a scrape gets.
//!
//! Names that the Java operator has too (reconciler.md 7.6) are spelt as its Prometheus reporter spells them, so
//! dashboards keep working; what it has no name for begins with `drey_`. Requests of watches are not counted.

mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drey_api::{FlinkDeploymentStatus, JobManagerDeploymentStatus, LifecycleState};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::clock::{Clock, after, until};
use crate::durations::Durations;
use crate::observer::{Lifecycle, Outcome, Pass, PassObserver, Request};
use crate::queue::Key;

/// A watch that has been failing for this long makes the operator unhealthy.
const WATCH_FAILS_MAX: Duration = Duration::from_secs(60);
/// `kubernetes.operator.kubernetes.client.metrics.slow.request.threshold`
const SLOW: Duration = Duration::from_secs(5);
/// Failing watches try again within 30 s (kube-runtime); no error for longer means that one got through.
const WATCH_QUIET: Duration = Duration::from_secs(45);

type Labels = Vec<(&'static str, String)>;

/// What is counted in gauges of each resource.
#[derive(Debug, Clone, PartialEq)]
struct Snapshot {
    lifecycle: String,
    job_manager: String,
    flink_version: String,
    /// `total-cpu` and `total-memory` of `clusterInfo`, while there is a JobManager.
    cpu: f64,
    memory: i64,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Timestamp,
    last: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    resources: BTreeMap<Key, Snapshot>,
    failing: BTreeMap<(&'static str, String), Failing>,
    leads: bool,
    durations: Durations,
    /// By the name under `KubeClient`.
    kube: BTreeMap<String, i64>,
}

/// Counts everything; an observer like any other.
pub struct Metrics {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    passes: Family<Labels, Counter>,
    pass_seconds: Histogram,
    requests: Family<Labels, Counter>,
    watch_failures: Family<Labels, Counter>,
}

impl Metrics {
    pub fn new(clock: Arc<dyn Clock>) -> Metrics {
        Metrics {
            clock,
            state: Mutex::default(),
            passes: Family::default(),
            pass_seconds: Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
            requests: Family::default(),
            watch_failures: Family::default(),
        }
    }

    /// `Err` says why an operator should be restarted. Waiting for the lease is healthy.
    pub fn health(&self) -> Result<(), String> {
        let now = self.clock.now();
        let state = self.state.lock().expect("nothing panics while holding the metrics");
        for ((kind, scope), failing) in &state.failing {
            let still = now < after(failing.last, WATCH_QUIET);
            let long = until(failing.since, now) >= WATCH_FAILS_MAX;
            if still && long {
                let scope = if scope.is_empty() { "all namespaces" } else { scope };
                return Err(format!(
                    "the watch of {kind} in {scope} has been failing since {}",
                    failing.since
                ));
            }
        }
        Ok(())
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().expect("nothing panics while holding the metrics"))
    }
}

impl PassObserver for Metrics {
    fn pass(&self, pass: &Pass<'_>) {
        let outcome = match pass.outcome {
            Outcome::Done => "done",
            Outcome::Failed { .. } => "failed",
        };
        self.passes.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
        self.pass_seconds.observe(until(pass.started, pass.ended).as_secs_f64());
        let counts = pass.counts;
        let requests = [
            ("kubernetes", "read", counts.api_reads),
            ("kubernetes", "write", counts.api_writes),
            ("flink", "any", counts.flink_requests),
        ];
        for (peer, kind, n) in requests {
            let labels = vec![("peer", peer.to_owned()), ("kind", kind.to_owned())];
            self.requests.get_or_create(&labels).inc_by(u64::from(n));
        }
        let status = &pass.decision.status;
        let version = pass.observation.resource.spec.flink_version;
        let snapshot = Snapshot {
            lifecycle: status.lifecycle_state.map_or("CREATED".to_owned(), name_of),
            job_manager: name_of(status.job_manager_deployment_status),
            flink_version: version.map_or("UNKNOWN".to_owned(), |v| v.to_string()),
            cpu: used(status, "total-cpu"),
            memory: used(status, "total-memory"),
        };
        self.with(|s| {
            s.resources.insert(pass.key.clone(), snapshot);
            let state = status.lifecycle_state.unwrap_or(LifecycleState::Created);
            s.durations.observe(pass.key, state, pass.started, pass.ended);
        });
    }

    fn request(&self, request: &Request) {
        let mut names = vec!["HttpRequest_Count".to_owned(), format!("HttpRequest_{}_Count", request.method)];
        match request.code {
            Some(code) => {
                names.extend(["HttpResponse_Count".to_owned(), format!("HttpResponse_{code}_Count")]);
            }
            None => names.push("HttpRequest_Failed_Count".to_owned()),
        }
        if request.took > SLOW {
            names.push("HttpRequest_Slow_Count".to_owned());
        }
        self.with(|s| {
            for name in names {
                *s.kube.entry(name).or_default() += 1;
            }
        });
    }

    fn lifecycle(&self, event: &Lifecycle) {
        let now = self.clock.now();
        match event {
            Lifecycle::Started => self.with(|s| {
                s.leads = true;
                s.failing.clear();
            }),
            Lifecycle::LostLease { .. } | Lifecycle::Stopped => self.with(|s| *s = State::default()),
            Lifecycle::WatchSynced { kind, scope } => self.with(|s| {
                s.failing.remove(&(*kind, scope.clone()));
            }),
            Lifecycle::WatchFailed { kind, scope, .. } => {
                self.watch_failures.get_or_create(&vec![("kind", (*kind).to_owned())]).inc();
                self.with(|s| {
                    let fresh = Failing { since: now, last: now };
                    let failing = s.failing.entry((*kind, scope.clone())).or_insert(fresh);
                    if now >= after(failing.last, WATCH_QUIET) {
                        *failing = fresh;
                    }
                    failing.last = now;
                });
            }
            Lifecycle::Forgotten { key } => self.with(|s| {
                s.resources.remove(key);
                s.durations.forget(key);
            }),
        }
    }
}

/// What the cluster takes, as `clusterInfo` says; one that is down takes nothing.
fn used<T: std::str::FromStr + Default>(status: &FlinkDeploymentStatus, key: &str) -> T {
    let is_down = status.job_manager_deployment_status == JobManagerDeploymentStatus::Missing;
    let text = status.cluster_info.get(key).filter(|_| !is_down);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The wire name of an enumerated value.
fn name_of(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(_) | Err(_) => "UNKNOWN".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Second(AtomicI64);

    impl Clock for Second {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    /// Reports failures (`f`), a sync (`s`) or nothing at the given seconds and writes the health after each.
    fn check(events: &[(i64, char)], expected: &str) {
        let clock = Arc::new(Second::default());
        let metrics = Metrics::new(Arc::<Second>::clone(&clock));
        let mut seen = String::new();
        for (at, event) in events {
            clock.0.store(*at, Ordering::Relaxed);
            let (kind, scope) = ("Pod", "ns".to_owned());
            match event {
                'f' => metrics.lifecycle(&Lifecycle::WatchFailed { kind, scope, error: String::new() }),
                's' => metrics.lifecycle(&Lifecycle::WatchSynced { kind, scope }),
                _ => {}
            }
            seen.push(if metrics.health().is_ok() { '+' } else { '-' });
        }
        assert_eq!(seen, expected, "{events:?}");
    }

    #[test]
    fn a_watch_that_keeps_failing_is_unhealthy_until_it_is_heard_of_no_more() {
        check(&[(0, 'f'), (30, 'f'), (59, 'f'), (60, 'f'), (80, ' '), (105, ' ')], "+++--+");
        check(&[(0, 'f'), (60, 'f'), (90, 'f'), (100, 'f')], "++++");
        check(&[(0, 'f'), (30, 'f'), (60, 'f'), (61, 's'), (62, 'f')], "++-++");
    }

    #[test]
    fn text_is_complete_and_ends() {
        let metrics = Metrics::new(Arc::new(Second::default()));
        metrics.lifecycle(&Lifecycle::Started);
        metrics.with(|s| {
            for name in ["a", "b"] {
                let snapshot = Snapshot {
                    lifecycle: "STABLE".into(),
                    job_manager: "READY".into(),
                    flink_version: "v1_20".into(),
                    cpu: 1.5,
                    memory: 1024,
                };
                s.resources.insert(Key::new("ns", name), snapshot);
            }
        });
        let get = |code| Request { method: http::Method::GET, code, took: Duration::from_secs(6) };
        metrics.request(&get(Some(404)));
        metrics.request(&get(None));
        metrics.with(|s| {
            let (key, at) = (Key::new("ns", "a"), |second| Timestamp::from_second(second).unwrap());
            s.durations.observe(&key, LifecycleState::Deployed, at(0), at(0));
            s.durations.observe(&key, LifecycleState::Stable, at(7), at(8));
        });
        let text = metrics.text();
        for line in [
            "drey_leads 1",
            "flink_k8soperator_namespace_ResourceUsage_Cpu{resourcens=\"ns\",resourcetype=\"FlinkDeployment\"} 3.0",
            "flink_k8soperator_namespace_ResourceUsage_Memory{resourcens=\"ns\",resourcetype=\"FlinkDeployment\"} 2048",
            "flink_k8soperator_system_KubeClient_HttpRequest_Count 2",
            "flink_k8soperator_system_KubeClient_HttpRequest_GET_Count 2",
            "flink_k8soperator_system_KubeClient_HttpRequest_Failed_Count 1",
            "flink_k8soperator_system_KubeClient_HttpRequest_Slow_Count 2",
            "flink_k8soperator_system_KubeClient_HttpResponse_404_Count 1",
            "flink_k8soperator_namespace_Lifecycle_Transition_Stabilization_TimeSeconds{resourcens=\"ns\",resourcetype=\"FlinkDeployment\",quantile=\"0.5\"} 8.0",
            "flink_k8soperator_namespace_Lifecycle_State_DEPLOYED_TimeSeconds_count{resourcens=\"ns\",resourcetype=\"FlinkDeployment\"} 1",
            "flink_k8soperator_system_FlinkDeployment_Lifecycle_State_DEPLOYED_TimeSeconds{quantile=\"0.99\"} 8.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let line = "flink_k8soperator_namespace_Lifecycle_State_STABLE_Count{resourcens=\"ns\",resourcetype=\"FlinkDeployment\"} 2";
        assert!(text.contains(line), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
