//! Product words as a harness registers them: the language is tested with the faults of a Flink world although it
//! knows nothing of them.

use drey_language::Vocabulary;
use drey_language::vocabulary::{Shape, StepKind, StepSchema, Type};
use serde_json::Value;

pub fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::core();
    vocabulary.add_kinds(["FlinkDeployment", "FlinkSessionJob", "FlinkStateSnapshot"]);
    vocabulary.add_servers(["flink"]);
    words().into_iter().for_each(|word| vocabulary.add(word));
    vocabulary.set_world(
        Shape::new()
            .optional(
                "operator",
                Shape::new().optional("replicas", Type::at_least_one(), "instances").optional(
                    "config",
                    Type::map(Type::Scalar),
                    "settings",
                ),
                "the operator",
            )
            .optional("kubelet", Type::map(Type::Any), "delays"),
    );
    let environment = vocabulary.environment_mut();
    environment.variable("flink", "the Flink clusters");
    environment.function("jobs", "jobs of a cluster", |this, args| {
        let name = args.first().and_then(Value::as_str).ok_or("takes the name of a cluster")?;
        Ok(this.and_then(|flink| flink.get(name)).cloned().unwrap_or_else(|| Value::Array(Vec::new())))
    });
    vocabulary
}

fn words() -> Vec<StepSchema> {
    let fault =
        |name, args: Shape, example| StepSchema::new(StepKind::Fault, name, args, "A fault.", example);
    let down = Shape::new()
        .optional("slow", Type::Duration, "answers later")
        .optional("down", Type::Duration, "refuses connections")
        .optional(
            "respond",
            Shape::new().optional("path", Type::Text, "which").required(
                "code",
                Type::Int { min: 400, max: 599 },
                "answer",
            ),
            "answers",
        )
        .exactly_one(&["slow", "down", "respond"]);
    let lose = Type::list(Type::words(&["jobs", "jars", "nothing"]));
    vec![
        fault(
            "job",
            Shape::new()
                .required("name", Type::Text, "the deployment")
                .required(
                    "set",
                    Type::words(&["FAILED", "FINISHED", "RESTARTING", "CANCELED", "SUSPENDED"]),
                    "the state",
                )
                .optional("cause", Type::Text, "the exception"),
            "job: {name: app, set: FAILED, cause: \"boom\"}",
        ),
        fault(
            "jobmanager",
            Shape::new()
                .optional(
                    "restart",
                    Shape::new().optional("lose", lose, "what it forgets"),
                    "the process restarts",
                )
                .optional("rest", down, "its REST endpoint")
                .exactly_one(&["restart", "rest"]),
            "jobmanager: {rest: {down: 5m}}",
        ),
        fault(
            "savepoint",
            Shape::new().required(
                "next",
                Type::words(&["fail", "hang", "succeedAfterTimeout", "completeButReplyLost"]),
                "what the next does",
            ),
            "savepoint: {next: hang}",
        ),
        fault(
            "checkpoint",
            Shape::new()
                .optional("stop", Type::Bool, "no more")
                .optional("fail", Type::at_least_one(), "so many fail")
                .exactly_one(&["stop", "fail"]),
            "checkpoint: {fail: 3}",
        ),
        StepSchema::new(
            StepKind::Check,
            "restoredFrom",
            Shape::new().required("job", Type::Text, "the job").required(
                "is",
                Type::OneOf(vec![
                    Type::words(&["newestCompleted", "nothing"]),
                    Shape::new().required("path", Type::Text, "path").into(),
                ]),
                "the snapshot",
            ),
            "From which snapshot the job runs.",
            "restoredFrom: {job: app, is: newestCompleted}",
        ),
    ]
}
