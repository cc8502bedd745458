//! The core faults: operator process, watches, API server, pods. Product faults are registered by the harness.

use super::core::call_match;
use super::types::{Shape, StepKind, StepSchema, Type};

pub(super) fn steps() -> Vec<StepSchema> {
    let step = |name, args: Shape, doc, example| StepSchema::new(StepKind::Fault, name, args, doc, example);
    vec![
        step(
            "crashOperator",
            Shape::new()
                .optional("on", trigger(), "the moment; at once unless said")
                .optional(
                    "everyWrite",
                    Type::Bool,
                    "one run of the scenario per write of the operator, crashed there",
                )
                .optional(
                    "at",
                    Type::words(&["beforeSend", "acceptedReplyLost", "afterReply"]),
                    "which side of the write; `afterReply` unless said",
                )
                .optional(
                    "restartAfter",
                    Type::Duration,
                    "`5s` unless said; the steps that follow go on meanwhile",
                )
                .at_most_one(&["on", "everyWrite"]),
            "The operator process dies and comes back with empty memory. Of several, the leader.",
            "crashOperator: {on: {write: {verb: update, kind: Deployment, subresource: status}, nth: 2}, at: acceptedReplyLost}",
        ),
        step(
            "pauseOperator",
            Shape::new()
                .required("for", Type::Duration, "how long; the steps that follow go on meanwhile")
                .optional("on", trigger(), "the moment; at once unless said"),
            "The operator process stands still, as under a stop-the-world pause. Of several, the leader.",
            "pauseOperator: {for: 2m}",
        ),
        step(
            "secondOperator",
            Shape::new()
                .required("for", Type::Duration, "how long both run; the steps that follow go on meanwhile")
                .optional(
                    "lease",
                    Type::words(&["held", "expired", "ignored"]),
                    "what the second finds; `held` unless said",
                ),
            "A second instance of the operator starts beside the first.",
            "secondOperator: {for: 30s, lease: expired}",
        ),
        step(
            "watch",
            Shape::new()
                .required("kind", Type::Kind, "whose watch")
                .required(
                    "do",
                    Type::words(&["coalesce", "delay", "duplicate", "drop410", "disconnect", "freeze"]),
                    "what happens to it",
                )
                .optional("by", Type::Duration, "length of a delay")
                .optional("for", Type::Duration, "how long; once unless said"),
            "The operator's watch of a kind misbehaves within what Kubernetes allows.",
            "watch: {kind: Pod, do: delay, by: 20s, for: 1m}",
        ),
        step(
            "api",
            Shape::new()
                .required("match", request_match(), "which requests")
                .required(
                    "respond",
                    Type::OneOf(vec![
                        Type::words(&["timeout", "dropBeforeSend", "dropAfterCommit"]),
                        respond().into(),
                    ]),
                    "what they get",
                )
                .optional("times", Type::at_least_one(), "how many of them; all unless said")
                .optional("probability", Type::Number { min: 0.0, max: 1.0 }, "seeded chance per request")
                .optional("for", Type::Duration, "how long; until the end unless said"),
            "The API server answers some requests badly.",
            "api: {match: {verb: patch, kind: Deployment, subresource: status}, respond: {code: 409}, times: 2}",
        ),
        step(
            "pod",
            Shape::new()
                .required("select", selector(), "which pods")
                .required(
                    "do",
                    Type::words(&[
                        "kill",
                        "oom",
                        "evict",
                        "delete",
                        "imagePullBackOff",
                        "crashLoop",
                        "notReady",
                        "neverScheduled",
                    ]),
                    "what happens to them",
                )
                .optional("for", Type::Duration, "how long, for states; until the end unless said")
                .optional("times", Type::at_least_one(), "how many pods; all unless said"),
            "Pods get into trouble.",
            "pod: {select: {labels: {app: web}}, do: oom}",
        ),
        step(
            "control",
            Shape::new()
                .required(
                    "what",
                    Type::words(&["clear", "restart"]),
                    "end active faults, or restart the operator cleanly",
                )
                .optional("of", Type::Text, "the fault's name; all unless said"),
            "Ends faults that are active.",
            "control: {what: clear, of: api}",
        ),
    ]
}

/// When a fault strikes: at the nth write, call, or event that matches.
pub(super) fn trigger() -> Type {
    Shape::new()
        .optional("write", request_match(), "a write of the operator")
        .optional(
            "call",
            call_match().optional("to", Type::Text, "which server; `api` unless said"),
            "a call of the operator",
        )
        .optional("event", Type::Tree, "an event the operator wrote")
        .optional("after", Type::Duration, "this long after the step")
        .optional("nth", Type::at_least_one(), "the nth of them; the first unless said")
        .exactly_one(&["write", "call", "event", "after"])
        .into()
}

fn request_match() -> Shape {
    Shape::new()
        .optional("verb", Type::OneOf(vec![verb(), Type::list(verb())]), "Kubernetes verb, or several")
        .optional("kind", Type::Kind, "kind")
        .optional(
            "subresource",
            Type::words(&["status", "scale", "none"]),
            "subresource; `none` for the object itself",
        )
        .optional("name", Type::Text, "name; `*` may stand in it")
        .optional("namespace", Type::Text, "namespace")
        .optional("by", Type::Text, "who sends it; the operator unless said")
}

fn verb() -> Type {
    Type::words(&["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"])
}

fn respond() -> Shape {
    Shape::new()
        .optional("code", Type::Int { min: 400, max: 599 }, "an error answer, nothing done")
        .optional("reason", Type::Text, "`reason` of its Status")
        .optional("message", Type::Text, "`message` of its Status")
        .optional("retryAfter", Type::Duration, "Retry-After header")
        .optional("slow", Type::Duration, "answer correctly, this much later")
        .exactly_one(&["code", "slow"])
}

fn selector() -> Shape {
    Shape::new()
        .optional("component", Type::Text, "a component name the harness knows")
        .optional("labels", Type::map(Type::Text), "labels they have")
        .optional("name", Type::Text, "name; `*` may stand in it")
        .at_least_one(&["component", "labels", "name"])
}
