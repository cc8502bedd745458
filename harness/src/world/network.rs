//! The operator's way to Flink inside the simulated cluster: service name, ready endpoint, process; with faults.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drey_language::events::{Kind, Lane};
use drey_operator::flink::{FlinkTransport, Target, TransportError, Unanswered};
use fake_flink::Pace;
use fake_kube::{Cluster, DialError};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;

use super::budget::{Active, Budget, Rules};
use super::clock::ScenarioClock;
use super::journal::Journal;

/// One fault of the network or of the REST server.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `namespace/cluster`.
    pub cluster: String,
    /// Path prefix below an optional `/v1`; `:x` stands for one segment. Empty matches all.
    pub path: String,
    pub method: Option<http::Method>,
    pub effect: Effect,
}

#[derive(Clone, Debug)]
pub enum Effect {
    Slow(Duration),
    /// Nothing listens.
    Refuse,
    /// Accepted and never answered.
    Hang,
    Respond {
        code: u16,
        body: String,
    },
    /// Carried out, the answer never arrives.
    LoseReply,
}

/// One call as it ended.
#[derive(Clone, Debug)]
pub struct CallRecord {
    pub at: Timestamp,
    pub cluster: String,
    pub method: String,
    pub path: String,
    /// HTTP status; 0 when there was no answer.
    pub code: u16,
}

#[derive(Clone)]
pub struct Network {
    cluster: Cluster,
    clock: ScenarioClock,
    journal: Journal,
    latency: Duration,
    /// Carries requests instead of the straight call into the simulated process.
    carrier: Option<Arc<dyn FlinkTransport>>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    rules: Rules<Rule>,
    calls: Vec<CallRecord>,
}

impl Network {
    pub fn new(cluster: Cluster, clock: ScenarioClock, journal: Journal, latency: Duration) -> Network {
        Network { cluster, clock, journal, latency, carrier: None, inner: Arc::default() }
    }

    /// Requests travel this way, past the same faults and into the same record.
    pub fn through(self, carrier: Arc<dyn FlinkTransport>) -> Network {
        Network { carrier: Some(carrier), ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, budget: Budget, rule: Rule) {
        self.lock().rules.add(budget, rule);
    }

    /// Ends the rules of that name; all without a name.
    pub fn clear(&self, name: Option<&str>) {
        self.lock().rules.clear(name);
    }

    pub fn active(&self) -> Vec<Active> {
        let now = self.clock.now();
        self.lock().rules.active(now)
    }

    /// Calls to Flink so far, oldest first.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.lock().calls.clone()
    }

    /// Looks at the calls so far without copying them: judges do, at every step of a run.
    pub fn with_calls<T>(&self, look: impl FnOnce(&[CallRecord]) -> T) -> T {
        look(&self.lock().calls)
    }

    pub fn call_count(&self) -> usize {
        self.lock().calls.len()
    }

    fn fault(&self, cluster: &str, request: &http::Request<Bytes>) -> Option<(Budget, Effect)> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let struck = inner.rules.strike(now, |rule| rule.matches(cluster, request));
        struck.map(|(budget, rule)| (budget.clone(), rule.effect.clone()))
    }

    async fn carry(
        &self,
        target: Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let cluster = cluster_of(&target);
        let fault = self.fault(&cluster, &request);
        if let Some((budget, _)) = &fault {
            let text = format!("{}: {} {}", budget.name, request.method(), request.uri().path());
            let event = self.journal.event(Lane::Fault, Kind::FaultHit, text).because(Some(budget.seq));
            self.journal.push(event.detail(json!({"fault": budget.seq})));
        }
        self.clock.sleep(self.latency).await;
        match fault.map(|(_, effect)| effect) {
            None => self.dial(&target, request, timeout).await,
            Some(Effect::Slow(by)) => {
                self.clock.sleep(by).await;
                self.dial(&target, request, timeout).await
            }
            Some(Effect::Refuse) => {
                Err(TransportError::new(Unanswered::Refused, &target, "injected by the scenario"))
            }
            Some(Effect::Hang) => std::future::pending().await,
            Some(Effect::Respond { code, body }) => {
                let response = http::Response::builder().status(code).body(Bytes::from(body));
                Ok(response.expect("the vocabulary lets only valid status codes pass"))
            }
            Some(Effect::LoseReply) => {
                let _ = self.dial(&target, request, timeout).await;
                std::future::pending().await
            }
        }
    }

    async fn dial(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        if let Some(carrier) = &self.carrier {
            return carrier.call(target, request, timeout).await;
        }
        let failed = |why, detail| Err(TransportError::new(why, target, detail));
        let response = match self.cluster.dial(&target.host(), target.port, request) {
            Ok(response) => response,
            Err(DialError::NoSuchHost) => return failed(Unanswered::Dns, "no such service"),
            Err(DialError::Refused) => return failed(Unanswered::Refused, "connection refused"),
            // Packets go nowhere: only the caller's timeout ends this.
            Err(DialError::Unreachable) => return std::future::pending().await,
        };
        match response.extensions().get::<Pace>().copied() {
            Some(Pace::Lost) => failed(Unanswered::Reset, "connection closed before the answer"),
            Some(Pace::Delayed(by)) => {
                self.clock.sleep(by).await;
                Ok(response)
            }
            None => Ok(response),
        }
    }

    pub(crate) fn record(&self, target: &Target, method: &str, path: &str, code: u16) {
        let at = self.clock.now();
        let cluster = cluster_of(target);
        let object = format!("FlinkDeployment/{}", cluster.rsplit('/').next().unwrap_or_default());
        let event =
            self.journal.event(Lane::Operator, Kind::Call, format!("{method} {path} -> {}", shown(code)));
        let detail = json!({"to": "flink", "method": method, "path": path, "code": code,
            // Looking is routine; doing, and being refused, is the story.
            "quiet": method == "GET" && (200..400).contains(&code)});
        self.journal.push(event.about(object).detail(detail));
        self.lock().calls.push(CallRecord {
            at,
            cluster,
            method: method.to_owned(),
            path: path.to_owned(),
            code,
        });
    }
}

impl FlinkTransport for Network {
    fn call(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<http::Response<Bytes>, TransportError>> {
        let (network, target) = (self.clone(), target.clone());
        Box::pin(async move {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let answer = tokio::time::timeout(timeout, network.carry(target.clone(), request, timeout)).await;
            let answer = answer.unwrap_or_else(|_| {
                Err(TransportError::new(Unanswered::Timeout, &target, "no answer in time"))
            });
            network.record(
                &target,
                &method,
                &path,
                answer.as_ref().map_or(0, |response| response.status().as_u16()),
            );
            answer
        })
    }
}

impl Rule {
    fn matches(&self, cluster: &str, request: &http::Request<Bytes>) -> bool {
        let path = request.uri().path();
        let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        self.cluster == cluster
            && self.method.as_ref().is_none_or(|method| method == request.method())
            && path_fits(&self.path, path)
    }
}

/// Segment by segment: `:x` fits any one, the pattern may end before the path does.
pub fn path_fits(pattern: &str, path: &str) -> bool {
    let segments = |text: &str| -> Vec<String> {
        text.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    };
    let (pattern, path) = (segments(pattern), segments(path));
    pattern.len() <= path.len()
        && pattern.iter().zip(&path).all(|(want, have)| want.starts_with(':') || want == "*" || want == have)
}

fn cluster_of(target: &Target) -> String {
    let name = target.service.strip_suffix("-rest").unwrap_or(&target.service);
    format!("{}/{name}", target.namespace)
}

fn shown(code: u16) -> String {
    if code == 0 { "no answer".to_owned() } else { code.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_patterns() {
        for (pattern, path, expected) in [
            ("", "/jobs/1", true),
            ("/jobs/:id/savepoints", "/jobs/1/savepoints", true),
            ("/jobs/:id/savepoints", "/jobs/1/savepoints/2", true),
            ("/jobs/overview", "/jobs/1", false),
            ("/jobs/:id/stop", "/jobs/1", false),
        ] {
            assert_eq!(path_fits(pattern, path), expected, "{pattern} on {path}");
        }
    }
}
