//! The recorded cases that need controllers, in process and in virtual time: what kube-controller-manager 1.35.3
//! did, our controllers must do. Scheduler and kubelet are off, for the cases play them (`no-kubelet`).

use std::path::Path;
use std::sync::Arc;

use fake_kube::{Cluster, Controller, Knobs, Shell};
use fake_kube_apiserver::conformance::{
    Reply, Sent, Start, Topic, Transport, install, load, local::Local, run,
};
use jiff::SignedDuration;

/// What the API server's admission does not do yet; a case that passes must leave this list.
pub const KNOWN_FAILURES: &[(&str, &str)] = &[];

/// Topics whose cases need controllers.
pub const TOPICS: [&str; 2] = ["workloads", "gc"];

fn topics(names: &[&str]) -> (Vec<Topic>, Vec<fake_kube_apiserver::conformance::Fixture>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut topics, fixtures) = load(&folder).expect("the recorded cases");
    topics.retain(|t| names.contains(&t.name.as_str()));
    assert_eq!(topics.len(), names.len(), "all topics are there");
    (topics, fixtures)
}

/// A server with controllers: after each request, and while time passes, everything due is done.
struct WithControllers {
    local: Local,
    cluster: Cluster,
}

impl WithControllers {
    fn new() -> WithControllers {
        let local = Local::new(1);
        let knobs = Knobs::default().without(&[Controller::Scheduler, Controller::Kubelet]);
        let cluster =
            Cluster::new(local.server.clone(), Arc::new(local.clock.clone()), knobs, Arc::new(Shell));
        cluster.settle();
        WithControllers { local, cluster }
    }
}

impl Transport for WithControllers {
    fn address(&self) -> String {
        self.local.address()
    }

    fn request(&mut self, sent: &Sent) -> Result<Reply, String> {
        let reply = self.local.request(sent);
        self.cluster.settle();
        reply
    }

    fn watch(&mut self, sent: &Sent) -> Result<Start, String> {
        self.local.watch(sent)
    }

    fn websocket(&mut self, sent: &Sent) -> Result<Start, String> {
        self.local.websocket(sent)
    }

    fn sleep(&mut self, seconds: f64) {
        let end = self.local.server.now() + SignedDuration::from_secs_f64(seconds);
        while let Some(due) = self.cluster.settle().filter(|t| *t < end) {
            self.local.clock.advance_to(due);
        }
        self.local.clock.advance_to(end);
        self.cluster.settle();
    }

    fn elapsed(&self) -> f64 {
        self.local.elapsed()
    }

    fn server_time(&self) -> i64 {
        self.local.server_time()
    }
}

#[test]
fn controllers_do_what_was_recorded() {
    let (topics, fixtures) = topics(&TOPICS);
    let mut transport = WithControllers::new();
    install(&mut transport, &fixtures).expect("fixtures");
    let (mut failed, mut ran) = (Vec::new(), 0);
    for case in topics.iter().flat_map(|t| &t.cases) {
        let outcome = run(case, &mut transport, &case.id);
        ran += 1;
        if !outcome.passed() {
            failed.push((case.id.clone(), outcome.problems));
        }
    }
    let known = |id: &str| KNOWN_FAILURES.iter().any(|(k, _)| *k == id);
    let news: Vec<String> =
        failed.iter().filter(|(id, _)| !known(id)).map(|(id, p)| format!("{id}: {}", p.join("\n"))).collect();
    assert!(news.is_empty(), "{}", news.join("\n\n"));
    let stale: Vec<&str> =
        KNOWN_FAILURES.iter().map(|(id, _)| *id).filter(|id| !failed.iter().any(|(f, _)| f == id)).collect();
    assert!(stale.is_empty(), "these pass now, take them off KNOWN_FAILURES: {stale:?}");
    assert!(ran >= 21, "only {ran} cases ran");
}
