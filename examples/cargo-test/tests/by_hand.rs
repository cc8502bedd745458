//! One scenario from a test written by hand.

use std::path::Path;

fn scenario(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

#[test]
fn a_change_of_parallelism_keeps_the_state() {
    drey_harness::testing::assert_scenario(scenario("scaling-keeps-state.yaml"));
}

/// A helper that cannot fail would be worth nothing.
#[test]
#[should_panic(expected = "there is no FlinkDeployment in `flink.apache.org/vlbetal`")]
fn a_bad_manifest_fails_the_test() {
    drey_harness::testing::assert_scenario(scenario("../tests/bad/misspelt-version.yaml"));
}

#[test]
#[should_panic(expected = "expected \"SUSPENDED\", is \"STABLE\"")]
fn an_expectation_that_does_not_hold_fails_the_test() {
    drey_harness::testing::assert_scenario(scenario("../tests/bad/expects-another-state.yaml"));
}
