//! Scenarios written in Rust: objects and Flink by typed handles, closures between the steps, transcripts to keep.

use std::time::Duration;

use drey_harness::testing::api::FlinkDeployment;
use drey_harness::testing::k8s_openapi::api::apps::v1::Deployment;
use drey_harness::testing::{Finished, HookError, Mode, Savepoint, Scenario};
use serde_json::json;

const CLICKS: &str = "FlinkDeployment/clicks";

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// The job runs and has had time for checkpoints.
#[track_caller]
fn running(name: &str) -> Scenario {
    Scenario::named(name)
        .given_file("scenarios/manifests/clicks.yaml")
        .eventually(CLICKS, minutes(2), json!({"status": {"lifecycleState": "STABLE"}}))
        .advance(minutes(2))
}

fn scaled() -> Scenario {
    running("a change of parallelism keeps the state")
        .hook("scale up", async |live| {
            let clicks = live.typed::<FlinkDeployment>("clicks");
            clicks.patch(json!({"spec": {"job": {"parallelism": 4}}})).await?;
            clicks.eventually(minutes(2), |clicks| clicks.generation() == 2).await?;
            Ok(())
        })
        .step("eventually: {within: 2m, of: FlinkDeployment/clicks, match: {status: {lifecycleState: STABLE, observedGeneration: 2}}}")
        .hook("it went on from its checkpoint", async |live| {
            let starts = live.flink("clicks").starts();
            assert_eq!(starts.len(), 2, "{starts:?}");
            assert_eq!(starts[1].restored_from, starts[1].newest);
            Ok(())
        })
}

/// The run is kept beside the test, and shown line by line when it becomes another one.
#[test]
fn a_change_of_parallelism_keeps_the_state() {
    scaled().run().assert_transcript("tests/kept/scaling.txt");
}

/// The same steps and closures over real HTTP.
#[test]
fn over_loopback_too() {
    scaled().in_mode(Mode::Loopback).run().assert_passed();
}

/// The example of docs/cargo-test.md.
#[test]
fn a_failed_savepoint_does_not_stop_the_job() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    Scenario::named("a failed savepoint does not stop the job")
        .given_file("scenarios/manifests/clicks.yaml")
        .eventually("FlinkDeployment/clicks", minutes(2), json!({"status": {"lifecycleState": "STABLE"}}))
        .hook("break the next savepoint", async |live| live.flink("clicks").next_savepoint(Savepoint::Fails))
        .step("crashOperator: {}")
        .hook("ask for one", async move |live| {
            let clicks = live.typed::<FlinkDeployment>("clicks");
            clicks.patch(json!({"spec": {"job": {"savepointTriggerNonce": 7}}})).await?;
            live.advance(minutes(1)).await?;
            let jobs = live.flink("clicks").jobs();
            assert!(jobs.iter().any(|job| job.state == "RUNNING"), "{jobs:?}");
            Ok(())
        })
        .run()
        .assert_passed();
}

/// What lasted a moment is in the history, whoever looked.
#[test]
fn what_an_object_went_through_can_be_asked() {
    running("a failing job is restarted by flink")
        .hook("fail once", async |live| {
            let flink = live.flink("clicks");
            flink.restart_job("out of tape", 1)?;
            flink.eventually(minutes(5), |job| job.state == "RUNNING" && job.restarts == 1).await?;
            let deployments = live.typed::<Deployment>("clicks").history()?;
            assert!(deployments.iter().all(|one| one.metadata.generation == Some(1)), "no new JobManager");
            Ok(())
        })
        .run()
        .assert_passed();
}

#[test]
fn what_does_not_hold_fails_at_its_line() {
    let line = line!() + 3;
    running("stable is not suspended")
        // The line below is the one that is told.
        .eventually(CLICKS, minutes(1), json!({"status": {"lifecycleState": "SUSPENDED"}}))
        .run()
        .assert_failed("expected \"SUSPENDED\", is \"STABLE\"")
        .assert_failed(&format!("in_rust.rs:{line})"));
}

#[test]
fn a_closure_fails_by_error_panic_or_silence() {
    let played = |hook: Scenario| -> Finished { hook.run() };
    let line = line!() + 1;
    let error = Scenario::named("an error").hook("look", async |_| Err(HookError::new("nothing to see")));
    played(error).assert_failed("nothing to see").assert_failed(&format!("in_rust.rs:{line})"));
    let panic = Scenario::named("a panic").hook("look", async |_| panic!("at the disco"));
    played(panic).assert_failed("at the disco");
    let missing = Scenario::named("a missing object").hook("look", async |live| {
        live.object("ConfigMap/none").get().await?;
        Ok(())
    });
    played(missing).assert_failed("ConfigMap/none does not exist");
    let silence = Scenario::named("silence").limit(minutes(5)).hook("wait", async |_| {
        std::future::pending::<()>().await;
        Ok(())
    });
    played(silence).assert_failed("ends before the scenario's time is up");
}

#[test]
#[should_panic(expected = "nearest: eventually")]
fn a_misspelt_step_is_told_with_the_nearest() {
    let _ = Scenario::named("misspelt").step("eventualy: {within: 2m}").run();
}

/// Worlds beside each other, on threads of one process, do not know of each other.
#[test]
fn many_at_once_are_the_same_as_one() {
    let alone = scaled().seed(3).run().assert_passed().transcript();
    let threads: Vec<_> =
        (0..4).map(|_| std::thread::spawn(|| scaled().seed(3).run().transcript())).collect();
    for thread in threads {
        assert_eq!(thread.join().expect("the thread ends well"), alone);
    }
}

/// As nextest runs them: listed once, then each in a process of its own, several at once. Nothing may be shared.
#[test]
fn each_in_a_process_of_its_own() {
    let program = std::env::current_exe().expect("this test has a program");
    let run = |arguments: &[&str]| {
        std::process::Command::new(&program).args(arguments).output().expect("it starts")
    };
    let listed = String::from_utf8(run(&["--list", "--format", "terse"]).stdout).expect("UTF-8");
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let others: Vec<&str> = names.filter(|name| *name != "each_in_a_process_of_its_own").collect();
    assert!(others.len() >= 8, "{listed}");
    std::thread::scope(|scope| {
        let runs: Vec<_> = others
            .iter()
            .map(|name| (name, scope.spawn(|| run(&["--exact", name, "--nocapture"]))))
            .collect();
        for (name, thread) in runs {
            let output = thread.join().expect("the thread ends well");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        }
    });
}
