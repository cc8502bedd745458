//! The words of Flink, added to the language's own: kinds, world knobs, faults of Flink, checks on its ground truth.

use drey_language::vocabulary::{Shape, StepKind, StepSchema, Type, Vocabulary};

use crate::modes::Mode;
use crate::world::{kinds, settings};

/// Everything a scenario may say to this harness.
pub fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::core();
    vocabulary.add_kinds(kinds::flink_kinds());
    vocabulary.add_servers(["flink"]);
    vocabulary.set_world(settings::shape());
    vocabulary.set_modes(Mode::ALL.map(Mode::name));
    // A real cluster takes few faults and much time: a scenario is played there only if it says so.
    vocabulary.set_usual_modes(2);
    actions().into_iter().chain(faults()).chain(checks()).for_each(|step| vocabulary.add(step));
    vocabulary
}

/// How the vocabulary calls what a step is done to, where that is a deployment.
pub const DEPLOYMENT: &str = "the FlinkDeployment";

fn named() -> Shape {
    Shape::new().required("name", Type::Text, DEPLOYMENT)
}

fn fault(name: &str, args: Shape, doc: &str, example: &str) -> StepSchema {
    StepSchema::new(StepKind::Fault, name, args, doc, example)
}

fn actions() -> Vec<StepSchema> {
    vec![StepSchema::new(
        StepKind::Action,
        "redeploy",
        named().required(
            "from",
            Type::words(&["newest", "oldest"]),
            "which of the snapshots that can be read",
        ),
        "The user looks into the storage and redeploys from a snapshot there: `initialSavepointPath` and a new \
         `savepointRedeployNonce`.",
        "redeploy: {name: app, from: newest}",
    )]
}

fn faults() -> Vec<StepSchema> {
    vec![
        fault(
            "job",
            named()
                .required("set", Type::words(&["FAILED", "RESTARTING", "FINISHED"]), "what happens to it")
                .optional("cause", Type::Text, "message of the exception")
                .optional(
                    "times",
                    Type::at_least_one(),
                    "how many attempts fail the same way, the running one included; one unless said",
                ),
            "The job fails for good (FAILED: every attempt), `times` times (RESTARTING: Flink restarts it), or its sources end.",
            "job: {name: app, set: FAILED, cause: out of tape}",
        ),
        fault(
            "jobmanager",
            named()
                .optional(
                    "do",
                    Type::words(&["hang", "resume", "restart"]),
                    "the process stands still, goes on, or dies",
                )
                .optional("rest", rest(), "its REST server misbehaves")
                .exactly_one(&["do", "rest"]),
            "The JobManager gets into trouble.",
            "jobmanager: {name: app, rest: {down: true, for: 5m}}",
        ),
        fault(
            "savepoint",
            named()
                .required(
                    "next",
                    Type::words(&["fail", "hang", "slow", "completeButReplyLost"]),
                    "what becomes of the next one, stop-with-savepoint included",
                )
                .optional("by", Type::Duration, "how long a slow one takes"),
            "The next savepoint does not go as it should.",
            "savepoint: {name: app, next: slow, by: 15m}",
        ),
        fault(
            "checkpoint",
            named()
                .optional("stall", Type::Bool, "true: triggered and never completed; false: as usual again")
                .optional("fail", Type::at_least_one(), "this many are declined")
                .exactly_one(&["stall", "fail"]),
            "Checkpoints stall or fail.",
            "checkpoint: {name: app, stall: true}",
        ),
        fault(
            "ha",
            named().required(
                "delete",
                Type::words(&["all", "jobMaps", "clusterMap", "checkpoints"]),
                "what is lost",
            ),
            "HA metadata is lost: ConfigMaps, or the pointers to checkpoints inside.",
            "ha: {name: app, delete: all}",
        ),
        fault(
            "store",
            Shape::new()
                .optional("lose", Type::Text, "snapshots whose path contains this are gone")
                .optional("corrupt", Type::Text, "snapshots whose path contains this cannot be read")
                .optional("unreachable", Type::Text, "nothing below this path can be read or written ..")
                .optional("for", Type::Duration, ".. this long; until the end unless said")
                .exactly_one(&["lose", "corrupt", "unreachable"]),
            "The durable storage loses or refuses snapshots.",
            "store: {unreachable: \"s3://bucket\", for: 2m}",
        ),
        fault(
            "taskmanagers",
            named().required("do", Type::words(&["lose"]), "all of them die"),
            "TaskManagers are lost.",
            "taskmanagers: {name: app, do: lose}",
        ),
    ]
}

fn rest() -> Shape {
    Shape::new()
        .optional("path", Type::Text, "calls below this path, `:x` for any segment; all unless said")
        .optional("method", Type::words(&["GET", "POST", "PATCH", "PUT", "DELETE"]), "calls of this method")
        .optional("down", Type::Bool, "connections are refused")
        .optional("hang", Type::Bool, "accepted and never answered")
        .optional("slow", Type::Duration, "answered this much later")
        .optional("loseReply", Type::Bool, "carried out, and the answer never arrives")
        .optional("code", Type::Int { min: 400, max: 599 }, "answered with this error")
        .optional("body", Type::Text, "text of that error")
        .optional("times", Type::at_least_one(), "this many calls; all unless said")
        .optional("for", Type::Duration, "how long; until the end unless said")
        .exactly_one(&["down", "hang", "slow", "loseReply", "code"])
}

fn checks() -> Vec<StepSchema> {
    let check = |name, args: Shape, doc, example| StepSchema::new(StepKind::Check, name, args, doc, example);
    vec![
        check(
            "restoredFrom",
            named()
                .required(
                    "is",
                    Type::OneOf(vec![Type::words(&["nothing", "newest", "savepoint", "checkpoint"])]),
                    "`newest`: the newest snapshot there was when it started; `nothing`: empty state",
                )
                .optional("path", Type::Text, "text in the path"),
            "Where the latest start of the job took its state from: ground truth, not what REST says.",
            "restoredFrom: {name: app, is: newest}",
        ),
        check(
            "job-is",
            named().required("state", Type::Text, "state in the JobManager itself").optional(
                "within",
                Type::Duration,
                "wait for it; otherwise now",
            ),
            "The state of the job inside the live JobManager: ground truth.",
            "job-is: {name: app, state: RUNNING, within: 1m}",
        ),
        check(
            "starts",
            named()
                .required(
                    "count",
                    Type::Count,
                    "starts by JobManagers of new Deployments, first one included",
                )
                .optional("from", Type::words(&["nothing", "snapshot"]), "only those"),
            "How often the job was started.",
            "starts: {name: app, count: 2}",
        ),
    ]
}
