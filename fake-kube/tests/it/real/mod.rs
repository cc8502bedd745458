//! The same requests against a real server and against ours: `make test-real`.
//!
//! The real one is the published CRD half of kube-apiserver, built from `ci/real-crd-server`; its binary is named by
//! `DREY_REAL_CRD_SERVER`. It answers the recorded cases on custom resources, and random walks that nobody recorded:
//! there the two answers must be equal, step by step, texts and managedFields included.

mod agree;
mod chance;
mod edges;
mod peer;
mod schemas;
mod values;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;

use fake_kube_apiserver::conformance::{self, Case, Fixture, local::Local};

pub use self::agree::KNOWN;
use self::peer::Peer;

/// What the real CRD server has of the things cases need.
const PROVIDES: [&str; 1] = ["crd"];
/// Walks of one run; `DREY_REAL_WALKS` asks for more, `DREY_REAL_SEED` for others, `DREY_REAL_SHOW=1` for all answers.
const WALKS: u64 = 150;
/// Schemas of one run, under the same names.
const SCHEMAS: u64 = 40;

/// Whether the case is one that the real CRD server can answer: it was asked when the case was recorded, too.
pub fn is_answered(case: &Case) -> bool {
    case.needs_only(&PROVIDES) && case.recorded.iter().any(|r| r == "ext33")
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |v| v.parse().expect("a number"))
}

fn cases() -> (Vec<conformance::Topic>, Vec<Fixture>) {
    conformance::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).expect("the recorded cases")
}

/// The real server with the fixtures in place, or nothing where it was not asked for.
fn peer(fixtures: &[Fixture]) -> Option<Peer> {
    let Some(binary) = std::env::var_os("DREY_REAL_CRD_SERVER") else {
        println!("skipped: no real CRD server (make test-real builds it)");
        return None;
    };
    let mut peer = Peer::start(Path::new(&binary));
    conformance::install(&mut peer, fixtures).expect("fixtures");
    Some(peer)
}

#[test]
fn recorded_cases_on_the_real_crd_server() {
    let (topics, fixtures) = cases();
    let Some(mut peer) = peer(&fixtures) else { return };
    let (mut news, mut ran, mut differing) = (Vec::new(), BTreeMap::<&str, usize>::new(), 0);
    for (topic, case) in topics.iter().flat_map(|t| t.cases.iter().map(move |c| (t, c))) {
        if !is_answered(case) {
            continue;
        }
        *ran.entry(&topic.name).or_default() += 1;
        let known = KNOWN.iter().any(|(id, _)| *id == case.id);
        let problems = agree::recorded(case, &mut peer);
        peer.sweep();
        differing += usize::from(known);
        match (problems.is_empty(), known) {
            (false, false) => news.push(format!("{} differs:\n    {}", case.id, problems.join("\n    "))),
            (true, true) => news.push(format!("{} agrees now: take it off agree::KNOWN", case.id)),
            _ => {}
        }
    }
    let total: usize = ran.values().sum();
    println!(
        "real CRD server: {} of {total} recorded cases as recorded, {differing} known to differ",
        total - differing
    );
    assert!(total > 100, "only {total} cases ran");
    assert!(news.is_empty(), "{}", news.join("\n"));
}

#[test]
fn random_walks_on_both_servers() {
    both("random walks", WALKS, walk::case);
}

#[test]
fn drawn_schemas_on_both_servers() {
    both("drawn schemas", SCHEMAS, schemas::case);
}

#[test]
fn rules_at_the_edge_of_their_budget_on_both_servers() {
    let (_, fixtures) = cases();
    let Some(mut peer) = peer(&fixtures) else { return };
    let fresh = || {
        let mut ours = Local::new(1);
        conformance::install(&mut ours, &fixtures).expect("fixtures");
        ours
    };
    let (news, count) = edges::compared(&mut peer, &fresh);
    println!("rules at the edge: {} of {count} agree", count - news.len());
    assert!(news.is_empty(), "{} of {count} differ\n{}", news.len(), news.join("\n"));
}

/// Sends cases drawn from seeds to both servers; they must answer alike.
fn both(what: &str, count: u64, drawn: fn(u64) -> Case) {
    let (_, fixtures) = cases();
    let Some(mut peer) = peer(&fixtures) else { return };
    let (first, count) = (number("DREY_REAL_SEED", 1), number("DREY_REAL_WALKS", count));
    let (mut news, mut requests) = (Vec::new(), 0);
    for seed in first..first + count {
        let case = drawn(seed);
        requests += case.raw["steps"].as_array().map_or(0, Vec::len);
        let mut ours = Local::new(seed);
        conformance::install(&mut ours, &fixtures).expect("fixtures");
        let problems = agree::with_each_other(&case, &mut peer, &mut ours);
        peer.sweep();
        if !problems.is_empty() {
            news.push(format!("seed {seed}:\n    {}", problems.join("\n    ")));
        }
    }
    println!("{what}: {} of {count} agree, {requests} requests", count as usize - news.len());
    assert!(news.is_empty(), "{} of {count} differ\n{}", news.len(), news.join("\n"));
}
