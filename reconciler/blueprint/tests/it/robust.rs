//! Whatever a user writes is answered, never with a panic: seeded random texts through every parser.

use drey_api::{FlinkDeployment, FlinkVersion, ReconciledSpec};
use drey_blueprint::config::{
    OperatorConfig, duration_text, effective, parse_duration, parse_legacy, parse_memory,
    parse_process_memory, parse_quantity, parse_standard,
};
use drey_blueprint::cron::Cron;
use drey_blueprint::ingress::ingress_host_and_path;
use drey_blueprint::objects::{DeployOptions, application_cluster};
use drey_blueprint::schedule::Schedule;
use drey_blueprint::validate::flink_deployment;
use serde_json::{Value, json};

/// A small generator; the quality of the numbers does not matter, their sameness on every run does.
struct Texts(u64);

impl Texts {
    fn number(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn text(&mut self, pieces: &[&str]) -> String {
        let length = self.number(9);
        (0..length).map(|_| pieces[self.number(pieces.len())]).collect()
    }
}

const PIECES: [&str; 40] = [
    "0",
    "1",
    "7",
    "59",
    "99",
    "31",
    "9999999999999999999999",
    ".",
    "-",
    "+",
    "/",
    "*",
    "?",
    "#",
    ",",
    " ",
    "L",
    "W",
    "P",
    "T",
    "M",
    "h",
    "ms",
    "d",
    "Gi",
    "g",
    "e",
    "MON",
    "FEB",
    "{{name}}",
    "{{",
    ":",
    ";",
    "'",
    "\"",
    "[",
    "{",
    "é",
    "\n",
    "http://",
];

#[test]
fn parsers_answer_every_text() {
    let mut texts = Texts(7);
    let moment = "2026-01-31T23:59:59Z".parse().unwrap();
    for _ in 0..20_000 {
        let text = texts.text(&PIECES);
        if let Ok(duration) = parse_duration(&text) {
            assert_eq!(parse_duration(&duration_text(duration)), Ok(duration), "{text:?}");
        }
        let _ = (parse_memory(&text), parse_process_memory(&text), parse_quantity(&text).map(|q| q.whole()));
        let _ = (parse_standard(&text).is_ok(), parse_legacy(&text));
        let _ = ingress_host_and_path(&text, "app", "ns");
        let _ = ReconciledSpec::<drey_api::FlinkDeploymentSpec>::parse(&text).is_ok();
        let cron = Cron::parse(&format!("0 {text} * * * ?"));
        let next = cron.ok().and_then(|cron| cron.next_after(moment));
        assert!(next.is_none_or(|next| next > moment), "{text:?}");
        let _ = Schedule::parse(&text).map(|schedule| schedule.next_after(jiff::Timestamp::MAX));
    }
}

/// Any value in any field of the spec: it does not read, or is refused, or leads to objects.
#[test]
fn deployments_answer_every_value() {
    let mut texts = Texts(11);
    let operator = OperatorConfig::default();
    let mut built = 0;
    for round in 0..3_000 {
        let mut cr = drey_testkit::flink_deployment("app").last_state().with_ha().build();
        if round % 2 == 0 {
            cr.spec.flink_version = Some(FlinkVersion::V2_1);
        }
        let key = &drey_blueprint::config::keys::ALL[texts.number(drey_blueprint::config::keys::ALL.len())];
        cr.spec.flink_configuration.set(key.name, texts.text(&PIECES));
        let mut document = serde_json::to_value(&cr).unwrap();
        let paths = [
            "/spec/job/parallelism",
            "/spec/job/args",
            "/spec/podTemplate",
            "/spec/jobManager/podTemplate",
            "/spec/jobManager/resource/memory",
            "/spec/jobManager/resources",
            "/spec/taskManager",
            "/spec/image",
        ];
        document["spec"]["podTemplate"] =
            json!({"spec": {"containers": null, "volumes": [1], "hostNetwork": "x"}});
        document["spec"]["jobManager"]["podTemplate"] =
            json!({"spec": {"containers": ["text"]}, "metadata": 7});
        document["spec"]["jobManager"]["resources"] =
            json!({"requests": {"memory": texts.text(&PIECES), "x": true}});
        let values =
            [json!(null), json!(-1), json!(1e308), json!(texts.text(&PIECES)), json!([null, "a"]), json!({})];
        if let Some(place) = document.pointer_mut(paths[texts.number(paths.len())]) {
            *place = values[texts.number(values.len())].clone();
        }
        built += usize::from(carry_through(document, &operator));
    }
    assert!(built > 100, "only {built} documents led to objects");
}

/// Whether the document led to objects. Objects are built even of what validation refuses: it may be recorded.
fn carry_through(document: Value, operator: &OperatorConfig) -> bool {
    let Ok(cr) = serde_json::from_value::<FlinkDeployment>(document) else { return false };
    let valid = flink_deployment(&cr, None, operator).is_ok();
    let conf = effective::deploy(operator, &cr, &cr.spec);
    let options = DeployOptions { job_id: "0".repeat(32), ..DeployOptions::default() };
    let objects = application_cluster(&cr, &cr.spec, &conf, &options);
    assert!(!valid || objects.is_ok(), "valid and without objects: {}", objects.unwrap_err());
    objects.is_ok_and(|objects| objects.dependents("uid").len() >= 2)
}
