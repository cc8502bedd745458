//! A small run of an operator that is cut off from its product: what the failure text and all reporters are tested on.

use drey_language::events::{Event, Kind, Lane, Log};
use drey_language::failure::Failure;
use drey_language::matching::Mismatch;
use drey_language::report::{CaseReport, Outcome, RunReport, SkippedStep};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a timestamp")
}

fn at(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

fn object(state: Option<&str>, version: u64) -> Value {
    let mut object = json!({"kind": "FlinkDeployment", "metadata": {"name": "app", "resourceVersion": version.to_string()}, "spec": {"job": {"parallelism": 2}}});
    if let Some(state) = state {
        object["status"] = json!({"jobStatus": {"state": state}});
    }
    object
}

trait Change {
    /// What an actor made of an object; null stands for no object.
    fn change(self, actor: &str, verb: &str, old: Value, new: Value) -> Event;
}

impl Change for Event {
    fn change(self, actor: &str, verb: &str, old: Value, new: Value) -> Event {
        let state = |object: Value| (!object.is_null()).then(|| Arc::new(object));
        self.detail(json!({"actor": actor, "verb": verb})).states(state(old), state(new))
    }
}

/// The stream of a run in which the REST endpoint goes down and stays down.
pub fn events() -> Vec<Event> {
    let app = "FlinkDeployment/app";
    let mut log = Log::default();
    let step = |t, text: &str, line: u32| {
        Event::new(at(t), Lane::User, Kind::Step, text).detail(json!({"at": format!("scenario.yaml:{line}")}))
    };
    let apply = log.push(step(0, "apply app.yaml", 14));
    let created =
        log.push(
            Event::new(at(0), Lane::Api, Kind::Change, "created by user")
                .about(app)
                .because(Some(apply))
                .change("user", "apply", Value::Null, object(None, 1)),
        );
    let pass = |number: u64, t, trigger: &str, cause| {
        Event::new(at(t), Lane::Operator, Kind::Reconcile, format!("pass {number}: {trigger}"))
            .about(app)
            .because(cause)
            .detail(json!({"number": number, "trigger": trigger}))
    };
    let first = log.push(pass(1, 1, "watch FlinkDeployment/app ADDED", Some(created)));
    let deployment = log.push(
        Event::new(at(1), Lane::Api, Kind::Change, "created by operator")
            .about("Deployment/app")
            .because(Some(first))
            .change(
                "operator",
                "create",
                Value::Null,
                json!({"kind": "Deployment", "metadata": {"name": "app"}}),
            ),
    );
    let pod = log.push(
        Event::new(at(6), Lane::Kubelet, Kind::Process, "container started")
            .about("Pod/app-0")
            .because(Some(deployment)),
    );
    let second = log.push(pass(2, 7, "watch Deployment/app MODIFIED", Some(pod)));
    log.push(
        Event::new(at(7), Lane::Api, Kind::Change, "status updated by operator")
            .about(app)
            .because(Some(second))
            .change("operator", "update", object(None, 1), object(Some("CREATED"), 2)),
    );
    let fault =
        log.push(Event::new(at(40), Lane::Fault, Kind::FaultStarted, "jobmanager.rest.down begins").detail(
            json!({"name": "jobmanager.rest.down", "at": "scenario.yaml:17", "until": at(340).to_string()}),
        ));
    let third = log.push(pass(3, 41, "timer 15s", None));
    log.push(
        Event::new(at(41), Lane::Api, Kind::Change, "status updated by operator")
            .about(app)
            .because(Some(third))
            .change("operator", "update", object(Some("CREATED"), 2), object(Some("RECONCILING"), 3)),
    );
    for n in 0..5 {
        let t = 56 + 15 * n;
        let timer = log.push(pass(4 + n, t, "timer 15s", None));
        log.push(
            Event::new(at(t), Lane::Flink, Kind::Call, "GET /jobs/overview -> 503")
                .because(Some(timer))
                .detail(json!({"to": "flink", "method": "GET", "path": "/jobs/overview", "code": 503, "fault": fault})),
        );
    }
    log.push(
        Event::new(at(120), Lane::Check, Kind::CheckFailed, "eventually: not RUNNING within 2m").about(app),
    );
    log.into_events()
}

pub fn failure() -> Failure {
    Failure {
        check: "eventually".to_owned(),
        at: Some("scenario.yaml:21".to_owned()),
        object: Some("FlinkDeployment/app".to_owned()),
        expected: "status.jobStatus.state == RUNNING".to_owned(),
        within: Some(Duration::from_secs(120)),
        t: at(120),
        mismatches: vec![Mismatch {
            path: "status.jobStatus.state".to_owned(),
            expected: "\"RUNNING\"".to_owned(),
            actual: Some(json!("RECONCILING")),
        }],
        fields: vec!["status.jobStatus.state".to_owned()],
        note: String::new(),
        event: events().last().map(|e| e.seq),
    }
}

pub fn case(name: &str, outcome: Outcome, events: Vec<Event>) -> CaseReport {
    CaseReport {
        scenario: name.to_owned(),
        case: "upgradeMode=savepoint,flink=1.20".to_owned(),
        file: format!("scenarios/{name}.yaml"),
        description: "The job keeps its state although the REST endpoint <goes> away & comes back."
            .to_owned(),
        tags: vec!["upgrade".to_owned()],
        bugs: vec!["FLINK-35857".to_owned()],
        mode: "virtual".to_owned(),
        seed: 0x51f3,
        replay: format!(
            "drey run scenarios/{name}.yaml --seed 0x51f3 --case upgradeMode=savepoint,flink=1.20"
        ),
        start: start(),
        elapsed: Duration::from_secs(120),
        wall: Duration::from_millis(12),
        outcome,
        skipped_steps: Vec::new(),
        events,
        events_dropped: 0,
    }
}

/// One case of each outcome.
pub fn run() -> RunReport {
    let failed = case("rest-down", Outcome::Failed { failures: vec![failure()] }, events());
    let mut passed = case("happy-path", Outcome::Passed, events().into_iter().take(7).collect());
    passed.skipped_steps.push(SkippedStep {
        step: "jumpClock operator".to_owned(),
        at: "scenarios/happy-path.yaml:9".to_owned(),
        reason: "only in virtual time".to_owned(),
    });
    let mut skipped =
        case("needs-cluster", Outcome::Skipped { reason: "runs in mode cluster".to_owned() }, Vec::new());
    skipped.case = "default".to_owned();
    let broken =
        case("no-port", Outcome::Broken { error: "failed to bind 127.0.0.1:0".to_owned() }, Vec::new());
    RunReport {
        title: "scenarios/".to_owned(),
        cases: vec![failed, passed, skipped, broken],
        wall: Duration::from_millis(48),
    }
}
