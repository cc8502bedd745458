//! Validation as rows: every rule of reconciler.md 8, its text, and the T-cases of 10.2.

use std::collections::BTreeMap;

use drey_api::{
    DeploymentMode, FlinkDeploymentSpec, FlinkVersion, IngressSpec, ReconciledSpec, SnapshotState,
    UpgradeMode,
};
use drey_blueprint::config::OperatorConfig;
use drey_blueprint::validate::{
    flink_deployment as validate, flink_session_job, flink_state_snapshot, warnings,
};
use drey_testkit::{
    DeploymentBuilder, checkpoint_of, flink_deployment, savepoint_of, session_cluster, session_job,
};
use serde_json::json;

fn app() -> DeploymentBuilder {
    flink_deployment("app")
}

#[track_caller]
fn rejects(cr: impl Into<drey_api::FlinkDeployment>, rule: &str, text: &str) {
    let error = validate(&cr.into(), None, &OperatorConfig::default()).expect_err(text);
    assert_eq!((error.message.as_str(), error.rule), (text, rule));
}

#[track_caller]
fn accepts(cr: impl Into<drey_api::FlinkDeployment>) {
    assert_eq!(validate(&cr.into(), None, &OperatorConfig::default()), Ok(()));
}

/// With `old` deployed, `new` is answered by `expected` (empty: accepted).
#[track_caller]
fn change(old: DeploymentBuilder, new: DeploymentBuilder, expected: &str) {
    let deployed = ReconciledSpec::new(old.build().spec, false);
    let got = validate(&new.build(), Some(&deployed), &OperatorConfig::default());
    assert_eq!(got.err().map(|error| error.message).unwrap_or_default(), expected);
}

#[test]
fn what_the_builders_make_is_valid() {
    accepts(app());
    accepts(app().savepoint());
    accepts(app().last_state().with_ha());
    accepts(app().last_state());
    accepts(session_cluster("session"));
}

#[test]
fn names() {
    for name in ["a", "a1", "a-b", &"a".repeat(45)] {
        accepts(flink_deployment(name));
    }
    for name in ["", "1a", "a-", "A", "a.b", "a_b", &"a".repeat(46)] {
        rejects(
            flink_deployment(name),
            "8.1 #1",
            &format!(
                "The FlinkDeployment name: {name} is invalid, must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123'), and the length must be no more than 45 characters."
            ),
        );
    }
}

#[test]
fn versions() {
    rejects(app().spec(|spec| spec.flink_version = None), "8.1 #2", "Flink Version must be defined.");
    let text = "Flink version v1_14 is not supported by this operator version";
    rejects(app().version(FlinkVersion::V1_14), "8.1 #3", text);
    accepts(app().version(FlinkVersion::V1_15));
}

#[test]
fn t26_version_change_after_a_last_state_suspend() {
    let suspended = || app().last_state().suspended();
    let text = "Changing flinkVersion after last-state suspend is not allowed. Restore your cluster with the current flinkVersion and perform the version upgrade afterwards.";
    change(suspended(), app().last_state().version(FlinkVersion::V2_0), text);
    change(suspended(), app().savepoint().version(FlinkVersion::V2_0), text);
    change(suspended(), app().stateless().version(FlinkVersion::V2_0), "");
    change(app().savepoint().suspended(), app().savepoint().version(FlinkVersion::V2_0), "");
    change(app().last_state(), app().last_state().version(FlinkVersion::V2_0), "");
}

#[test]
fn t25_forbidden_keys() {
    for key in ["kubernetes.namespace", "kubernetes.cluster-id", "high-availability.cluster-id"] {
        rejects(app().config(key, "x"), "8.1 #5", &format!("Forbidden Flink config key: {key}"));
    }
    let nested = app().config("kubernetes", json!({"namespace": "x"}));
    rejects(nested, "8.1 #5", "Forbidden Flink config key: kubernetes.namespace");
}

#[test]
fn options_that_need_another() {
    let rollback = "kubernetes.operator.deployment.rollback.enabled";
    rejects(app().config(rollback, "true"), "8.1 #6", "HA must be enabled for rollback support.");
    accepts(app().config(rollback, "true").with_ha());
    let health = app()
        .config("kubernetes.operator.cluster.health-check.enabled", "true")
        .config("kubernetes.operator.jm-deployment-recovery.enabled", "false");
    rejects(
        health,
        "8.1 #7",
        "Deployment recovery (kubernetes.operator.jm-deployment-recovery.enabled) must be enabled for job health check (kubernetes.operator.cluster.health-check.enabled) support.",
    );
}

#[test]
fn ingress_and_logs() {
    let with = |template: Option<&str>| {
        let template = template.map(str::to_owned);
        app().spec(|spec| spec.ingress = Some(IngressSpec { template, ..IngressSpec::default() }))
    };
    rejects(with(None), "8.1 #8", "Ingress template must be defined");
    accepts(with(Some("{{name}}.example.com")));
    rejects(
        with(Some("example.com:port")),
        "8.1 #9",
        "Unable to process the Ingress template(example.com:port). Error: For input string: \"port\"",
    );
    let log = |key: &str| {
        let files = BTreeMap::from([(key.to_owned(), "x".to_owned())]);
        app().spec(|spec| spec.log_configuration = Some(files))
    };
    accepts(log("logback-console.xml"));
    rejects(
        log("log4j.properties"),
        "8.1 #10",
        "Invalid log config key: log4j.properties. Allowed keys are [log4j-console.properties, logback-console.xml]",
    );
}

#[test]
fn directories_for_state() {
    let checkpoints = "Checkpoint directory[execution.checkpointing.dir] must be defined for last-state and savepoint upgrade modes";
    for mode in [UpgradeMode::LastState, UpgradeMode::Savepoint] {
        rejects(app().upgrade_mode(mode), "8.1 #11", checkpoints);
    }
    let no_savepoints = || app().last_state().without_config("state.savepoints.dir");
    let missing = "config key[execution.checkpointing.savepoint-dir]";
    rejects(
        no_savepoints().upgrade_mode(UpgradeMode::Savepoint),
        "8.1 #12",
        &format!("Job could not be upgraded with savepoint while {missing} is not set"),
    );
    rejects(
        no_savepoints().job(|job| job.savepoint_trigger_nonce = Some(1)),
        "8.1 #13",
        &format!("Savepoint could not be manually triggered for the running job while {missing} is not set"),
    );
    rejects(
        no_savepoints().config("kubernetes.operator.periodic.savepoint.interval", "6h"),
        "8.1 #14",
        &format!("Periodic savepoints cannot be enabled when {missing} is not set"),
    );
    rejects(
        no_savepoints()
            .config("kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age", "1 h"),
        "8.1 #15",
        &format!(
            "In order to use max-checkpoint age functionality {missing} must be set to allow triggering savepoint upgrades."
        ),
    );
    accepts(no_savepoints().config("execution.checkpointing.savepoint-dir", "s3://b/sp").savepoint());
    rejects(no_savepoints().config("state.checkpoints.dir", " "), "8.1 #11", checkpoints);
}

#[test]
fn parallelism() {
    let replicas =
        |n| move |spec: &mut FlinkDeploymentSpec| spec.task_manager.as_mut().unwrap().replicas = Some(n);
    rejects(app().spec(replicas(0)), "8.1 #16", "TaskManager replicas must be larger than 0");
    rejects(app().parallelism(0), "8.1 #17", "Job parallelism must be larger than 0");
    accepts(app().parallelism(0).spec(replicas(1)));
    rejects(
        session_cluster("s").spec(replicas(0)),
        "8.1 #24",
        "TaskManager replicas should not be configured less than one.",
    );
}

#[test]
fn memory() {
    let manager = |value: serde_json::Value| {
        let value = serde_json::from_value(value).unwrap();
        app().spec(|spec| spec.job_manager = Some(value))
    };
    let undefined = "JobManager resource memory must be defined using `spec.jobManager.resource.memory` or `spec.jobManager.resources.requests.memory`";
    rejects(manager(json!({})), "8.1 #18", undefined);
    rejects(manager(json!({"resource": {"memory": " "}})), "8.1 #18", undefined);
    rejects(app().spec(|spec| spec.job_manager = None), "8.1 #18", undefined);
    accepts(app().spec(|spec| spec.job_manager = None).config("jobmanager.memory.process.size", "1600m"));
    accepts(manager(json!({"resources": {"limits": {"memory": "1Gi"}}})));
    rejects(
        manager(json!({"resource": {"memory": "2 gigs"}})),
        "8.1 #19",
        "JobManager resource memory parse error: '2 gigs': the unit 'gigs' is not known; accepted units are b, k, m, g and t (powers of 1024); write for example '2g'",
    );
    rejects(
        manager(json!({"resource": {"memory": "1g", "ephemeralStorage": "much"}})),
        "8.1 #19",
        "JobManager resource ephemeral storage parse error: 'much' is not a quantity; write a number with an optional unit such as m, k, M, G, Ki, Mi, Gi, for example '500m' or '2Gi'",
    );
    rejects(
        app().spec(|spec| spec.task_manager = None),
        "8.1 #23",
        "TaskManager resource memory must be defined using `spec.taskManager.resource.memory` or `spec.taskManager.resources.requests.memory`",
    );
}

#[test]
fn requirements_list_all_their_problems() {
    let manager = |value: serde_json::Value| {
        let value = serde_json::from_value(json!({"resources": value})).unwrap();
        app().spec(|spec| spec.job_manager = Some(value))
    };
    accepts(manager(
        json!({"requests": {"memory": "1Gi", "cpu": "500m"}, "limits": {"memory": "1g", "cpu": 1}}),
    ));
    rejects(
        manager(json!({
            "requests": {"memory": "2Gi", "cpu": "0", "gpu": "-1"},
            "limits": {"memory": "1Gi", "disk": "big"},
        })),
        "8.1 #20",
        "JobManager resource requirements requests cpu must be positive: 0; \
         JobManager resource requirements requests gpu must not be negative: -1; \
         JobManager resource requirements limits disk parse error: 'big' is not a quantity; write a number with an optional unit such as m, k, M, G, Ki, Mi, Gi, for example '500m' or '2Gi'; \
         JobManager resource requirements memory request (2Gi) must not exceed its limit (1Gi)",
    );
}

#[test]
fn standby_job_managers() {
    let replicas = |n| move |spec: &mut FlinkDeploymentSpec| spec.job_manager.as_mut().unwrap().replicas = n;
    rejects(
        app().spec(replicas(0)),
        "8.1 #21",
        "JobManager replicas should not be configured less than one.",
    );
    let text = "High availability should be enabled when starting standby JobManagers.";
    rejects(app().spec(replicas(2)), "8.1 #22", text);
    accepts(app().spec(replicas(2)).with_ha());
}

#[test]
fn t24_what_cannot_be_switched() {
    change(session_cluster("app"), app(), "Cannot switch from session to job cluster");
    change(app(), session_cluster("app"), "Cannot switch from job to session cluster");
    let mode = |mode| app().spec(move |spec| spec.mode = Some(mode));
    let text = "Cannot switch from native kubernetes to standalone kubernetes cluster";
    change(app(), mode(DeploymentMode::Standalone), text);
    let text = "Cannot switch from standalone kubernetes to native kubernetes cluster";
    change(mode(DeploymentMode::Standalone), app(), text);
    change(app(), mode(DeploymentMode::Native), "");
}

#[test]
fn t27_redeploy_needs_a_path() {
    let nonce = |n| app().job(move |job| job.savepoint_redeploy_nonce = Some(n));
    let text = "InitialSavepointPath must not be empty for savepoint redeployment";
    change(app(), nonce(1), text);
    change(nonce(1), nonce(2), text);
    change(nonce(1), nonce(1), "");
    change(nonce(1), app(), "");
    change(app(), nonce(1).initial_savepoint("s3://sp"), "");
    change(app(), nonce(1).initial_savepoint("  "), text);
    // Deliberately stricter than Apache's operator, which starts such a job from nothing.
    rejects(nonce(1), "8.1 #27", text);
}

#[test]
fn service_account() {
    rejects(
        app().spec(|spec| spec.service_account = None),
        "8.1 #28",
        "spec.serviceAccount must be defined. If you use helm, its value should be the same with the name of jobServiceAccount.",
    );
}

#[test]
fn autoscaler_options() {
    let on = || app().config("job.autoscaler.enabled", "true");
    rejects(
        on().config("job.autoscaler.scale-down.max-factor", "-0.1"),
        "8.1 #29",
        "The AutoScalerOption job.autoscaler.scale-down.max-factor is invalid, it should be a value within the range [0.0, +Infinity]",
    );
    accepts(app().config("job.autoscaler.scale-down.max-factor", "-0.1"));
    let range = |key: &str, value: &str, range: &str| {
        let text =
            format!("The AutoScalerOption {key} is invalid, it should be a value within the range {range}");
        rejects(on().config(key, value), "8.1 #29", &text);
    };
    range("job.autoscaler.utilization.target", "1.1", "[0.0, 1.0]");
    range("job.autoscaler.utilization.max", "0.6", "[0.7, 1.0]");
    range("job.autoscaler.utilization.min", "0.8", "[0.0, 0.7]");
    range("job.autoscaler.memory.gc-pressure.threshold", "2", "[0.0, 1.0]");
    let overhead = on().config("job.autoscaler.memory.tuning.overhead", "2");
    accepts(overhead.clone());
    let text = "The AutoScalerOption job.autoscaler.memory.tuning.overhead is invalid, it should be a value within the range [0.0, 1.0]";
    rejects(overhead.config("job.autoscaler.memory.tuning.enabled", "true"), "8.1 #29", text);
    let periods = |value: &str| on().config("job.autoscaler.excluded.periods", value);
    accepts(periods("* * * ? * 2-6 && 09:00:00-17:00:00;01:00:00-02:00:00; 0 0 * * * ?"));
    rejects(
        periods("09:00:00-17:00:00;18:00:00-9:00"),
        "8.1 #29",
        "Invalid value 18:00:00-9:00 in the autoscaler config job.autoscaler.excluded.periods: '18:00:00-9:00' is not a time range such as 09:00:00-17:00:00",
    );
    rejects(
        on().config("job.autoscaler.metrics.window", "10 s"),
        "8.1 #29",
        "The autoscaler metric window (10 s) must not be smaller than the operator reconcile interval (1 min): set job.autoscaler.metrics.window to at least that",
    );
}

#[test]
fn the_first_rule_wins() {
    let everything_wrong = flink_deployment("Wrong").spec(|spec| {
        spec.flink_version = None;
        spec.service_account = None;
    });
    let error = validate(&everything_wrong.build(), None, &OperatorConfig::default()).unwrap_err();
    assert_eq!(error.rule, "8.1 #1");
}

/// Rules of ours: what Apache's operator accepts and then cannot carry out.
#[test]
fn what_could_only_fail_later() {
    rejects(
        app().spec(|spec| spec.flink_configuration = serde_json::from_value(json!("a: b")).unwrap()),
        "own: configuration is an object",
        "spec.flinkConfiguration must be a map of keys and values, got \"a: b\"; write for example 'taskmanager.numberOfTaskSlots: \"2\"'",
    );
    rejects(
        app().config("kubernetes.operator.savepoint.history.max.age", "24 hrs"),
        "own: values can be read",
        "Could not parse value '24 hrs' for key 'kubernetes.operator.savepoint.history.max.age': the unit 'hrs' is not known; accepted units are d, h, min, s, ms, us and ns; write for example '24 h'",
    );
    accepts(app().config("security.ssl.internal.enabled", "true"));
    rejects(
        app().config("security.ssl.rest.enabled", "true"),
        "own: plain REST",
        "security.ssl.rest.enabled is not supported yet: the operator speaks plain HTTP with the JobManager; set it to false (security.ssl.internal.enabled may stay as it is)",
    );
    let overlapping =
        || app().with_ha().without_config("high-availability.type").config("high-availability", "kubernetes");
    accepts(overlapping());
    rejects(
        overlapping().version(FlinkVersion::V2_0),
        "own: keys nest",
        "Overlapping key prefixes detected (high-availability -> high-availability.cluster-id), please replace with Flink v2 compatible, non-deprecated keys.",
    );
    rejects(
        app().spec(|spec| spec.mode = Some(DeploymentMode::Standalone)),
        "own: native mode",
        "Clusters in standalone mode are not supported yet, remove spec.mode or set it to native",
    );
}

#[test]
fn defaults_of_the_operator_count() {
    let entries = [("state.savepoints.dir", "s3://sp"), ("state.checkpoints.dir", "s3://cp")];
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let operator = OperatorConfig::new(entries.into()).unwrap();
    let cr = app().upgrade_mode(UpgradeMode::Savepoint).build();
    assert_eq!(validate(&cr, None, &operator), Ok(()));
}

#[test]
fn warnings_say_what_has_no_effect() {
    let cr = app()
        .version(FlinkVersion::V1_17)
        .config("kubernetes.operator.periodic.checkpoint.interval", "6 hrs")
        .config("kubernetes.operator.reconcile.interval", "5 s")
        .build();
    let texts = warnings(&cr, &OperatorConfig::default());
    assert_eq!(texts.len(), 3, "{texts:#?}");
    assert!(texts[1].contains("write for example '6 h'"));
    assert!(texts[2].starts_with("kubernetes.operator.reconcile.interval has no effect"));
}

#[track_caller]
fn session(job: drey_testkit::SessionJobBuilder, operator: &[(&str, &str)], expected: &str) {
    let operator = operator.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let operator = OperatorConfig::new(operator).unwrap();
    let cluster = session_cluster("cluster").build();
    let got = flink_session_job(&job.build(), None, Some(&cluster), &operator);
    assert_eq!(got.err().map(|error| error.message).unwrap_or_default(), expected);
}

#[test]
fn session_jobs() {
    let job = || session_job("job", "cluster");
    session(job(), &[], "");
    session(job().spec(|spec| spec.job = None), &[], "The job spec should not be empty");
    session(
        session_job("job", "other"),
        &[],
        "The session job's cluster id is not match with the session cluster",
    );
    session(
        job().upgrade_mode(UpgradeMode::Savepoint),
        &[],
        "Checkpoint directory[execution.checkpointing.dir] must be defined for last-state and savepoint upgrade modes",
    );
    let application = app().build();
    let got = flink_session_job(&job().build(), None, Some(&application), &OperatorConfig::default());
    assert_eq!(got.unwrap_err().message, "Can not submit session job to application cluster");
    let deployed = ReconciledSpec::new(session_job("job", "before").build().spec, false);
    let got = flink_session_job(&job().build(), Some(&deployed), None, &OperatorConfig::default());
    assert_eq!(got.unwrap_err().message, "The deploymentName can't be changed");
}

#[test]
fn t28_jars_from_where() {
    let jar = |uri: &str| session_job("job", "cluster").jar(uri);
    let http = [("kubernetes.operator.user.artifacts.allowed-schemes", "https;http")];
    let not_allowed = "jarURI scheme 'http' is not in the allowlist [https]. Configure 'kubernetes.operator.user.artifacts.allowed-schemes' to extend the allowlist.";
    session(jar("http://127.0.0.1/x.jar"), &[], not_allowed);
    session(jar("http://127.0.0.1/x.jar"), &http, "jarURI host '127.0.0.1' resolves to a restricted address");
    session(jar("https://[::1]:80/x.jar"), &[], "jarURI host '::1' resolves to a restricted address");
    session(jar("https://u@10.1.2.3/x.jar"), &[], "jarURI host '10.1.2.3' resolves to a restricted address");
    session(jar("HTTPS://jars.example.com/x.jar"), &[], "");
    session(jar("/opt/x.jar"), &[], "jarURI must include a scheme");
    session(jar("https:///x.jar"), &[], "jarURI must include a host for http/https schemes");
    session(
        jar("https://a b/x.jar"),
        &[],
        "jarURI is not a valid URI: Illegal character at index 9: https://a b/x.jar",
    );
    let open = [("kubernetes.operator.user.artifacts.disallow-restricted-hosts", "false"), http[0]];
    session(jar("http://127.0.0.1/x.jar"), &open, "");
    session(session_job("job", "cluster").job(|job| job.jar_uri = None), &[], "");
}

#[test]
fn snapshots() {
    let check = |snapshot: drey_testkit::SnapshotBuilder, exists: bool| {
        flink_state_snapshot(&snapshot.build(), exists).err().map(|error| error.message).unwrap_or_default()
    };
    assert_eq!(check(savepoint_of("s", "app"), true), "");
    assert_eq!(check(checkpoint_of("s", "app"), true), "");
    let both = savepoint_of("s", "app").spec(|spec| spec.checkpoint = Some(Default::default()));
    assert_eq!(check(both, true), "Exactly one of checkpoint or savepoint configurations has to be set.");
    // T89.
    assert_eq!(check(savepoint_of("s", "app"), false), "Target for snapshot jobs/app was not found");
    let started = savepoint_of("s", "app").status(|status| status.state = SnapshotState::InProgress);
    assert_eq!(check(started, false), "");
    let no_reference = savepoint_of("s", "app").spec(|spec| spec.job_reference = None);
    assert_eq!(check(no_reference, true), "Job reference must be supplied for this snapshot");
    // T88.
    let existing = savepoint_of("s", "app").spec(|spec| {
        spec.job_reference = None;
        spec.savepoint.as_mut().unwrap().already_exists = true;
    });
    assert_eq!(check(existing, false), "");
}
