//! Which cases of the catalogue (reconciler.md 10) have a test here, and why the others have none yet.

const SOURCES: [&str; 8] = [
    include_str!("rows/deletion.rs"),
    include_str!("rows/observation.rs"),
    include_str!("rows/recovery.rs"),
    include_str!("rows/snapshots.rs"),
    include_str!("rows/spec.rs"),
    include_str!("rows/upgrades.rs"),
    include_str!("stories.rs"),
    include_str!("../../src/health.rs"),
];

/// Not a row of this crate: number, and where it belongs or what it waits for.
const ELSEWHERE: &[(u8, &str)] = &[
    (15, "session jobs are not managed by this version"),
    (20, "status conflicts are the shell's business"),
    (25, "validation texts are tested in drey-blueprint"),
    (27, "validation texts are tested in drey-blueprint"),
    (28, "session jobs are not managed by this version"),
    (30, "spec differences are tested in drey-blueprint"),
    (31, "spec differences are tested in drey-blueprint"),
    (32, "spec differences are tested in drey-blueprint"),
    (34, "spec differences are tested in drey-blueprint"),
    (57, "the answer 409 to a cancellation is read by the shell"),
    (65, "session clusters are not managed by this version"),
    (77, "session clusters are not managed by this version"),
    (87, "FlinkStateSnapshot is not managed by this version"),
    (88, "FlinkStateSnapshot is not managed by this version"),
    (89, "FlinkStateSnapshot is not managed by this version"),
    (90, "FlinkStateSnapshot is not managed by this version"),
    (91, "FlinkStateSnapshot is not managed by this version"),
    (92, "FlinkStateSnapshot is not managed by this version"),
    (93, "FlinkStateSnapshot is not managed by this version"),
    (96, "session jobs are not managed by this version"),
    (97, "session jobs are not managed by this version"),
    (98, "session jobs are not managed by this version"),
    (99, "session jobs are not managed by this version"),
    (100, "session jobs are not managed by this version"),
    (102, "session jobs are not managed by this version"),
    (103, "session clusters are not managed by this version"),
    (105, "session jobs are not managed by this version"),
];

fn has_test(number: u8) -> bool {
    let tag = format!("t{number:02}");
    let names =
        SOURCES.iter().flat_map(|source| source.lines()).filter_map(|line| line.trim().strip_prefix("fn "));
    names.filter_map(|line| line.split('(').next()).any(|name| name.split('_').any(|part| part == tag))
}

#[test]
fn every_case_of_the_catalogue_has_a_test_or_a_reason() {
    let open: Vec<u8> =
        (1..=105).filter(|n| !has_test(*n) && !ELSEWHERE.iter().any(|(other, _)| other == n)).collect();
    assert!(open.is_empty(), "no test and no reason: {open:?}");
    let both: Vec<u8> = ELSEWHERE.iter().map(|(n, _)| *n).filter(|n| has_test(*n)).collect();
    assert!(both.is_empty(), "listed as not applying, and tested: {both:?}");
}
