//! The whole shell in virtual time, where its own promises are at stake: no requests when converged, optimistic
//! status writes, lost replies, crashes, and no writes without the lease.

use std::time::Duration;

use drey_operator::{ActError, LeaseConfig, Lifecycle, Outcome, run};
use http::Method;
use serde_json::json;

use crate::api::Spoil;
use crate::world::Operator;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn running() -> Operator {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.live(s(5)).await;
    operator.bring_up();
    operator.live(s(30)).await;
    assert_eq!(operator.status()["lifecycleState"], "STABLE", "{:#}", operator.status());
    operator.passes();
    operator.api.writes();
    operator
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_is_written_ahead_created_and_reaches_stable() {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.live(s(5)).await;
    let writes: Vec<String> = operator.api.writes().into_iter().filter(|w| !w.contains("events")).collect();
    let at =
        |what: &str| writes.iter().position(|w| w == what).unwrap_or_else(|| panic!("{what} in {writes:?}"));
    assert!(at("PATCH flinkdeployments/wordcount") < at("PUT flinkdeployments/wordcount/status"));
    assert!(at("PUT flinkdeployments/wordcount/status") < at("POST deployments"));
    assert!(at("POST deployments") < at("POST configmaps"));
    let uid = operator.api.get("deployments", "wordcount").unwrap()["metadata"]["uid"].clone();
    let owned = operator.api.get("configmaps", "flink-config-wordcount").unwrap();
    assert_eq!(owned["metadata"]["ownerReferences"][0]["uid"], uid);
    operator.bring_up();
    operator.live(s(30)).await;
    assert_eq!(operator.status()["jobStatus"]["state"], "RUNNING");
    assert_eq!(operator.status()["lifecycleState"], "STABLE");
    // Before the attempt, after it, and what was seen then: each once (reconciler.md 2.3 has a loop that does it thrice).
    let status_writes = writes.iter().filter(|w| w.ends_with("/status")).count();
    assert_eq!(status_writes, 2, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_converged_resource_costs_no_request_to_the_api_server() {
    let operator = running().await;
    operator.live(s(3600)).await;
    let passes = operator.passes();
    assert!(passes.len() >= 50, "it is looked at all the same: {}", passes.len());
    for pass in passes.iter().skip(1) {
        assert_eq!((pass.counts.api_reads, pass.counts.api_writes), (0, 0), "{pass:?}");
        assert!(pass.counts.flink_requests <= 1, "{pass:?}");
    }
    let writes: Vec<String> = operator.api.writes().into_iter().filter(|w| !w.contains("events")).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_status_write_is_read_and_decided_on_not_overwritten() {
    let operator = Operator::new();
    operator.apply_wordcount();
    let mut met = false;
    operator.api.spoil(move |method, path| {
        if !met && *method == Method::PUT && path.ends_with("/status") {
            met = true;
            return Spoil::Refuse(409);
        }
        Spoil::Not
    });
    operator.live(s(5)).await;
    let passes = operator.passes();
    let outdated = |o: &Outcome| matches!(o, Outcome::Failed { error: ActError::Outdated(_), .. });
    let at = passes.iter().position(|p| outdated(&p.outcome)).expect("the conflict was noticed");
    assert_eq!(passes[at].counts.api_reads, 1, "read again: {:?}", passes[at]);
    assert_eq!(passes[at + 1].cause, "conflict");
    assert_eq!(passes[at + 1].at, passes[at].at, "decided again at once");
    assert!(operator.api.get("deployments", "wordcount").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_a_status_write_is_settled_by_reading() {
    let operator = Operator::new();
    operator.apply_wordcount();
    let mut met = false;
    operator.api.spoil(move |method, path| {
        if !met && *method == Method::PUT && path.ends_with("/status") {
            met = true;
            return Spoil::LoseReply;
        }
        Spoil::Not
    });
    operator.live(s(60)).await;
    let passes = operator.passes();
    assert!(passes.iter().all(|p| p.outcome == Outcome::Done), "{passes:?}");
    let puts = operator.api.writes().into_iter().filter(|w| w == "POST deployments").count();
    assert_eq!(puts, 1);
}

/// Crashes an operator at its `n`-th write, starts another, and looks at what comes of it.
async fn crash(n: i32, spoil: Spoil) {
    let operator = Operator::new();
    operator.apply_wordcount();
    let mut left = n;
    operator.api.spoil(move |method, _| {
        if *method == Method::GET {
            return Spoil::Not;
        }
        left -= 1;
        if left == -1 { spoil } else { Spoil::Not }
    });
    // Too short for the operator to notice that no answer comes.
    operator.live(s(2)).await;
    operator.api.spoil(|_, _| Spoil::Not);
    operator.live(s(100)).await;
    let what = format!("{spoil:?} at write {n}");
    let job = operator.status()["jobStatus"]["jobId"].as_str().unwrap_or_default().to_owned();
    let config = operator.api.get("configmaps", "flink-config-wordcount");
    let config = config.unwrap_or_else(|| panic!("{what}: no configuration"))["data"].to_string();
    assert!(job.len() == 32 && config.contains(&job), "{what}: the job stored is the job started");
    operator.bring_up();
    operator.live(s(60)).await;
    let status = operator.status();
    assert_eq!(status["lifecycleState"], "STABLE", "{what}: {status:#}");
    assert_eq!(status["jobStatus"]["jobId"], job, "{what}");
    let creates = operator.api.writes().into_iter().filter(|w| w == "POST deployments").count();
    assert!((1..=2).contains(&creates), "{what}: {creates} attempts to create the Deployment");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_every_write_ends_in_the_same_cluster() {
    for n in 0..9 {
        crash(n, Spoil::LoseReply).await;
        crash(n, Spoil::LoseRequest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_the_watch_did_not_show_keeps_a_second_job_manager_away() {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.api.blind("pods");
    operator.api.change("pods", "wordcount-old", |p| {
        p["metadata"]["labels"] = json!({
            "app": "wordcount", "component": "jobmanager", "type": "flink-native-kubernetes",
        });
        p["status"] = json!({ "phase": "Running" });
    });
    operator.live(s(20)).await;
    assert!(operator.api.get("deployments", "wordcount").is_none());
    let passes = operator.passes();
    assert!(passes.len() < 30, "it does not spin: {}", passes.len());
    operator.api.remove("pods", "wordcount-old");
    operator.live(s(60)).await;
    assert!(operator.api.get("deployments", "wordcount").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_somebody_else_is_not_taken_over() {
    let operator = Operator::new();
    operator.api.change("deployments", "wordcount", |d| {
        *d = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": { "theirs": true } });
    });
    operator.apply_wordcount();
    operator.live(s(60)).await;
    let theirs = operator.api.get("deployments", "wordcount").unwrap();
    assert_eq!(theirs["spec"], json!({ "theirs": true }));
    let error = operator.status()["error"].to_string();
    assert!(error.contains("does not belong to this FlinkDeployment"), "{error}");
    assert!(operator.api.get("configmaps", "flink-config-wordcount").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_resource_takes_its_cluster_along_and_is_forgotten() {
    let operator = running().await;
    operator.api.change("flinkdeployments", "wordcount", |o| {
        o["metadata"]["deletionTimestamp"] = json!("2026-06-01T00:00:00Z");
    });
    operator.live(s(10)).await;
    let deployment = operator.api.get("deployments", "wordcount").unwrap();
    assert!(!deployment["metadata"]["deletionTimestamp"].is_null());
    assert!(operator.api.get("flinkdeployments", "wordcount").is_some(), "its cluster is not gone yet");
    operator.api.remove("deployments", "wordcount");
    operator.lifecycle();
    operator.live(s(30)).await;
    assert!(operator.api.get("flinkdeployments", "wordcount").is_none());
    let forgotten = |e: &Lifecycle| matches!(e, Lifecycle::Forgotten { .. });
    assert!(operator.lifecycle().iter().any(forgotten));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_without_the_lease() {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.api.change("leases", "drey", |l| {
        l["spec"] =
            json!({ "holderIdentity": "operator-1", "leaseDurationSeconds": 15, "leaseTransitions": 0 });
    });
    let lease = LeaseConfig::new("ns", "drey");
    let waiting = run(operator.deps(Some(lease.clone())), std::future::pending());
    assert!(tokio::time::timeout(s(14), waiting).await.is_err());
    assert!(operator.api.writes().is_empty(), "the other one may still work");
    let taking = run(operator.deps(Some(lease.clone())), std::future::pending());
    assert!(tokio::time::timeout(s(25), taking).await.is_err());
    let holder = operator.api.get("leases", "drey").unwrap()["spec"].clone();
    assert_eq!((&holder["holderIdentity"], &holder["leaseTransitions"]), (&json!("operator-0"), &json!(1)));
    assert!(operator.api.get("deployments", "wordcount").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_stops_all_writes_in_time() {
    let operator = running().await;
    let lease = LeaseConfig::new("ns", "drey");
    let api = operator.api.clone();
    let cut = tokio::time::Instant::now() + s(60);
    operator.api.spoil(move |_, path| {
        let after_cut = tokio::time::Instant::now() >= cut;
        if after_cut && path.contains("leases") { Spoil::Refuse(500) } else { Spoil::Not }
    });
    // Something to write every second.
    let busy = async {
        loop {
            tokio::time::sleep(s(1)).await;
            api.change("flinkdeployments", "wordcount", |o| {
                o["status"]["error"] = json!("scribbled");
                let generation = o["metadata"]["generation"].as_i64().unwrap_or(0);
                o["metadata"]["generation"] = json!(generation + 1);
            });
        }
    };
    let operating = run(operator.deps(Some(lease)), std::future::pending());
    let both = async { tokio::join!(busy, operating) };
    assert!(tokio::time::timeout(s(60), both).await.is_err());
    assert!(operator.api.writes().iter().any(|w| w.contains("status")), "it worked while it led");
    operator.lifecycle();
    let operating = run(operator.deps(Some(LeaseConfig::new("ns", "drey"))), std::future::pending());
    assert!(tokio::time::timeout(s(30), operating).await.is_err());
    let writes = operator.api.writes();
    assert!(writes.iter().all(|w| w.contains("leases")), "without the lease: {writes:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_releases_the_lease() {
    let operator = Operator::new();
    let lease = LeaseConfig::new("ns", "drey");
    run(operator.deps(Some(lease)), tokio::time::sleep(s(5))).await.unwrap();
    assert_eq!(operator.api.get("leases", "drey").unwrap()["spec"]["holderIdentity"], "");
    assert_eq!(operator.lifecycle().last(), Some(&Lifecycle::Stopped));
}

#[tokio::test(start_paused = true)]
async fn timings_that_cannot_work_are_refused_at_once() {
    let operator = Operator::new();
    let lease = LeaseConfig { retry_period: s(60), ..LeaseConfig::new("ns", "drey") };
    let error = run(operator.deps(Some(lease)), std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("retry-period"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn slow_events_do_not_hold_up_the_plan() {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.api.spoil(|_, path| if path.contains("/events") { Spoil::LoseRequest } else { Spoil::Not });
    operator.live(s(10)).await;
    assert!(operator.api.get("deployments", "wordcount").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_last_state_upgrade_keeps_the_checkpoints_and_drops_the_job_graph() {
    let operator = Operator::new();
    operator.apply_wordcount();
    operator.api.change("flinkdeployments", "wordcount", |o| {
        o["spec"]["job"]["upgradeMode"] = json!("last-state");
        o["spec"]["flinkConfiguration"] = json!({
            "high-availability.type": "kubernetes", "high-availability.storageDir": "file:///ha", "execution.checkpointing.dir": "file:///cp",
        });
    });
    operator.live(s(5)).await;
    operator.bring_up();
    let job = operator.status()["jobStatus"]["jobId"].as_str().unwrap().to_owned();
    let map = format!("wordcount-{job}-config-map");
    for (name, data) in [
        (map.as_str(), json!({ "checkpointID-0000000000000000001": "x", "counter": "2" })),
        ("wordcount-cluster-config-map", json!({ (format!("jobGraph-{job}")): "x", "other": "y" })),
    ] {
        operator.api.change("configmaps", name, |m| {
            *m = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": { "labels": {
                "app": "wordcount", "type": "flink-native-kubernetes", "configmap-type": "high-availability",
            } } });
        });
    }
    operator.live(s(30)).await;
    assert_eq!(operator.status()["lifecycleState"], "STABLE");
    operator.api.change("flinkdeployments", "wordcount", |o| {
        o["metadata"]["generation"] = json!(2);
        o["spec"]["restartNonce"] = json!(1);
    });
    operator.live(s(10)).await;
    assert!(
        !operator.api.get("deployments", "wordcount").unwrap()["metadata"]["deletionTimestamp"].is_null()
    );
    operator.api.remove("deployments", "wordcount");
    operator.api.writes();
    let mut races = 2;
    operator.api.spoil(move |method, path| {
        let strips = *method == Method::PATCH && path.contains("configmaps");
        races -= i32::from(strips);
        if strips && races >= 0 { Spoil::Refuse(409) } else { Spoil::Not }
    });
    operator.live(s(10)).await;
    let writes = operator.api.writes();
    let strip = writes.iter().position(|w| w == "PATCH configmaps/wordcount-cluster-config-map");
    let create = writes.iter().position(|w| w == "POST deployments");
    assert!(
        strip.is_some() && strip < create,
        "the job graph goes before a JobManager could take it: {writes:?}"
    );
    let cluster = operator.api.get("configmaps", "wordcount-cluster-config-map").unwrap();
    assert_eq!(cluster["data"], json!({ "other": "y" }));
    let kept = operator.api.get("configmaps", &map).unwrap();
    assert_eq!(kept["data"]["checkpointID-0000000000000000001"], "x");
    assert_eq!(
        operator.status()["jobStatus"]["jobId"],
        json!(job),
        "last state is found under the same job id"
    );
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_counted_up_under_its_name() {
    let operator = running().await;
    let name =
        |o: &Operator| o.api.names("events").into_iter().find(|n| n.starts_with("JobManagerDeployment."));
    let submitted = name(&operator).expect("the start was announced");
    assert_eq!(operator.api.get("events", &submitted).unwrap()["count"], 1);
    // The same resource is started once more: the same event again.
    operator.api.change("flinkdeployments", "wordcount", |o| {
        o["metadata"]["generation"] = json!(2);
        o["spec"]["restartNonce"] = json!(1);
    });
    operator.live(s(10)).await;
    operator.api.remove("deployments", "wordcount");
    operator.live(s(30)).await;
    let event = operator.api.get("events", &submitted).unwrap();
    assert_eq!((&event["reason"], &event["count"]), (&json!("Submit"), &json!(2)));
    assert!(event["lastTimestamp"].as_str() > event["firstTimestamp"].as_str(), "{event}");
}

/// The same thing again is one request: what the first cost is remembered.
#[tokio::test(start_paused = true)]
async fn a_repeated_event_costs_one_request() {
    let operator = running().await;
    let flapping = async {
        for state in ["RESTARTING", "RUNNING", "RESTARTING", "RUNNING", "RESTARTING"] {
            tokio::time::sleep(s(70)).await;
            operator.job_is(state);
        }
        tokio::time::sleep(s(70)).await;
    };
    tokio::select! {
        () = operator.live(s(3600)) => {}
        () = flapping => {}
    }
    let writes = operator.api.writes();
    let events =
        |method: &str| writes.iter().filter(|w| w.starts_with(method) && w.contains("events")).count();
    // To RESTARTING and back are new once each.
    assert_eq!((events("POST"), events("PUT"), events("PATCH")), (2, 0, 3), "{writes:#?}");
    let to_restarting = operator.api.names("events").into_iter().find_map(|name| {
        let event = operator.api.get("events", &name)?;
        (event["message"] == "Job status changed from RUNNING to RESTARTING").then_some(event)
    });
    assert_eq!(to_restarting.unwrap()["count"], 3);
}

/// An outage of the API server is when users need the story most.
#[tokio::test(start_paused = true)]
async fn events_of_an_outage_are_published_when_it_is_over() {
    let operator = running().await;
    let begin = tokio::time::Instant::now();
    operator.api.spoil(move |_, path| match path.contains("/events") && begin.elapsed() < s(120) {
        true => Spoil::Refuse(503),
        false => Spoil::Not,
    });
    operator.job_is("RESTARTING");
    operator.live(s(180)).await;
    let told: Vec<_> = operator
        .api
        .names("events")
        .into_iter()
        .filter_map(|name| operator.api.get("events", &name))
        .filter(|event| event["message"] == "Job status changed from RUNNING to RESTARTING")
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    let at = |field: &str| told[0][field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let happened = jiff::Timestamp::from_second(1_780_000_000 + 35).unwrap();
    assert!((at("firstTimestamp") - happened).total(jiff::Unit::Second).unwrap().abs() < 5.0, "{told:#?}");
    assert_eq!((&told[0]["count"], at("lastTimestamp")), (&json!(1), at("firstTimestamp")));
    let tries = operator.api.writes().iter().filter(|w| w.as_str() == "POST events").count();
    assert_eq!(tries, 1, "refused ones are not logged");
}

/// A server that is busy says for how long.
#[tokio::test(start_paused = true)]
async fn a_busy_api_server_is_left_alone_as_long_as_it_asks() {
    let operator = Operator::new();
    operator.apply_wordcount();
    let refusals = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (begin, seen) = (tokio::time::Instant::now(), std::sync::Arc::clone(&refusals));
    operator.api.spoil(move |method, path| {
        let is_create = *method == Method::POST && path.ends_with("/deployments");
        if is_create {
            seen.lock().unwrap().push(begin.elapsed().as_secs());
        }
        if is_create && begin.elapsed() < s(30) { Spoil::Busy(20) } else { Spoil::Not }
    });
    let meddling = async {
        tokio::time::sleep(s(7)).await;
        operator
            .api
            .change("flinkdeployments", "wordcount", |o| o["metadata"]["labels"] = json!({ "a": "b" }));
        tokio::time::sleep(s(100)).await;
    };
    tokio::select! {
        () = operator.live(s(3600)) => {}
        () = meddling => {}
    }
    assert_eq!(*refusals.lock().unwrap(), [0, 20, 40]);
    assert!(operator.api.get("deployments", "wordcount").is_some());
}

/// Everything an operator did to a small world, with times.
async fn story() -> String {
    let operator = Operator::new();
    for name in ["b", "a", "d", "c"] {
        operator.apply(name);
    }
    operator.live(s(20)).await;
    operator
        .api
        .change("deployments", "d", |d| d["status"] = json!({ "replicas": 1, "availableReplicas": 1 }));
    operator.live(s(300)).await;
    let passes: Vec<String> =
        operator.passes().iter().map(|p| format!("{:?} {} {:?}", p.at, p.cause, p.counts)).collect();
    format!("{}\n{}", passes.join("\n"), operator.api.writes().join("\n"))
}

#[tokio::test(start_paused = true)]
async fn the_same_world_makes_the_same_requests_in_the_same_order() {
    let first = story().await;
    assert!(first.lines().count() > 60, "{first}");
    assert_eq!(first, story().await);
}

#[test]
fn the_future_can_move_between_threads() {
    fn assert_send<T: Send>(_: impl FnOnce(drey_operator::Deps) -> T) {}
    assert_send(|deps| run(deps, std::future::pending()));
}
