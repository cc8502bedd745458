//! The recorded cases through the listener, and `docs/fidelity.md`, which states what came out.
//!
//! The document is written when `DREY_UPDATE_FIDELITY=1` and compared otherwise. Its in-process column is the list that
//! the API server's own test holds to be true.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use fake_kube_apiserver::conformance::{self, Case, Topic, known_failures, needs_rbac, runs_alone};

use crate::cases;
use crate::over_http::{OverHttp, runtime};
use crate::real;

const KNOWN: &str = include_str!("../../apiserver/tests/known-failures.txt");

/// Cases that pass in process and differ over the socket, with the reason.
const OVER_HTTP_ONLY: &[(&str, &str)] = &[];

#[derive(Default)]
struct Row {
    recorded: usize,
    in_process: usize,
    over_http: usize,
    runnable: usize,
    /// On the real CRD server: as recorded, of how many that it can answer (`make test-real`).
    real: (usize, usize),
}

#[test]
fn recorded_cases_over_http() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (topics, fixtures) = conformance::load(&folder).expect("the recorded cases");
    let known = known_failures(KNOWN).expect("a list with reasons");
    let runtime = runtime();
    let mut news = Vec::new();
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (topic, case) in topics.iter().flat_map(|t| t.cases.iter().map(move |c| (t, c))) {
        let row = rows.entry(&topic.name).or_default();
        row.recorded += 1;
        if !runs_alone(case) {
            continue;
        }
        if real::is_answered(case) {
            row.real.0 += usize::from(!real::KNOWN.iter().any(|(id, _)| *id == case.id));
            row.real.1 += 1;
        }
        row.runnable += 1;
        row.in_process += usize::from(!known.contains_key(&case.id));
        let mut transport = OverHttp::new(&runtime, needs_rbac(case));
        conformance::install(&mut transport, &fixtures).expect("fixtures");
        if case.needs.iter().any(|n| n == "compaction") {
            transport.server.compact(transport.server.revision());
        }
        let outcome = conformance::run(case, &mut transport, "qwrtzpsd");
        row.over_http += usize::from(outcome.passed());
        let expected = known.contains_key(&case.id) || OVER_HTTP_ONLY.iter().any(|(id, _)| *id == case.id);
        match (outcome.passed(), expected) {
            (false, false) => news.push(format!("{} fails: {}", case.id, outcome.problems.join("\n    "))),
            (true, true) => news.push(format!("{} passes over HTTP and is listed as failing", case.id)),
            _ => {}
        }
    }
    let total = rows.values().fold((0, 0), |(p, n), r| (p + r.over_http, n + r.runnable));
    println!("over HTTP {} of {} passed", total.0, total.1);
    assert!(news.is_empty(), "{}", news.join("\n\n"));
    check_document(&document(&topics, &rows, &known));
}

fn check_document(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fidelity.md");
    if std::env::var_os("DREY_UPDATE_FIDELITY").is_some_and(|v| v == "1") {
        return std::fs::write(&path, text).expect("docs is writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/fidelity.md is out of date; write it anew with \
         DREY_UPDATE_FIDELITY=1 cargo test -p fake-kube fidelity"
    );
}

fn document(topics: &[Topic], rows: &BTreeMap<&str, Row>, known: &BTreeMap<String, String>) -> String {
    let mut out = String::from(HEADER);
    let controllers = |name: &str| cases::TOPICS.contains(&name);
    for (name, row) in rows {
        if controllers(name) {
            continue;
        }
        let shown = |n: usize, of: usize| if of == 0 { "-".to_owned() } else { format!("{n} of {of}") };
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} |",
            row.recorded,
            shown(row.in_process, row.runnable),
            shown(row.over_http, row.runnable),
            shown(row.real.0, row.real.1)
        );
    }
    let sum =
        |f: fn(&Row) -> usize| rows.iter().filter(|(n, _)| !controllers(n)).map(|(_, r)| f(r)).sum::<usize>();
    let runnable = sum(|r| r.runnable);
    let _ = writeln!(
        out,
        "| **all** | {} | {} of {runnable} | {} of {runnable} | {} of {} |",
        sum(|r| r.recorded),
        sum(|r| r.in_process),
        sum(|r| r.over_http),
        sum(|r| r.real.0),
        sum(|r| r.real.1)
    );
    let with: usize = rows.iter().filter(|(n, _)| controllers(n)).map(|(_, r)| r.recorded).sum();
    let failing = cases::KNOWN_FAILURES.len();
    let _ = writeln!(
        out,
        "\nWith controllers (topics {}): {} of {with} cases pass in process.\n\n## Known differences\n\n| case | priority | about | difference |\n|---|---|---|---|",
        cases::TOPICS.join(", "),
        with - failing
    );
    let all: Vec<&Case> = topics.iter().flat_map(|t| &t.cases).collect();
    let listed = cases::KNOWN_FAILURES.iter().chain(OVER_HTTP_ONLY).map(|(id, why)| (*id, *why));
    let of_real = real::KNOWN.iter().map(|(id, why)| format!("| {id} | {why} |\n"));
    let mut differences: Vec<(&str, &str)> =
        known.iter().map(|(id, why)| (id.as_str(), why.as_str())).chain(listed).collect();
    differences.sort_unstable();
    let all_pass = differences.is_empty();
    for (id, why) in differences {
        let case = all.iter().find(|c| c.id == id);
        let (priority, title) = case.map_or(("", ""), |c| (&c.priority, &c.title));
        let _ = writeln!(out, "| {id} | {priority} | {title} | {why} |");
    }
    if all_pass {
        out.push_str("| none | | | |\n");
    }
    out.push_str(REAL);
    out.extend(of_real);
    out.push_str(CLIENTS);
    out
}

const HEADER: &str = "# How faithful fake-kube is

Written by `DREY_UPDATE_FIDELITY=1 cargo test -p fake-kube fidelity`; the test fails when this file is out of date.

Each case is a list of requests with the answers that a Kubernetes 1.35.3 API server gave. Values that differ from run
to run (names, uids, times, versions) are matched by position; everything else, texts included, must be the same.
*Recorded* counts all cases, *in process* and *over HTTP* those that pass of the ones an API server can answer without
controllers: by a call of the service, and through the listener on a socket. *Real* counts those that the real CRD server
of the same release answers as recorded, of the ones it can answer: `make test-real` builds it and holds this to be true.

| area | recorded | in process | over HTTP | real |
|---|---|---|---|---|
";

const REAL: &str = "
## The real server

`make test-real` also sends random walks of requests to the real CRD server and to fake-kube: creates, updates, all
kinds of patches, applies, scales, deletes, reads and lists of a few custom resources, drawn from a seed; and CRDs with
drawn schemas, with objects that fit them more or less. Each answer must be the same on both, texts and managedFields
included. Left to chance there, and so not compared: how far a watch cache lags behind, and in which order a Go map is
walked. Rules at the edge of what one run may cost are held against it, too: with the longest lists that are let through
here, and with one element more. Known to differ: who owns the status of a CRD (`kube-apiserver`, as in a cluster; the CRD
server alone goes by its own name); and defaults of formats without effect. Recorded cases that the CRD server alone answers
otherwise:

| case | why |
|---|---|
";

const CLIENTS: &str = "
## Clients

Programs of others, each run as it is published against `fake-kube serve --rbac`; what they did and what they asked for
(`--audit-log`) is checked. `make test` runs those without a mark, `make test-clients` those with one star, too, and
`make test-more-clients` those with two, which take minutes to fetch and build.

| client | what it does there |
|---|---|
| kubectl 1.32 | its commands, streams over WebSocket and SPDY |
| kube-rs 5 | Controller, finalizer, events, watchers of both kinds, wait conditions, an election |
| controller-runtime 0.23 * | an operator under its own role: WatchList over the cluster, apply, status, events, two replicas of which the leader is killed |
| Helm 3.20 * | install with CRD and hooks, upgrade, refusal, rollback, test, uninstall; conditional requests answered 304 |
| kopf 1.45 and the Python client 37 * | an operator with peering, finalizer, progress in annotations, JSON patches |
| Helm 4.3 ** | the same chart applied by the server: waits by watches, a conflict and force, rollback, uninstall |
| Java Operator SDK 5.1 with fabric8 7.3 ** | informers by WebSocket, an election, applied finalizer and status, scale, events, drift |
";
