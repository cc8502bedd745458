//! Uses every item of drey-harness's stable surface, so that a change which would break a caller breaks this file. A
//! test of `drey-ci` holds it against harness/stable-api.txt: what is listed there is used here.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use drey_harness::testing::{
    BLESS, Finished, Flink, HookError, HookResult, Job, Live, Mode, Object, SEED, Savepoint, Scenario, Start,
    api, assert_scenario, k8s_openapi, run_folder, run_folder_in,
};
use serde_json::{Value, json};

/// The entry points of a test target without Rust's own harness, and the macro that writes one.
mod entry_points {
    use super::{ExitCode, Mode, Path, run_folder, run_folder_in};

    pub const RUN: fn(&'static Path) -> ExitCode = run_folder;
    pub const RUN_IN: fn(&'static Path, Mode) -> ExitCode = run_folder_in;

    pub mod in_virtual_time {
        drey_harness::scenarios!("scenarios");
        pub const MAIN: fn() -> super::ExitCode = main;
    }

    pub mod over_loopback {
        drey_harness::scenarios!("scenarios", in Loopback);
        pub const MAIN: fn() -> super::ExitCode = main;
    }
}

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn config_map(name: &str) -> k8s_openapi::api::core::v1::ConfigMap {
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}))
        .expect("a ConfigMap")
}

#[test]
fn names_stay() {
    assert_eq!((BLESS, SEED), ("DREY_BLESS", "DREY_SEED"));
    assert_eq!(Mode::ALL, [Mode::Virtual, Mode::Loopback, Mode::Cluster]);
    let name: &'static str = Mode::Virtual.name();
    assert_eq!(name.parse::<Mode>(), Ok(Mode::default()));
    assert_eq!(Mode::Loopback.to_string(), "loopback");
    let _ = (entry_points::RUN, entry_points::RUN_IN);
    let _ = (entry_points::in_virtual_time::MAIN, entry_points::over_loopback::MAIN);
    assert_scenario(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/scaling-keeps-state.yaml"));
}

#[test]
fn the_builder_stays() {
    let finished: Finished = Scenario::named("everything")
        .seed(2)
        .in_mode(Mode::Virtual)
        .world(json!({}))
        .limit(second(3600))
        .monitor("always: {of: ConfigMap/a, cel: \"obj.metadata.name == 'a'\"}")
        .given(config_map("a"))
        .given(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}))
        .given_yaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\n")
        .given_file("scenarios/manifests/clicks.yaml")
        .patch("ConfigMap/a", json!({"data": {"k": "v"}}))
        .assert("ConfigMap/a", json!({"data": {"k": "v"}}))
        .eventually("FlinkDeployment/clicks", second(120), json!({"status": {"lifecycleState": "STABLE"}}))
        .delete("ConfigMap/d")
        .advance(second(1))
        .step("absent: {of: ConfigMap/d, within: 10s}")
        .hook("objects", objects)
        .hook("flink", async |live| flink(live.flink("clicks")).await)
        .run();
    assert!(finished.passed(), "{:?}", finished.failure());
    assert!(finished.elapsed() > second(1) && finished.clone().transcript().contains("everything"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("kept.txt"), finished.transcript()).expect("write");
    let _: Finished = finished.assert_transcript(folder.path().join("kept.txt")).assert_passed();
    let _: Scenario = Scenario::named("with a CRD").crd("crd.yaml");
    let failed = Scenario::named("fails").assert("ConfigMap/none", json!({"data": {}})).run();
    let _: Finished = failed.assert_failed("ConfigMap/none");
}

async fn objects(live: &Live<'_>) -> HookResult {
    let a: Object<'_, Value> = live.object("ConfigMap/a");
    let typed: Object<'_, k8s_openapi::api::core::v1::ConfigMap> = live.typed("a");
    assert_eq!((a.to_string().as_str(), typed.to_string().as_str()), ("ConfigMap/a", "ConfigMap/a"));
    let _: Option<Value> = a.find().await?;
    let got: k8s_openapi::api::core::v1::ConfigMap = typed.get().await?;
    assert_eq!(got.data.map(|data| data.len()), Some(1));
    let _: Value = a.patch(json!({"data": {"k": "w"}})).await?;
    let _: Value = a.eventually(second(5), |a| a["data"]["k"] == "w").await?;
    let states: Vec<Value> = a.history()?;
    assert_eq!(states.len(), 3);
    let clicks = live.typed::<api::FlinkDeployment>("default/clicks");
    let _: api::FlinkDeployment = clicks.patch_status(json!({"status": {"error": ""}})).await?;
    let b = live.object("ConfigMap/b");
    b.delete().await?;
    b.gone(second(5)).await?;
    live.note("half way");
    live.advance(second(1)).await?;
    live.step("create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: e}}}").await?;
    let _: Duration = live.elapsed();
    let _: i32 = "7".parse()?;
    Ok(())
}

async fn flink(flink: Flink<'_>) -> HookResult {
    let job: Job = flink.eventually(second(60), |job| job.state == "RUNNING").await?;
    let Job { id, name, state: _, restored_from, progress, restarts, .. } = job;
    assert!(!id.is_empty() && !name.is_empty() && restored_from.is_none() && restarts == 0);
    let _: (Vec<Job>, u64) = (flink.jobs(), progress);
    let starts: Vec<Start> = flink.starts();
    let Start { restored_from, progress: _, newest, .. } = starts[0].clone();
    assert_eq!((restored_from, newest), (None, None));
    let _: Vec<String> = flink.snapshots();
    for savepoint in [Savepoint::Fails, Savepoint::Hangs, Savepoint::ReplyLost, Savepoint::Slow(second(9))] {
        flink.next_savepoint(savepoint)?;
    }
    for on in [true, false] {
        flink.stall_checkpoints(on)?;
        flink.hang(on)?;
    }
    flink.lose_task_managers()?;
    flink.eventually(second(300), |job| job.state == "RUNNING").await?;
    flink.restart_job("a hiccup", 1)?;
    flink.eventually(second(600), |job| job.state == "RUNNING" && job.restarts > 0).await?;
    flink.finish_job()?;
    match flink.fail_job("too late") {
        Ok(()) => Ok(()),
        Err(error) => Err(HookError::new(format!("{error:?}"))),
    }
}
