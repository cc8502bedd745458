//! The core words except faults: actions on objects, time, checks, structure. A flat table on purpose.

use super::types::{Shape, StepKind, StepSchema, Type};

/// Built-in kinds that scenarios name; custom kinds are added by the harness.
pub(super) const KINDS: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "Ingress",
    "Job",
    "Lease",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];

pub(super) fn steps() -> Vec<StepSchema> {
    [actions(), time(), checks(), monitors(), structure()].concat()
}

const OF: &str = "the object, as `Kind/name`";

fn of() -> Shape {
    Shape::new().required("of", Type::object_ref(), OF)
}

/// The answer a write must get; without it, the write must succeed.
fn expect() -> Shape {
    Shape::new()
        .optional("code", Type::Int { min: 100, max: 599 }, "HTTP status")
        .optional("reason", Type::Text, "`reason` of the Status: Invalid, Conflict, Forbidden, ..")
        .optional(
            "messageContains",
            Type::OneOf(vec![Type::Text, Type::list(Type::Text)]),
            "text in the message",
        )
        .at_least_one(&["code", "reason", "messageContains"])
}

fn written() -> Shape {
    Shape::new()
        .optional("file", Type::Manifest, "a file with one or more objects")
        .optional("object", Type::Object, "the object in place")
        .optional("expect", expect(), "the refusal that must come back")
        .optional("as", Type::Text, "who writes; `user` unless said")
        .exactly_one(&["file", "object"])
}

fn actions() -> Vec<StepSchema> {
    let step = |name, args: Shape, doc, example| StepSchema::new(StepKind::Action, name, args, doc, example);
    let text_or_null = || Type::map(Type::Any);
    vec![
        step("apply", written(), "Server-side apply as the user.", "apply: {file: app.yaml}"),
        step(
            "create",
            written(),
            "Create objects; with `expect`, the create must be refused that way.",
            "create: {file: bad.yaml, expect: {code: 422, reason: Invalid, messageContains: upgradeMode}}",
        ),
        step(
            "patch",
            of().optional("merge", Type::Any, "a JSON merge patch (RFC 7386)")
                .optional("json", Type::list(Type::Any), "a JSON patch (RFC 6902)")
                .optional("strategic", Type::Any, "a strategic merge patch")
                .optional("subresource", Type::words(&["status", "scale"]), "patch this subresource")
                .optional("expect", expect(), "the refusal that must come back")
                .optional("as", Type::Text, "who writes; `user` unless said")
                .exactly_one(&["merge", "json", "strategic"]),
            "Patch an object.",
            "patch: {of: Deployment/app, merge: {spec: {replicas: 3}}}",
        ),
        step(
            "replace",
            of().required("object", Type::Object, "the whole new object")
                .optional(
                    "resourceVersion",
                    Type::OneOf(vec![Type::Text]),
                    "`current` (default), `stale`, or a version",
                )
                .optional("expect", expect(), "the refusal that must come back"),
            "Replace an object by PUT.",
            "replace: {of: ConfigMap/app, object: {data: {a: \"1\"}}, resourceVersion: stale, expect: {code: 409}}",
        ),
        step(
            "delete",
            of().optional(
                "propagation",
                Type::words(&["Background", "Foreground", "Orphan"]),
                "as in DeleteOptions",
            )
            .optional(
                "wait",
                Type::OneOf(vec![Type::Bool, Type::Duration]),
                "wait until it is gone; a duration bounds the wait",
            )
            .optional("gracePeriod", Type::Duration, "as in DeleteOptions")
            .optional("expect", expect(), "the refusal that must come back"),
            "Delete an object.",
            "delete: {of: Deployment/app, propagation: Foreground, wait: 2m}",
        ),
        step(
            "annotate",
            of().required("set", text_or_null(), "annotations; null removes one"),
            "Set or remove annotations.",
            "annotate: {of: Deployment/app, set: {team: data}}",
        ),
        step(
            "label",
            of().required("set", text_or_null(), "labels; null removes one"),
            "Set or remove labels.",
            "label: {of: Pod/app-0, set: {role: leader}}",
        ),
        step(
            "scale",
            of().required("replicas", Type::natural(), "the wanted number"),
            "Write the scale subresource.",
            "scale: {of: Deployment/app, replicas: 3}",
        ),
        step(
            "externalWrite",
            of().optional("by", Type::Text, "name of the other writer; `external` unless said")
                .optional("spec", Type::Any, "merged into spec")
                .optional("status", Type::Any, "merged into status, through the subresource")
                .optional("metadata", Type::Any, "merged into metadata")
                .optional("data", Type::Any, "merged into data")
                .at_least_one(&["spec", "status", "metadata", "data"]),
            "Another actor writes, to provoke conflicts.",
            "externalWrite: {of: Deployment/app, by: autoscaler, spec: {replicas: 5}}",
        ),
        step(
            "removeFinalizer",
            of().required("name", Type::Text, "the finalizer"),
            "Remove one finalizer, as an impatient user does.",
            "removeFinalizer: {of: Deployment/app, name: example.com/cleanup}",
        ),
        step(
            "snapshot",
            of().required("file", Type::File, "the golden file").optional(
                "ignore",
                Type::list(Type::FieldPath),
                "fields left out of the comparison",
            ),
            "Compare the object with a golden file.",
            "snapshot: {of: Deployment/app, file: golden/app.yaml, ignore: [metadata.resourceVersion]}",
        ),
    ]
}

fn time() -> Vec<StepSchema> {
    let step = |name, args: Type, doc, example| StepSchema::new(StepKind::Time, name, args, doc, example);
    vec![
        step("advance", Type::Duration, "Let scenario time pass.", "advance: 10m"),
        step(
            "advanceUntil",
            Shape::new()
                .optional("of", Type::object_ref(), "binds `obj`")
                .required("cel", Type::Cel, "the condition")
                .required("max", Type::Duration, "fails after this time")
                .into(),
            "Let time pass until a condition holds, from one event to the next.",
            "advanceUntil: {of: Deployment/app, cel: \"obj.status.readyReplicas == 3\", max: 1h}",
        ),
        step(
            "jumpClock",
            Shape::new()
                .required("of", Type::words(&["operator", "apiServer", "all"]), "whose clock")
                .required("by", Type::SignedDuration, "how far, may be negative")
                .into(),
            "Move one participant's clock without letting time pass.",
            "jumpClock: {of: operator, by: -30s}",
        )
        .virtual_only(),
    ]
}

const SINCE: &str = "`start` unless said; `previousStep`: what happened since the step before this one began";

/// `match` or `cel`, exactly one of them.
fn condition(shape: Shape) -> Shape {
    shape
        .optional("match", Type::Tree, "a partial-match tree")
        .optional("cel", Type::Cel, "an expression over `obj`")
        .exactly_one(&["match", "cel"])
}

fn checks() -> Vec<StepSchema> {
    let step = |name, args: Shape, doc, example| StepSchema::new(StepKind::Check, name, args, doc, example);
    let optional_of = || Shape::new().optional("of", Type::object_ref(), OF);
    let verbs = || Type::words(&["create", "update", "patch", "delete", "deletecollection"]);
    vec![
        step(
            "assert",
            condition(optional_of()),
            "The condition holds now.",
            "assert: {of: Deployment/app, match: {spec: {replicas: 3}}}",
        ),
        step(
            "eventually",
            condition(optional_of().required("within", Type::Duration, "the deadline")),
            "The condition holds at some moment before the deadline.",
            "eventually: {within: 2m, of: Deployment/app, match: {status: {readyReplicas: 3}}}",
        ),
        step(
            "converge",
            Shape::new().required("within", Type::Duration, "the deadline").optional(
                "quietFor",
                Type::Duration,
                "no write may happen for this long; the world decides unless said",
            ),
            "Everything settles: no writes any more, all owned state as wished.",
            "converge: {within: 10m, quietFor: 1h}",
        ),
        step(
            "sequence",
            of().required("field", Type::FieldPath, "the field")
                .required(
                    "expect",
                    Type::list(Type::Scalar),
                    "the values in order; `X*` may repeat or be missing",
                )
                .optional("mode", Type::words(&["subsequence", "exact"]), "`subsequence` unless said")
                .optional("since", Type::words(&["start", "previousStep"]), SINCE),
            "The values a field went through.",
            "sequence: {of: Deployment/app, field: status.phase, expect: [CREATED, RUNNING, FAILING*, RUNNING]}",
        ),
        step(
            "absent",
            Shape::new()
                .required("of", Type::object_pattern(), "the object; `*` may stand in the name")
                .optional("within", Type::Duration, "wait for it; otherwise now"),
            "The object does not exist.",
            "absent: {of: Pod/app-*, within: 2m}",
        ),
        step(
            "events",
            Shape::new()
                .optional("of", Type::object_ref(), "the object the events are about")
                .required("contains", Type::Tree, "what an event must look like")
                .optional("count", Type::Count, "how many; at least one unless said")
                .optional("within", Type::Duration, "wait for them; otherwise now"),
            "Kubernetes events that were written.",
            "events: {of: Deployment/app, contains: {reason: ScalingReplicaSet, type: Normal}, count: {min: 1, max: 2}}",
        ),
        step(
            "calls",
            Shape::new()
                .required("to", Type::Server, "which server: `api`, or one the harness knows")
                .required("match", call_match(), "which calls")
                .required("count", Type::Count, "how many")
                .optional("since", Type::words(&["start", "previousStep"]), SINCE),
            "Requests the operator sent.",
            "calls: {to: api, match: {method: POST, path: \"/apis/apps/v1/*\"}, count: {max: 1}}",
        ),
        step(
            "writes",
            Shape::new()
                .optional("by", Type::Text, "the writer; anybody unless said")
                .optional("kind", Type::Kind, "the kind written")
                .optional("of", Type::object_pattern(), "the object written")
                .optional("verb", verbs(), "the verb; what was done, for writers inside the server")
                .optional("subresource", Type::words(&["status", "scale", "none"]), "the subresource")
                .required("count", Type::Count, "how many")
                .optional("perUid", Type::Bool, "the count holds for each object by itself")
                .optional("since", Type::words(&["start", "previousStep"]), SINCE),
            "Writes that reached the API server.",
            "writes: {by: operator, kind: Deployment, verb: create, count: 1, perUid: true}",
        ),
        step(
            "metrics",
            Shape::new()
                .required("name", Type::Text, "the metric")
                .optional("labels", Type::map(Type::Text), "labels it must have")
                .required("value", Type::Tree, "a number or a comparison: `{$gte: 1}`"),
            "A metric the operator exports.",
            "metrics: {name: operator_reconciles_total, labels: {result: ok}, value: {$gte: 1}}",
        ),
    ]
}

/// How calls are selected: by method, path pattern and answer.
pub(super) fn call_match() -> Shape {
    Shape::new()
        .optional("method", Type::words(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]), "HTTP method")
        .optional("path", Type::Text, "path; `:name` stands for one segment, a closing `*` for the rest")
        .optional("code", Type::Int { min: 100, max: 599 }, "the answer's status")
        .optional("verb", Type::Text, "Kubernetes verb, for calls to the API server")
        .optional("kind", Type::Kind, "kind, for calls to the API server")
        .at_least_one(&["method", "path", "code", "verb", "kind"])
}

fn monitors() -> Vec<StepSchema> {
    let step = |name, args: Shape, doc, example| StepSchema::new(StepKind::Monitor, name, args, doc, example);
    let named = || Shape::new().optional("name", Type::Text, "how failures call it");
    vec![
        step(
            "always",
            condition(
                named()
                    .optional("for", Type::Duration, "how long from here; until the end unless said")
                    .optional(
                        "of",
                        Type::object_pattern(),
                        "evaluated for each change of it; binds `obj` and `old`",
                    ),
            ),
            "The condition holds at every change and every call from here on.",
            "always: {of: Deployment/app, cel: \"obj.status.observedGeneration <= obj.metadata.generation\"}",
        ),
        step(
            "never",
            named()
                .optional(
                    "of",
                    Type::object_pattern(),
                    "evaluated for each change of it; binds `obj` and `old`",
                )
                .optional("cel", Type::Cel, "a condition that must not hold")
                .optional("event", Type::Tree, "an event that must not be written")
                .optional(
                    "call",
                    call_match().optional("to", Type::Server, "which server; `api` unless said"),
                    "a call that must not be made",
                )
                .optional("for", Type::Duration, "how long from here; until the end unless said")
                .exactly_one(&["cel", "event", "call"]),
            "Something must not happen from here on.",
            "never: {name: double-run, cel: \"obj.status.active > 1\", of: Job/load}",
        ),
        step(
            "leadsTo",
            named()
                .optional("of", Type::object_ref(), "binds `obj` and `old`")
                .required("if", Type::Cel, "whenever this becomes true ..")
                .required("then", Type::Cel, ".. this follows")
                .required("within", Type::Duration, "the deadline of each"),
            "Whenever one thing, then soon another.",
            "leadsTo: {of: Deployment/app, if: \"obj.spec.paused\", then: \"obj.status.phase == 'Paused'\", within: 3m}",
        ),
        step(
            "budget",
            named()
                .optional("apiCalls", rate(), "requests to the API server")
                .optional("writes", rate(), "writes that reached the API server")
                .optional("reconciles", rate(), "passes of the reconciler")
                .at_least_one(&["apiCalls", "writes", "reconciles"]),
            "Limits on work done.",
            "budget: {apiCalls: {perHour: 600}, reconciles: {max: 50}}",
        ),
    ]
}

fn rate() -> Shape {
    Shape::new()
        .optional("max", Type::natural(), "over the whole run")
        .optional("perHour", Type::natural(), "in any hour")
        .optional("perMinute", Type::natural(), "in any minute")
        .at_least_one(&["max", "perHour", "perMinute"])
}

fn structure() -> Vec<StepSchema> {
    let step =
        |name, args: Shape, doc, example| StepSchema::new(StepKind::Structure, name, args, doc, example);
    vec![
        step(
            "group",
            Shape::new()
                .optional("name", Type::Text, "heading in reports")
                .required("steps", Type::Steps, "the steps")
                .optional("catch", Type::Steps, "run when one of them fails; the failure stays"),
            "Steps under one heading.",
            "group: {name: upgrade, steps: [{advance: 1m}], catch: [{advance: 1s}]}",
        ),
        step(
            "repeat",
            Shape::new().required("n", Type::Int { min: 1, max: 10_000 }, "how often").required(
                "steps",
                Type::Steps,
                "the steps",
            ),
            "Steps several times.",
            "repeat: {n: 3, steps: [{advance: 1m}]}",
        ),
        step(
            "at",
            Shape::new()
                .required("time", Type::OneOf(vec![Type::ClockTime]), "scenario time, `HH:MM:SS`")
                .required("steps", Type::Steps, "the steps"),
            "Steps that start by themselves at a scenario time, beside the sequence; the scenario waits for them to end.",
            "at: {time: \"00:30:00\", steps: [{advance: 1s}]}",
        ),
        step(
            "use",
            Shape::new().required("file", Type::File, "a file of kind Fragment").optional(
                "with",
                Type::map(Type::Any),
                "values of its params",
            ),
            "The steps and monitors of a fragment, here.",
            "use: {file: lib/base-app.yaml, with: {name: app}}",
        ),
        step(
            "fault",
            Shape::open(),
            "Spelling of a fault that says it is one: `fault: {pauseOperator: {for: 2m}}` is `pauseOperator: {for: 2m}`.",
            "fault: {pauseOperator: {for: 2m}}",
        ),
    ]
}
