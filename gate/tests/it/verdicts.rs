//! What the gate decides, and how it reads on a terminal.

use drey_gate::Request;
use expect_test::{Expect, expect};

use crate::support::{ask, counts, partial, ratios, report, some, strict};

fn check(request: &Request, code: u8, expected: Expect) {
    let (found, text) = ask(request);
    expected.assert_eq(&text);
    assert_eq!(found, code, "{text}");
}

#[test]
fn the_stored_run_passes() {
    check(
        &report("stored"),
        0,
        expect![[r#"
        scenarios: 6 cases of 5 scenarios in 8 runs: 4 passed, 1 failed, 1 skipped (against tests/fixtures/scenarios-stored.json)
          known   known-bug  still fails  failed -> failed  scenarios/known-bug.yaml:7
                    eventually: FlinkDeployment/app status.lifecycleState == STABLE
                    status.lifecycleState: expected "STABLE", is "DEPLOYED"
                    replay: drey replay scenarios/known-bug.yaml --seed 0x1
        verdict: pass (1 known)
    "#]],
    );
}

#[test]
fn failures_losses_and_costs_regress() {
    check(
        &report("worse"),
        1,
        expect![[r#"
        scenarios: 7 cases of 5 scenarios in 9 runs: 2 passed, 3 failed, 1 broken, 1 skipped (against tests/fixtures/scenarios-stored.json)
          worse   deletion                               fails now                 passed -> failed  scenarios/deletion.yaml:11
                    eventually: FlinkDeployment/app the job was started once
                    status.lifecycleState: expected "STABLE", is "DEPLOYED"
                    replay: drey replay scenarios/deletion.yaml --case default,crash=1-reply-lost --seed 0x1
          worse   fresh                                  new and fails             - -> broken       scenarios/fresh.yaml:1
                    panic: index out of bounds
                    replay: drey replay scenarios/fresh.yaml --seed 0x1
          worse   upgrade-keeps-state [mode=last-state]  more scenario ms (+50 %)  60000 -> 90000    scenarios/upgrade-keeps-state.yaml:1
          worse   upgrade-keeps-state [mode=last-state]  more changes (+43 %)      28 -> 40          scenarios/upgrade-keeps-state.yaml:1
          worse   upgrade-keeps-state [mode=savepoint]   fails now                 passed -> failed  scenarios/upgrade-keeps-state.yaml:18
                    eventually: FlinkDeployment/app status.lifecycleState == STABLE
                    status.lifecycleState: expected "STABLE", is "DEPLOYED"
                    replay: drey replay ./scenarios/upgrade-keeps-state.yaml --case mode=savepoint --seed 0x1
          worse   rest-down                              not run                   passed -> -       tests/fixtures/scenarios-stored.json:15
                    of scenarios/rest-down.yaml; give --partial when only a part was run
          known   known-bug                              still fails               failed -> failed  scenarios/known-bug.yaml:7
                    eventually: FlinkDeployment/app status.lifecycleState == STABLE
                    status.lifecycleState: expected "STABLE", is "DEPLOYED"
                    replay: drey replay scenarios/known-bug.yaml --seed 0x1
          note    fresh [a=1]                            not in the baseline       - -> passed       scenarios/fresh.yaml:1
        verdict: worse (6 worse, 1 known, 1 note)
        next: mend it; if it is meant, store it with --update-baseline and read the diff
    "#]],
    );
}

#[test]
fn what_is_mended_improves() {
    check(
        &report("better"),
        0,
        expect![[r#"
        scenarios: 6 cases of 5 scenarios in 8 runs: 5 passed, 1 skipped (against tests/fixtures/scenarios-stored.json)
          better  known-bug  mended                failed -> passed  scenarios/known-bug.yaml:1
          better  rest-down  fewer passes (-30 %)  20 -> 14          scenarios/rest-down.yaml:1
        verdict: pass, and better than the baseline (2 better)
        next: store it with --update-baseline, so that it is not lost unseen
    "#]],
    );
}

#[test]
fn what_is_better_fails_too_when_the_baseline_is_to_be_exact() {
    assert_eq!(ask(&strict(report("better"))).0, 1);
    assert_eq!(ask(&strict(counts("counts-better.json"))).0, 1);
    assert_eq!(ask(&strict(counts("counts-same.json"))).0, 0);
}

#[test]
fn without_a_baseline_every_failure_counts() {
    check(
        &Request { report: some("stored"), ..Request::default() },
        1,
        expect![[r#"
            scenarios: 6 cases of 5 scenarios in 8 runs: 4 passed, 1 failed, 1 skipped (no baseline)
              worse   known-bug      fails    - -> failed   scenarios/known-bug.yaml:7
                        eventually: FlinkDeployment/app status.lifecycleState == STABLE
                        status.lifecycleState: expected "STABLE", is "DEPLOYED"
                        replay: drey replay scenarios/known-bug.yaml --seed 0x1
              note    needs-cluster  skipped  - -> skipped  scenarios/needs-cluster.yaml:1
                        runs in cluster only
            verdict: worse (1 worse, 1 note)
            next: mend it; if it is meant, store it with --update-baseline and read the diff
        "#]],
    );
}

#[test]
fn a_suite_in_which_nothing_ran_regresses() {
    check(
        &Request { report: some("all-skipped"), ..Request::default() },
        1,
        expect![[r#"
            scenarios: 1 cases of 1 scenarios in 1 runs: 1 skipped (no baseline)
              worse   all scenarios  nothing ran  - -> 1 skipped
                        a suite in which everything is skipped proves nothing: look at its mode and filter
              note    needs-cluster  skipped      - -> skipped    scenarios/needs-cluster.yaml:1
                        runs in cluster only
            verdict: worse (1 worse, 1 note)
            next: mend it; if it is meant, store it with --update-baseline and read the diff
        "#]],
    );
}

#[test]
fn of_a_part_nothing_is_missed() {
    assert_eq!(ask(&partial(report("all-skipped"))).0, 1, "nothing ran");
    let (code, text) = ask(&report("worse"));
    assert!(code == 1 && text.contains("not run"), "{text}");
    let (_, text) = ask(&partial(report("worse")));
    assert!(!text.contains("not run"), "{text}");
}

/// Real time is in it: neither costs nor cases of other modes are compared.
#[test]
fn another_mode_is_another_run() {
    let (code, text) = ask(&report("loopback"));
    assert!(text.contains("not in the baseline") && !text.contains("not run"), "{text}");
    assert_eq!(code, 1, "the known bug is not known in this mode: {text}");
}

#[test]
fn a_larger_tolerance_lets_costs_through() {
    let mut request = report("worse");
    request.limits.tolerance = 1.0;
    let (_, text) = ask(&request);
    assert!(!text.contains("more scenario ms"), "{text}");
    request.limits.tolerance = 0.1;
    assert!(ask(&request).1.contains("more scenario ms (+50 %)"));
}

#[test]
fn equal_counts_pass() {
    check(
        &counts("counts-same.json"),
        0,
        expect![[r#"
        counts: 4 counts, without * in release (against tests/fixtures/counts-stored.json)
        verdict: pass
    "#]],
    );
}

#[test]
fn more_and_lost_counts_and_missed_goals_regress() {
    check(
        &counts("counts-worse.json"),
        1,
        expect![[r#"
        counts: 4 counts, without * in release (against tests/fixtures/counts-stored.json)
          worse   converged pass: requests    more                 0 -> 1          tests/fixtures/counts-stored.json:2
          worse   converged pass: requests    misses its goal      at most 0 -> 1  tests/fixtures/counts-stored.json:2
          worse   create: requests            more (+8.3 %)        12 -> 13        tests/fixtures/counts-stored.json:3
          worse   create: writes              no longer counted    9 -> -          tests/fixtures/counts-stored.json:4
          better  decide: allocations in dev  fewer (-3.2 %)       124 -> 120      tests/fixtures/counts-stored.json:5
          note    upgrade: requests           not in the baseline  - -> 16
        verdict: worse (4 worse, 1 better, 1 note)
        next: mend it; if it is meant, store it with --update-baseline and read the diff
    "#]],
    );
}

#[test]
fn fewer_counts_improve() {
    check(
        &counts("counts-better.json"),
        0,
        expect![[r#"
        counts: 4 counts, without * in release (against tests/fixtures/counts-stored.json)
          better  create: requests  fewer (-8.3 %)  12 -> 11  tests/fixtures/counts-stored.json:3
        verdict: pass, and better than the baseline (1 better)
        next: store it with --update-baseline, so that it is not lost unseen
    "#]],
    );
}

#[test]
fn ratios_within_what_is_allowed_pass() {
    check(
        &ratios("ratios-as-allowed.json"),
        0,
        expect![[r#"
        ratios: 2 ratios (against tests/fixtures/ratios-stored.json)
          note    list        as allowed  at most 1.100 -> 1.021 (1.012 to 1.028)  tests/fixtures/ratios-stored.json:5
          note    throughput  as allowed  at most 0.500 -> 0.333 (0.328 to 0.339)  tests/fixtures/ratios-stored.json:9
        verdict: pass (2 note)
    "#]],
    );
}

#[test]
fn ratios_beyond_it_regress() {
    check(
        &ratios("ratios-worse.json"),
        1,
        expect![[r#"
        ratios: 2 ratios (against tests/fixtures/ratios-stored.json)
          worse   list        slower than allowed  at most 1.100 -> 1.303 (1.279 to 1.321)  tests/fixtures/ratios-stored.json:5
          worse   throughput  slower than allowed  at most 0.500 -> 1.248 (1.230 to 1.270)  tests/fixtures/ratios-stored.json:9
        verdict: worse (2 worse)
        next: mend it; if it is meant, store it with --update-baseline and read the diff
    "#]],
    );
}

#[test]
fn noise_is_no_verdict() {
    check(
        &ratios("ratios-noisy.json"),
        3,
        expect![[r#"
        ratios: 2 ratios (against tests/fixtures/ratios-stored.json)
          unsure  list        too noisy        at most 1.100 -> 1.092 (0.714 to 1.386)  tests/fixtures/ratios-stored.json:5
                    the band is 62 % wide and crosses what is allowed; up to 10 % the middle decides
          unsure  throughput  too few samples  at most 0.500 -> -                       tests/fixtures/ratios-stored.json:9
                    2 pairs of samples, 5 are the fewest that tell anything
        verdict: cannot be told (2 unsure)
        next: measure again with more pairs of samples, or on a quieter machine
    "#]],
    );
}

#[test]
fn a_whole_band_below_the_stored_ratio_improves() {
    check(
        &ratios("ratios-better.json"),
        0,
        expect![[r#"
        ratios: 2 ratios (against tests/fixtures/ratios-stored.json)
          better  list        faster      at most 1.100 -> 0.701 (0.694 to 0.706)  tests/fixtures/ratios-stored.json:5
          note    throughput  as allowed  at most 0.500 -> 0.333 (0.328 to 0.339)  tests/fixtures/ratios-stored.json:9
        verdict: pass, and better than the baseline (1 better, 1 note)
        next: store it with --update-baseline, so that it is not lost unseen
    "#]],
    );
}

#[test]
fn without_a_baseline_ratios_are_held_against_the_limit() {
    let mut request = Request { ratios: some("ratios-worse.json"), ..Request::default() };
    assert_eq!(ask(&request).0, 1);
    request.limits.ratio_max = 1.5;
    assert_eq!(ask(&request).0, 0);
}

/// One verdict for everything that was measured; the worst decides.
#[test]
fn all_at_once() {
    let request = Request {
        report: some("stored"),
        counts: some("counts-worse.json"),
        ratios: some("ratios-noisy.json"),
        baseline: some("counts-stored.json"),
        ..Request::default()
    };
    let (code, text) = ask(&request);
    assert_eq!(code, 1, "{text}");
    for section in ["scenarios: 6 cases of 5 scenarios", "counts: 4 counts", "ratios: 2 ratios"] {
        assert!(text.contains(section), "{text}");
    }
}
