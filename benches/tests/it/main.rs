//! The counts of this build are the stored ones, reach their goals, and are the same however often they are taken.

use std::time::Duration;

use drey_benches::{gates, operations, speed};

#[test]
fn counts_are_as_stored_and_every_goal_is_met() {
    let found = gates::counts().expect("everything can be counted");
    let verdict = gates::judge(&found, &gates::stored().expect("the baseline can be read"));
    let told = drey_gate::terminal::render(&verdict, drey_gate::Paint::Plain);
    assert_eq!(verdict.exit_code(), 0, "run `make gates`, then with BLESS=--bless:\n{told}");
}

/// Nothing that is counted is drawn: no delay of the instant world, no jitter of the operator.
#[test]
fn counts_do_not_depend_on_the_seed() {
    let count = |seed| operations::operations(seed).expect("everything can be counted");
    assert_eq!(count(1), count(2));
}

#[test]
fn the_same_fleet_lives_the_same_life() {
    let life = || speed::life(3, Duration::from_secs(120), 7).expect("three deployments live and end");
    let (one, other) = (life(), life());
    assert_eq!(one.checksum, other.checksum);
    assert_eq!(one.whole().passes, other.whole().passes);
    assert!(one.whole().passes >= 3 * 4, "{one:?}");
}
