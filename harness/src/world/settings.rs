//! What a world is made with: the `world:` part of a scenario, every delay a knob with a realistic default.

use std::collections::BTreeMap;
use std::time::Duration;

use drey_language::scenario::{Arg, ArgValue};
use drey_language::vocabulary::{Shape, Type};
use fake_flink::ModelKnobs;
use fake_kube::{Delay, Knobs, NodeSpec};
use jiff::SignedDuration;

#[derive(Clone, Debug)]
pub struct WorldSettings {
    pub operator: OperatorSettings,
    pub kubelet: Knobs,
    pub flink: ModelKnobs,
    pub task_manager_startup: Duration,
    /// One way of each request of the operator, to the API server and to Flink.
    pub api_latency: Duration,
    pub flink_latency: Duration,
}

#[derive(Clone, Debug)]
pub struct OperatorSettings {
    pub replicas: u32,
    pub has_leader_election: bool,
    pub config: BTreeMap<String, String>,
}

impl WorldSettings {
    /// The world a scenario gets that says nothing: one operator, one node, times of a small real cluster.
    pub fn usual(seed: u64) -> WorldSettings {
        let kubelet = Knobs { seed, nodes: vec![node()], ..Knobs::default() };
        WorldSettings {
            operator: OperatorSettings { replicas: 1, has_leader_election: false, config: BTreeMap::new() },
            kubelet,
            flink: ModelKnobs::default(),
            task_manager_startup: Duration::from_millis(1500),
            api_latency: Duration::from_millis(2),
            flink_latency: Duration::from_millis(1),
        }
    }

    /// As the scenario says. The vocabulary has checked every name and type already.
    pub fn from_scenario(world: &Arg, seed: u64) -> WorldSettings {
        let mut settings = WorldSettings::usual(seed);
        if world.at("flink.instant").is_some_and(is_true) {
            settings.flink = ModelKnobs::instant();
            settings.task_manager_startup = Duration::ZERO;
        }
        if world.at("kubelet.instant").is_some_and(is_true) {
            settings.kubelet = Knobs { seed, nodes: settings.kubelet.nodes, ..Knobs::instant() };
        }
        settings.read_operator(world);
        settings.read_kubelet(world);
        settings.read_flink(world);
        set_duration(&mut settings.api_latency, world, "latency.api");
        set_duration(&mut settings.flink_latency, world, "latency.flink");
        settings
    }

    fn read_operator(&mut self, world: &Arg) {
        let Some(operator) = world.get("operator") else { return };
        self.operator.replicas = operator.opt_int("replicas").map_or(1, |n| u32::try_from(n).unwrap_or(1));
        self.operator.has_leader_election =
            operator.opt_flag("leaderElection").unwrap_or(self.operator.replicas > 1);
        if let Some(config) = operator.get("config").map(Arg::to_json) {
            let entries = config.as_object().into_iter().flatten();
            let text =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.operator.config = entries.map(|(key, value)| (key.clone(), text(value))).collect();
        }
    }

    fn read_kubelet(&mut self, world: &Arg) {
        let Some(kubelet) = world.get("kubelet") else { return };
        let knobs = &mut self.kubelet;
        for (key, knob) in [
            ("schedule", &mut knobs.pod_schedule),
            ("imagePull", &mut knobs.image_pull),
            ("containerStart", &mut knobs.container_start),
            ("termination", &mut knobs.termination),
            ("gc", &mut knobs.gc),
        ] {
            if let Some(delay) = kubelet.get(key).and_then(delay) {
                *knob = delay;
            }
        }
    }

    fn read_flink(&mut self, world: &Arg) {
        let Some(flink) = world.get("flink") else { return };
        let knobs = &mut self.flink;
        for (key, knob) in [
            ("restUp", &mut knobs.rest_up),
            ("leaderReady", &mut knobs.leader_ready),
            ("mainMethod", &mut knobs.main_method),
            ("jobInit", &mut knobs.job_init),
            ("schedule", &mut knobs.schedule),
            ("deploy", &mut knobs.deploy),
            ("restoreState", &mut knobs.restore_state),
            ("cancel", &mut knobs.cancel),
            ("finish", &mut knobs.finish),
            ("checkpoint", &mut knobs.checkpoint),
            ("savepoint", &mut knobs.savepoint),
            ("stop", &mut knobs.stop),
            ("disposal", &mut knobs.disposal),
            ("shutdown", &mut knobs.shutdown),
        ] {
            if let Some(delay) = flink.get(key).and_then(delay) {
                *knob = to_flink(delay);
            }
        }
        set_duration(&mut self.task_manager_startup, world, "flink.taskManagerStart");
    }

    pub fn task_manager_startup(&self) -> SignedDuration {
        SignedDuration::try_from(self.task_manager_startup).unwrap_or(SignedDuration::ZERO)
    }
}

/// A node that takes every pod of the manifests users write, taints and affinity included.
fn node() -> NodeSpec {
    NodeSpec { labels: vec![("cfk-cr".to_owned(), "flink".to_owned())], ..NodeSpec::default() }
}

/// What may stand below `world:`.
pub fn shape() -> Shape {
    let text = "how long it takes";
    let operator = Shape::new()
        .optional(
            "replicas",
            Type::Int { min: 0, max: 5 },
            "operator processes; more than one elect a leader",
        )
        .optional(
            "leaderElection",
            Type::Bool,
            "whether a lease is taken; on with several replicas unless said",
        )
        .optional(
            "config",
            Type::map(Type::Scalar),
            "operator configuration, `kubernetes.operator.*` and Flink defaults",
        );
    let kubelet = ["schedule", "imagePull", "containerStart", "termination", "gc"]
        .into_iter()
        .fold(Shape::new(), |shape, key| shape.optional(key, delay_type(), text))
        .optional("instant", Type::Bool, "all of these take no time");
    let flink_keys = [
        "restUp",
        "leaderReady",
        "mainMethod",
        "jobInit",
        "schedule",
        "deploy",
        "restoreState",
        "cancel",
        "finish",
        "checkpoint",
        "savepoint",
        "stop",
        "disposal",
        "shutdown",
    ];
    let flink = flink_keys
        .into_iter()
        .fold(Shape::new(), |shape, key| shape.optional(key, delay_type(), text))
        .optional("taskManagerStart", Type::Duration, "TaskManager container running until it registers")
        .optional("instant", Type::Bool, "all of these take no time");
    let latency = Shape::new()
        .optional("api", Type::Duration, "one request of the operator to the API server")
        .optional("flink", Type::Duration, "one request of the operator to Flink");
    Shape::new()
        .optional("operator", operator, "the operator under test")
        .optional("kubelet", kubelet, "delays of scheduler and kubelet")
        .optional("flink", flink, "delays of JobManager and TaskManagers")
        .optional("latency", latency, "delays of the network")
}

fn delay_type() -> Type {
    let uniform =
        Shape::new().required("uniform", Type::list(Type::Duration), "the shortest and the longest");
    let lognormal = Shape::new().required(
        "lognormal",
        Shape::new().required("median", Type::Duration, "half of them take less").required(
            "sigma",
            Type::Number { min: 0.0, max: 3.0 },
            "spread of the logarithm",
        ),
        "many short ones and a few long ones",
    );
    let either = Shape::new()
        .optional("uniform", uniform.keys[0].ty.clone(), "the shortest and the longest")
        .optional("lognormal", lognormal.keys[0].ty.clone(), "many short ones and a few long ones")
        .exactly_one(&["uniform", "lognormal"]);
    Type::OneOf(vec![Type::Duration, either.into()])
}

fn delay(arg: &Arg) -> Option<Delay> {
    if let Some(fixed) = arg.as_duration() {
        return Some(Delay::Fixed(fixed));
    }
    if let Some(bounds) = arg.opt_list("uniform") {
        let bounds: Vec<Duration> = bounds.iter().filter_map(Arg::as_duration).collect();
        let (min, max) = (bounds.first().copied()?, bounds.last().copied()?);
        return Some(Delay::Uniform { min: min.min(max), max: max.max(min) });
    }
    let lognormal = arg.get("lognormal")?;
    let (median, sigma) = (lognormal.opt_duration("median")?, number(lognormal.get("sigma")?)?);
    // Three sigmas: beyond that a run is about the tail and not about the scenario.
    Some(Delay::LogNormal { median, sigma, max: median.mul_f64((3.0 * sigma).exp()) })
}

fn number(arg: &Arg) -> Option<f64> {
    match arg.value {
        ArgValue::Number(number) => Some(number),
        ArgValue::Int(number) => Some(number as f64),
        _ => None,
    }
}

fn to_flink(delay: Delay) -> fake_flink::Delay {
    match delay {
        Delay::Fixed(fixed) => fake_flink::Delay::Fixed(fixed),
        Delay::Uniform { min, max } => fake_flink::Delay::Uniform(min, max),
        Delay::LogNormal { median, sigma, .. } => fake_flink::Delay::LogNormal { median, sigma },
    }
}

fn set_duration(slot: &mut Duration, world: &Arg, path: &str) {
    if let Some(duration) = world.at(path).and_then(Arg::as_duration) {
        *slot = duration;
    }
}

fn is_true(arg: &Arg) -> bool {
    matches!(arg.value, ArgValue::Bool(true))
}
