//! Whatever is observed, there is a decision: no panic, no forbidden plan, the same answer twice, and nothing done
//! while facts are missing.

use super::fixture::{app, policy, start};
use drey_api::constants::{FLINK_DEPLOYMENT_FINALIZER, LAST_STATE_SAVEPOINT_PATH};
use drey_api::*;
use drey_reconciler::*;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const JOB: &str = "0123456789abcdef0123456789abcdef";

fn seen<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Seen<T>> {
    prop_oneof![
        4 => value.prop_map(Seen::Known),
        2 => Just(Seen::Absent),
        1 => Just(Seen::unreachable(Why::Timeout)),
        1 => Just(Seen::unreachable(Why::Http { code: 500, message: "x".into() })),
        1 => Just(Seen::NotAsked),
    ]
}

fn job_manager() -> impl Strategy<Value = JobManagerFacts> {
    (any::<bool>(), 0i32..2, prop::option::of(0i64..4), any::<bool>(), any::<bool>()).prop_map(
        |(deleting, available, generation, parts, fresh)| JobManagerFacts {
            uid: "d".into(),
            generation,
            created: start(),
            own_generation: Some(1),
            deleting,
            wanted_replicas: 1,
            replicas: 1,
            available_replicas: available,
            conditions: vec![ConditionFacts {
                kind: "Available".into(),
                status: if available > 0 { "True" } else { "False" }.into(),
                reason: None,
                message: None,
                last_transition: Some(if fresh { start() } else { start() + SignedDuration::from_secs(1) }),
            }],
            has_rest_service: parts,
            has_config_map: parts,
        },
    )
}

fn pods() -> impl Strategy<Value = Vec<PodFacts>> {
    select(vec![0usize, 0, 1]).prop_map(|n| {
        vec![
            PodFacts { name: "p".into(), deleting: false, conditions: Vec::new(), containers: Vec::new() };
            n
        ]
    })
}

fn ha() -> impl Strategy<Value = HaFacts> {
    let maps = |keys: &[&str]| HaFacts {
        config_maps: vec![
            HaConfigMap {
                name: "app-cluster-config-map".into(),
                deleting: false,
                keys: vec![format!("jobGraph-{JOB}")],
            },
            HaConfigMap {
                name: format!("app-{JOB}-config-map"),
                deleting: false,
                keys: keys.iter().map(|key| (*key).into()).collect(),
            },
        ],
    };
    select(vec![HaFacts::default(), maps(&[]), maps(&["checkpointID-0000000000000000001"])])
}

fn jobs() -> impl Strategy<Value = Vec<JobFact>> {
    prop::option::of((select(FlinkJobState::ALL.to_vec()), any::<bool>())).prop_map(|job| {
        let job = job.map(|(state, ours)| JobFact {
            id: if ours { JOB.into() } else { "f".repeat(32) },
            name: "job".into(),
            state,
            start_time: 1,
            last_modification: 2,
            tasks: None,
        });
        job.into_iter().collect()
    })
}

fn trigger() -> impl Strategy<Value = TriggerFact> {
    let failed = |savepoint_path: Option<String>| TriggerFact::Failed { causes: Vec::new(), savepoint_path };
    select(vec![
        TriggerFact::InProgress,
        TriggerFact::Completed { location: "s3://new".into() },
        failed(None),
        failed(Some("s3://new".into())),
    ])
}

fn spec_text(spec: &FlinkDeploymentSpec, state: JobState, mode: UpgradeMode, first: bool) -> String {
    let mut spec = spec.clone();
    let job = spec.job.as_mut().unwrap();
    (job.state, job.upgrade_mode) = (state, mode);
    ReconciledSpec::new(spec, first).to_text()
}

fn states() -> impl Strategy<Value = JobState> {
    select(vec![JobState::Running, JobState::Suspended])
}

fn modes() -> impl Strategy<Value = UpgradeMode> {
    select(vec![UpgradeMode::Savepoint, UpgradeMode::LastState, UpgradeMode::Stateless])
}

fn status(spec: FlinkDeploymentSpec) -> impl Strategy<Value = FlinkDeploymentStatus> {
    use ReconciliationState::*;
    let recorded = (0u8..10, states(), modes(), any::<bool>(), any::<bool>());
    let recon = select(vec![Deployed, Upgrading, RollingBack, RolledBack]);
    let jm = select(vec![
        JobManagerDeploymentStatus::Ready,
        JobManagerDeploymentStatus::DeployedNotReady,
        JobManagerDeploymentStatus::Deploying,
        JobManagerDeploymentStatus::Missing,
        JobManagerDeploymentStatus::Error,
    ]);
    let job = prop::option::of(select(FlinkJobState::ALL.to_vec()));
    let path = select(vec![None, Some("s3://old".to_owned()), Some(LAST_STATE_SAVEPOINT_PATH.to_owned())]);
    let pending = prop::option::of(select(vec![
        SnapshotTriggerType::Manual,
        SnapshotTriggerType::Periodic,
        SnapshotTriggerType::Upgrade,
    ]));
    (recorded, recon, jm, job, path, pending, any::<bool>()).prop_map(
        move |((kind, state, mode, first, same), recon, jm, job, path, pending, id)| {
            let mut status =
                FlinkDeploymentStatus { job_manager_deployment_status: jm, ..Default::default() };
            let reconciliation = &mut status.reconciliation_status;
            reconciliation.state = recon;
            reconciliation.last_reconciled_spec = match kind {
                0 => None,
                1 => Some("{\"spec\": 3}".into()),
                _ => Some(spec_text(&spec, state, mode, first)),
            };
            reconciliation.last_stable_spec = match same {
                true => reconciliation.last_reconciled_spec.clone(),
                false => Some(spec_text(&spec, JobState::Running, UpgradeMode::LastState, false)),
            };
            status.observed_generation = Some(2);
            status.job_status.state = job;
            status.job_status.job_id = id.then(|| JOB.to_owned());
            status.job_status.upgrade_savepoint_path = path;
            let info = &mut status.job_status.savepoint_info;
            info.trigger_type = pending;
            info.trigger_id = pending.map(|_| "a".repeat(32));
            info.trigger_timestamp = pending.map(|_| start().as_millisecond());
            status
        },
    )
}

fn resource() -> impl Strategy<Value = FlinkDeployment> {
    let kinds = select(vec![
        json!({}),
        json!({"job": null}),
        json!({"flinkVersion": "v2_0"}),
        json!({"image": "other", "restartNonce": 3}),
        json!({"job": {"parallelism": 0}}),
        json!({"job": {"savepointRedeployNonce": 4, "initialSavepointPath": "s3://redeploy"}}),
        json!({"flinkConfiguration": {"high-availability.type": "NONE"}}),
        json!({"flinkConfiguration": {"kubernetes.operator.deployment.rollback.enabled": "true", "kubernetes.operator.job.restart.failed": "true"}}),
        json!({"flinkConfiguration": {"kubernetes.operator.cluster.health-check.enabled": "true", "kubernetes.operator.job.savepoint-on-deletion": "true"}}),
    ]);
    (kinds, states(), modes(), any::<bool>(), 2i64..4, prop::bool::weighted(0.2)).prop_flat_map(
        |(kind, state, mode, finalizer, generation, deleting): (Value, _, _, _, _, _)| {
            let mut cr = app(kind);
            if let Some(job) = &mut cr.spec.job {
                (job.state, job.upgrade_mode) = (state, mode);
            }
            cr.metadata.generation = Some(generation);
            cr.metadata.finalizers = finalizer.then(|| vec![FLINK_DEPLOYMENT_FINALIZER.into()]);
            let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(start());
            cr.metadata.deletion_timestamp = deleting.then_some(time);
            let base = app(json!({})).spec;
            prop::option::weighted(0.9, status(base))
                .prop_map(move |status| FlinkDeployment { status, ..cr.clone() })
        },
    )
}

fn failure() -> impl Strategy<Value = Option<ActionFailure>> {
    let kinds = select(vec![ActionKind::CreateCluster, ActionKind::StopWithSavepoint, ActionKind::CancelJob]);
    prop::option::weighted(
        0.1,
        kinds.prop_map(|action| ActionFailure {
            action,
            error: ActionError::Kube { code: 422, reason: "Invalid".into(), message: "x".into() },
        }),
    )
}

fn observation() -> impl Strategy<Value = Observation> {
    let kube = (seen(job_manager()), seen(pods()), seen(ha()));
    let checkpoints = CheckpointFacts {
        latest: vec![CompletedCheckpoint { id: 1, path: Some("s3://chk-1".into()), timestamp: 5 }],
        newest: None,
    };
    let flink = (
        seen(jobs()),
        seen(trigger()),
        seen(Just(checkpoints)),
        seen(Just(ResultFact::InProgress)),
        seen(Just(MetricFacts::default())),
    );
    (resource(), kube, flink, failure()).prop_map(|(resource, (job_manager, pods, ha), flink, failure)| {
        let mut o = Observation::of(resource);
        (o.job_manager, o.pods, o.ha) = (job_manager, pods, ha);
        (o.flink.jobs, o.flink.savepoint, o.flink.checkpoints, o.flink.result, o.flink.metrics) = flink;
        o.flink.exceptions = Seen::Absent;
        o.flink.cluster = Seen::Absent;
        o.failure = failure;
        o
    })
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 3000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn there_is_always_a_decision_and_it_is_never_forbidden(o in observation(), later in 0i64..100_000_000) {
        let now = start() + SignedDuration::from_millis(later);
        let asks = needs(&o, &policy(), now);
        let decision = decide(&o, &policy(), now);
        let again = decide(&o, &policy(), now);
        prop_assert_eq!(&decision.plan, &again.plan);
        prop_assert_eq!(&decision.status, &again.status);
        prop_assert!(asks.is_empty() || decision.plan.is_empty(), "acts while {:?} is unknown", asks);
        let violations = check::decision(&o, &decision);
        prop_assert!(violations.is_empty(), "{:?}\n{:?}", violations, decision.trace);
    }
}
