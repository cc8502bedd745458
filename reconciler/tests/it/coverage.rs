//! What of reconciler.md has a test: the cases of section 10, the historical bugs of section 11 and the QUIRKs of the
//! sections about application clusters. Each number names its tests, or what it waits for; the names are looked up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

enum Covered {
    /// Functions under `#[test]` in this crate, in drey-blueprint or in drey-operator.
    Tests(&'static [&'static str]),
    /// A scenario, by its path below `scenarios` without ending.
    Scenarios(&'static [&'static str]),
    /// Does not apply to what this version manages.
    NotYet(&'static str),
}
use Covered::{NotYet, Scenarios, Tests};

const SESSION_JOBS: Covered = NotYet("session jobs are not managed by this version");
const SESSION_CLUSTERS: Covered = NotYet("session clusters are not managed by this version");
const SNAPSHOTS: Covered = NotYet("FlinkStateSnapshot is not managed by this version");
const BLUE_GREEN: Covered = NotYet("blue/green deployments are not managed by this version");

const CASES_MAX: u8 = 105;
const BUGS_MAX: u8 = 58;

/// Cases without a row of this crate. A row is a test with the number in its name (`t42_..`).
const CASES: &[(u8, Covered)] = &[
    (15, SESSION_JOBS),
    (20, Tests(&["somebody_elses_status_write_is_read_and_decided_on_not_overwritten"])),
    (28, Tests(&["t28_jars_from_where"])),
    (57, Tests(&["answers_of_flink_1_18", "answers_of_flink_1_20", "answers_of_flink_2_2"])),
    (65, SESSION_CLUSTERS),
    (77, SESSION_CLUSTERS),
    (87, SNAPSHOTS),
    (88, SNAPSHOTS),
    (89, SNAPSHOTS),
    (90, SNAPSHOTS),
    (91, SNAPSHOTS),
    (92, SNAPSHOTS),
    (93, SNAPSHOTS),
    (96, SESSION_JOBS),
    (97, SESSION_JOBS),
    (98, SESSION_JOBS),
    (99, SESSION_JOBS),
    (100, SESSION_JOBS),
    (102, SESSION_JOBS),
    (103, SESSION_CLUSTERS),
    (105, SESSION_JOBS),
];

const BUGS: &[(u8, Covered)] = &[
    (1, Tests(&["t42_t43_b01_an_ended_job_is_restored_from_the_observed_path_even_with_metadata_left"])),
    (2, Tests(&["t47_b02_without_ha_a_failing_job_is_cancelled_or_waited_for"])),
    (
        3,
        Tests(&[
            "t44_b03_an_ended_job_whose_path_is_the_dummy_refuses",
            "b03_metadata_that_lost_its_checkpoint_is_no_beginning",
        ]),
    ),
    (4, Tests(&["t61_t36_metadata_goes_exactly_when_the_restore_does_not_need_it"])),
    (5, Tests(&["b05_every_start_has_an_id_of_its_own_that_is_stored_first"])),
    (6, Tests(&["t67_b06_a_failed_job_is_restarted_from_its_last_checkpoint"])),
    (7, Tests(&["t42_b07_the_legacy_savepoint_counts_when_no_other_path_is_on_record"])),
    (8, Tests(&["t38_the_stop_savepoint_is_recorded_as_upgrade_savepoint"])),
    (
        9,
        Tests(&[
            "b09_a_stop_that_fails_after_its_savepoint_is_a_stop",
            "a_failed_stop_may_still_have_its_savepoint",
        ]),
    ),
    (10, Tests(&["causes_of_a_printed_throwable"])),
    (11, Tests(&["b11_the_directory_of_savepoints_may_come_with_the_change_to_savepoint_mode"])),
    (12, Tests(&["b12_metadata_is_looked_for_where_the_running_job_would_have_it"])),
    (13, Tests(&["t50_b13_a_version_change_never_uses_the_metadata"])),
    (14, Tests(&["t17_b14_a_first_deployment_that_never_came_about_starts_over_from_the_initial_path"])),
    (15, Tests(&["t51_t52_b15_a_job_manager_that_never_ran_is_replaced_from_what_it_was_to_start_from"])),
    (16, Tests(&["b16_a_change_between_the_halves_is_taken_along"])),
    (17, Tests(&["t18_b17_b18_only_a_live_deployment_of_the_recorded_generation_counts_as_created"])),
    (18, Tests(&["t18_b17_b18_only_a_live_deployment_of_the_recorded_generation_counts_as_created"])),
    (19, Tests(&["directories_for_state"])),
    (20, Tests(&["t49_b20_the_age_of_the_newest_checkpoint_decides"])),
    (21, SESSION_JOBS),
    (22, SESSION_JOBS),
    (
        23,
        Tests(&[
            "b23_job_graphs_and_execution_plans_are_found_and_other_maps_left_alone",
            "a_last_state_upgrade_keeps_the_checkpoints_and_drops_the_job_graph",
            "a_running_job_is_upgraded_by_way_of_its_last_checkpoint",
        ]),
    ),
    (
        24,
        Scenarios(&[
            "job-failed/restart-on-goes-on-from-last-checkpoint",
            "upgrade/failed-job-is-restored-from-what-it-left",
        ]),
    ),
    (25, Tests(&["t09_t02_a_job_manager_that_does_not_answer_is_not_called_ready_and_recovers"])),
    (26, Tests(&["b26_the_cluster_level_map_alone_is_no_metadata"])),
    (27, Tests(&["b27_an_empty_job_map_is_metadata_without_checkpoint"])),
    (28, Tests(&["t54_b28_resume_without_metadata_refuses_until_it_is_back"])),
    // ZooKeeper is not read at all, so nothing in it can be mistaken for metadata.
    (29, Tests(&["metadata_nobody_can_have_written_is_not_relied_on"])),
    (30, Tests(&["t61_t36_metadata_goes_exactly_when_the_restore_does_not_need_it"])),
    (31, NotYet("standalone mode is not managed by this version")),
    (32, Tests(&["b32_lost_metadata_is_no_failed_deployment"])),
    (33, Tests(&["t64_b33_stateless_without_ha_is_recovered_stateful_is_not"])),
    (34, Tests(&["t11_t66_b34_an_ended_job_without_job_manager_stays_ended"])),
    (
        35,
        Tests(&[
            "t70_b35_unhealthy_without_metadata_is_left_running",
            "t71_a_failed_job_is_not_restarted_by_the_health_check",
        ]),
    ),
    (
        36,
        Tests(&[
            "t76_a_stateless_rollback_starts_empty_although_a_savepoint_is_known",
            "t74_t78_an_upgrade_that_never_runs_is_rolled_back_and_a_fixed_spec_goes_on",
        ]),
    ),
    (37, Tests(&["t75_b37_savepoint_mode_rolls_back_to_the_savepoint_when_the_new_job_manager_never_ran"])),
    (38, SESSION_CLUSTERS),
    (39, Tests(&["t41_no_job_manager_and_no_metadata_refuses", "t64_without_metadata_nothing_is_started"])),
    (40, Tests(&["t16_b40_an_older_error_goes_when_the_deployment_is_healthy"])),
    (41, Tests(&["t07_b41_an_init_container_that_cannot_be_pulled_counts_too"])),
    (
        42,
        Tests(&[
            "t62_a_deleted_deployment_is_recovered_from_the_metadata",
            "t68_too_many_restarts_replace_the_cluster",
        ]),
    ),
    (43, Tests(&["t95_b43_an_entry_whose_disposal_fails_stays_in_the_history"])),
    (44, SNAPSHOTS),
    (45, SNAPSHOTS),
    (46, SNAPSHOTS),
    (
        47,
        Scenarios(&[
            "savepoints/manual-fails-is-retried-within-grace",
            "savepoints/manual-fails-late-is-given-up",
        ]),
    ),
    (48, NotYet("no summary of the last savepoint is computed: the status shows the savepoint itself")),
    (49, Tests(&["answers_of_flink_1_20"])),
    (50, SESSION_JOBS),
    (51, SESSION_JOBS),
    (52, SESSION_JOBS),
    (53, SESSION_JOBS),
    (54, Tests(&["somebody_elses_status_write_is_read_and_decided_on_not_overwritten"])),
    (55, Tests(&["b55_one_change_is_told_once"])),
    (56, SESSION_CLUSTERS),
    (57, BLUE_GREEN),
    (58, BLUE_GREEN),
];

/// By words of the paragraph that holds it; in the order of the reference, sections 1 to 8.
const QUIRKS: &[(&str, Covered)] = &[
    ("the snapshot reverse index is keyed", SNAPSHOTS),
    (
        "the loop has no break on success",
        Tests(&["a_new_deployment_is_written_ahead_created_and_reaches_stable"]),
    ),
    (
        "do better (never limit the second half of an upgrade",
        Tests(&[
            "the_second_half_is_not_held_up_and_holds_nothing_up",
            "waits_only_for_the_rest_of_the_window",
        ]),
    ),
    (
        "the validation step compares the plain validation text",
        Tests(&["quirk_a_spec_that_stays_invalid_costs_one_event_and_one_write"]),
    ),
    ("session jobs have no observer-side clearing", SESSION_JOBS),
    (
        "previous state null makes the terminal check fail",
        Tests(&["quirk_a_job_without_a_stored_state_is_simply_seen"]),
    ),
    (
        "if the user switches to suspended between the two passes",
        Tests(&[
            "quirk_suspending_between_the_halves_ends_suspended",
            "quirk_a_change_of_a_suspended_job_is_recorded",
        ]),
    ),
    (
        "with savepoint-on-deletion and a job that is not RUNNING",
        Tests(&["quirk_a_deletion_that_waits_for_a_savepoint_says_so_and_can_be_let_go"]),
    ),
    ("for a session job in state UPGRADING", SESSION_JOBS),
    ("for a session FlinkDeployment without HA", SESSION_CLUSTERS),
    (
        "fields are cleared before the message is formatted",
        Tests(&["quirk_a_periodic_snapshot_that_ends_with_the_job_is_called_periodic"]),
    ),
    ("since this validation error skips reconcile", SNAPSHOTS),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of all functions that follow a `#[test]`-like attribute in these crates.
fn tests_of(folders: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in folders {
        let mut open = vec![root().join(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the workspace").flatten() {
                let path = entry.path();
                match path.extension().and_then(|e| e.to_str()) {
                    _ if path.is_dir() => open.push(path),
                    Some("rs") => found.extend(tests_in(&std::fs::read_to_string(&path).expect("a source"))),
                    Some(_) | None => {}
                }
            }
        }
    }
    found
}

fn tests_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            names.extend(rest.split('(').next().map(str::to_owned));
        }
    }
    names
}

fn all_tests() -> BTreeSet<String> {
    tests_of(&[
        "reconciler/src",
        "reconciler/tests",
        "reconciler/blueprint/src",
        "reconciler/blueprint/tests",
        "operator/src",
        "operator/tests",
    ])
}

/// What the entry names and is not there.
fn missing(covered: &Covered, tests: &BTreeSet<String>) -> Vec<String> {
    match covered {
        Tests(names) => {
            names.iter().filter(|name| !tests.contains(**name)).map(|name| (*name).to_owned()).collect()
        }
        Scenarios(paths) => {
            let file = |path: &str| root().join("scenarios").join(path).with_extension("yaml");
            paths.iter().filter(|path| !file(path).is_file()).map(|path| (*path).to_owned()).collect()
        }
        NotYet(reason) => {
            if reason.is_empty() {
                vec!["a reason".to_owned()]
            } else {
                Vec::new()
            }
        }
    }
}

fn numbers(entries: &[(u8, Covered)]) -> Vec<u8> {
    entries.iter().map(|(number, _)| *number).collect()
}

#[test]
fn every_case_of_the_catalogue_has_a_test_or_a_reason() {
    let rows = tests_of(&["reconciler/src", "reconciler/tests"]);
    let has_row = |number: &u8| {
        let tag = format!("t{number:02}");
        rows.iter().any(|name| name.split('_').any(|part| part == tag))
    };
    let listed = numbers(CASES);
    let open: Vec<u8> = (1..=CASES_MAX).filter(|n| !has_row(n) && !listed.contains(n)).collect();
    assert!(open.is_empty(), "no row and not listed: {open:?}");
    let both: Vec<u8> = listed.iter().copied().filter(has_row).collect();
    assert!(both.is_empty(), "listed, and there is a row: {both:?}");
}

#[test]
fn every_historical_bug_has_a_test_or_a_reason() {
    assert_eq!(numbers(BUGS), (1..=BUGS_MAX).collect::<Vec<u8>>());
}

#[test]
fn what_the_lists_name_is_there() {
    let tests = all_tests();
    let numbered = CASES.iter().chain(BUGS).map(|(number, covered)| (number.to_string(), covered));
    let quirks = QUIRKS.iter().map(|(words, covered)| ((*words).to_owned(), covered));
    for (what, covered) in numbered.chain(quirks) {
        let missing = missing(covered, &tests);
        assert!(missing.is_empty(), "{what}: there is no {missing:?}");
    }
}

/// The reference may grow: its numbers and QUIRKs are all here.
#[test]
fn the_lists_are_those_of_the_reference() {
    let shared = std::env::var_os("DREY_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(shared.join("reference/reconciler.md")) else {
        assert!(std::env::var_os("DREY_REQUIRE_SHARED").is_none_or(|v| v != "1"), "shared data is required");
        println!("skipped: no shared data");
        return;
    };
    let last = |prefix: char| {
        let number = |line: &str| line.strip_prefix(prefix)?.split_once(". ")?.0.parse::<u8>().ok();
        text.lines().filter_map(number).max()
    };
    assert_eq!((last('T'), last('B')), (Some(CASES_MAX), Some(BUGS_MAX)));
    let (sections, _) = text.split_once("\n## 9. ").expect("section 9");
    let sections = sections.split_once("\n## 1. ").expect("section 1").1;
    let quirks: Vec<&str> = sections.lines().filter(|line| line.contains("QUIRK")).collect();
    assert_eq!(quirks.len(), QUIRKS.len(), "{quirks:#?}");
    for (line, (words, _)) in quirks.iter().zip(QUIRKS) {
        assert!(line.contains(words), "`{words}` is not in: {line}");
    }
}
