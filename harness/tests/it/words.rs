//! Words that count and words that wait do what the vocabulary says of them, no more and no less.

use drey_harness::library::{self, Goldens, Options};
use drey_harness::modes::Place;
use drey_harness::run::{CaseRun, Interrupt, OpenCase, vocabulary};
use drey_harness::world::flink::ClusterKey;
use drey_language::Paint;
use drey_language::report::Outcome;

use crate::support::repository;

/// A file of one scenario; its manifests are those of the library.
fn scenario(steps: &str) -> (tempfile::TempDir, library::Found) {
    let folder = tempfile::tempdir().expect("a folder");
    let app = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let running = repository("scenarios/lib/running.yaml").canonicalize().expect("the fragment");
    let steps =
        steps.replace("APP", &app.display().to_string()).replace("FRAGMENT", &running.display().to_string());
    let text = format!("apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: words}}\nsteps:\n{steps}");
    let file = folder.path().join("words.yaml");
    std::fs::write(&file, text).expect("written");
    let found = library::find(&[file], &vocabulary()).expect("it is there");
    let problems: Vec<String> = found.problems.iter().map(|one| one.render(Paint::Plain)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    (folder, found)
}

/// What the scenario failed with; empty when it passed.
fn verdict(steps: &str) -> String {
    let (_folder, found) = scenario(steps);
    let runs = library::cells(&found.scenarios);
    let options = Options { jobs: 1, goldens: Goldens::Ignore, ..Options::usual(1) };
    let reports = library::play(&runs, &vocabulary(), &options, &mut ());
    match &reports[0].outcome {
        Outcome::Passed => String::new(),
        Outcome::Failed { failures } => format!("{}: {}", failures[0].check, failures[0].expected),
        other => panic!("{other:?}"),
    }
}

const RUNNING: &str = "
  - apply: {file: APP}
  - eventually: {within: 2m, of: FlinkDeployment/basic-example, match: {status: {lifecycleState: STABLE}}}
";

const MAPS: &str = "
  - create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: '1'}}}
  - create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {k: '1'}}}
  - patch: {of: ConfigMap/a, merge: {data: {k: '2'}}}
  - patch: {of: ConfigMap/a, merge: {data: {k: '3'}}}
";

/// Steps after a beginning, and whether they hold.
fn check(beginning: &str, rows: &[(&str, bool)]) {
    for (step, holds) in rows {
        let told = verdict(&format!("{beginning}  - {step}\n"));
        assert_eq!(told.is_empty(), *holds, "{step}: {told}");
    }
}

#[test]
fn calls_go_to_the_server_they_name() {
    check(
        RUNNING,
        &[
            ("calls: {to: api, match: {verb: create, kind: Deployment}, count: 1}", true),
            ("calls: {to: api, match: {method: POST, path: '/apis/apps/v1/*', code: 201}, count: 1}", true),
            ("calls: {to: api, match: {path: /jobs/overview}, count: {min: 1}}", false),
            ("calls: {to: flink, match: {path: /jobs/overview}, count: {min: 1}}", true),
            ("calls: {to: flink, match: {verb: create, kind: Deployment}, count: {min: 1}}", false),
            ("calls: {to: api, match: {verb: create}, count: 0, since: previousStep}", false),
            (
                "group: {steps: [{advance: 1h}, {calls: {to: api, match: {verb: create}, count: 0, since: previousStep}}]}",
                true,
            ),
            (
                "group: {steps: [{advance: 1h}, {calls: {to: flink, match: {path: /jobs/overview}, count: 0, since: previousStep}}]}",
                false,
            ),
            (
                "group: {steps: [{advance: 0s}, {advance: 0s}, {calls: {to: flink, match: {path: /jobs/overview}, count: 0, since: previousStep}}]}",
                true,
            ),
        ],
    );
}

#[test]
fn a_call_to_the_api_server_can_be_forbidden_from_here_on() {
    let never = "never: {call: {verb: create, kind: Deployment}}";
    assert!(verdict(&format!("  - {never}{RUNNING}")).contains("was called"));
    check(RUNNING, &[(never, true)]);
    let never = "never: {call: {to: flink, path: /jobs/overview}}";
    assert!(verdict(&format!("  - {never}{RUNNING}")).contains("was called"));
    check(RUNNING, &[(never, true)]);
}

#[test]
fn writes_are_told_apart() {
    check(
        MAPS,
        &[
            ("writes: {by: user, kind: ConfigMap, count: 4}", true),
            ("writes: {of: ConfigMap/a, count: 3}", true),
            ("writes: {of: ConfigMap/b, count: 1}", true),
            ("writes: {of: 'ConfigMap/*', by: user, count: 4}", true),
            ("writes: {of: ConfigMap/c, count: 0}", true),
            ("writes: {of: 'elsewhere:ConfigMap/a', count: 0}", true),
            ("writes: {of: ConfigMap/a, verb: patch, count: 2}", true),
            ("writes: {of: ConfigMap/a, verb: update, count: 0}", true),
            ("writes: {by: user, kind: ConfigMap, verb: create, count: 1, perUid: true}", true),
            ("writes: {by: user, kind: ConfigMap, verb: patch, count: 1, perUid: true}", false),
            ("writes: {by: user, kind: Secret, count: 1, perUid: true}", false),
            ("writes: {of: ConfigMap/a, count: 1, since: previousStep}", true),
            ("writes: {of: ConfigMap/b, count: 0, since: previousStep}", true),
        ],
    );
    check(
        RUNNING,
        &[
            ("writes: {by: operator, kind: FlinkDeployment, subresource: status, count: {min: 2}}", true),
            ("writes: {by: operator, kind: FlinkDeployment, subresource: scale, count: 0}", true),
            ("writes: {by: user, kind: FlinkDeployment, subresource: status, count: 0}", true),
            ("writes: {by: user, kind: FlinkDeployment, subresource: none, verb: patch, count: 1}", true),
            ("writes: {by: operator, kind: Deployment, verb: create, count: 1, perUid: true}", true),
        ],
    );
}

#[test]
fn sequences_are_of_the_object_they_name() {
    let two = "sequence: {of: ConfigMap/a, field: data.k, expect: [2, 3], mode: exact}";
    check(
        MAPS,
        &[
            ("sequence: {of: ConfigMap/a, field: data.k, expect: ['1', '2', '3'], mode: exact}", true),
            ("sequence: {of: ConfigMap/b, field: data.k, expect: ['1'], mode: exact}", true),
            ("sequence: {of: 'elsewhere:ConfigMap/a', field: data.k, expect: ['1']}", false),
            (
                "sequence: {of: ConfigMap/a, field: data.k, expect: ['3'], mode: exact, since: previousStep}",
                true,
            ),
            (two, false),
        ],
    );
}

#[test]
fn steps_at_a_time_run_beside_the_sequence() {
    let at = "  - at: {time: '00:10:00', steps: [{create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: late}}}}]}\n";
    let seen = "  - advance: 9m\n  - absent: {of: ConfigMap/late}\n  - advance: 2m\n  - assert: {of: ConfigMap/late, cel: 'obj != null'}\n";
    assert_eq!(verdict(&format!("{at}{seen}")), "");
    // The scenario does not end before they have.
    let told = verdict(
        "  - at: {time: '00:10:00', steps: [{assert: {of: ConfigMap/none, cel: 'obj != null'}}]}\n  - advance: 1m\n",
    );
    assert!(told.starts_with("assert: "), "{told}");
    // A failure of the sequence does not wait for them.
    let told =
        verdict(&format!("{at}  - assert: {{of: ConfigMap/none, cel: 'obj != null'}}\n  - advance: 1h\n"));
    assert!(told.starts_with("assert: "), "{told}");
}

/// Restarts that Flink itself counts.
fn restarts(step: &str) -> u64 {
    let (_folder, found) = scenario(&format!("  - use: {{file: FRAGMENT}}\n  - {step}\n  - advance: 10m\n"));
    let case = found.scenarios[0].cases[0].clone();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let run = CaseRun {
                seed: 1,
                speed_max: None,
                crash: None,
                place: Place::Virtual,
                listener: None,
                interrupt: Interrupt::default(),
            };
            let open = OpenCase::open(&case, &vocabulary(), &run, 1.0).await.expect("a world");
            open.play(None).await.map_err(|failure| failure.expected).expect("the steps hold");
            let facts = open.world().flink.facts(&ClusterKey::new("default", "app"));
            facts.iter().flat_map(|(_, facts)| facts.jobs.iter().map(|job| job.restarts)).sum()
        })
    };
    drey_harness::determinism::on_seeded_thread(1, "restarts", work).expect("the thread ends well")
}

#[test]
fn a_job_fails_as_often_as_the_step_says() {
    assert_eq!(restarts("job: {name: app, set: RESTARTING}"), 1);
    assert_eq!(restarts("job: {name: app, set: RESTARTING, times: 1}"), 1);
    assert_eq!(restarts("job: {name: app, set: RESTARTING, times: 3}"), 3);
}
