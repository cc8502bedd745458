//! The table of ARCHITECTURE.md as data: what each crate of ours may reach.

use crate::graph::Graph;

/// One row: a crate, the crates of ours it may reach, and the foreign crates it must not.
pub struct Rule {
    pub package: &'static str,
    pub ours: &'static [&'static str],
    pub never: &'static [&'static str],
}

/// Whatever does IO, keeps time or throws dice: kept out of the pure middle.
const IO: &[&str] = &["tokio", "hyper", "kube-client", "kube-runtime"];
const IO_AND_DICE: &[&str] =
    &["tokio", "hyper", "kube-client", "kube-runtime", "rand", "rand_core", "fastrand"];

pub const RULES: &[Rule] = &[
    Rule { package: "drey-api", ours: &[], never: IO },
    Rule { package: "drey-blueprint", ours: &["drey-api"], never: IO_AND_DICE },
    Rule { package: "drey-reconciler", ours: &["drey-api", "drey-blueprint"], never: IO_AND_DICE },
    Rule { package: "drey-operator", ours: &["drey-api", "drey-blueprint", "drey-reconciler"], never: &[] },
    Rule { package: "fake-kube-schema", ours: &[], never: IO },
    Rule {
        package: "fake-kube-apiserver",
        ours: &["fake-kube-schema"],
        never: &["kube-client", "kube-runtime"],
    },
    Rule {
        package: "fake-kube",
        ours: &["fake-kube-schema", "fake-kube-apiserver"],
        never: &["kube-client", "kube-runtime"],
    },
    Rule { package: "fake-flink", ours: &[], never: &["kube-client", "kube-runtime"] },
    Rule { package: "drey-yaml", ours: &[], never: IO_AND_DICE },
    Rule { package: "drey-language", ours: &["drey-yaml"], never: IO },
    Rule { package: "drey-gate", ours: &["drey-yaml"], never: IO_AND_DICE },
    Rule { package: "drey-clusters", ours: &["drey-yaml"], never: IO_AND_DICE },
    Rule {
        package: "drey-playground",
        ours: &["drey-yaml", "drey-language"],
        never: &["kube-client", "kube-runtime"],
    },
    Rule { package: "drey-testkit", ours: &["drey-api"], never: IO },
    Rule { package: "drey-ci", ours: &[], never: IO },
];

/// Crates at the top of the map, which may know everybody.
pub const FREE: &[&str] = &["drey-harness", "drey-benches", "drey-example-suite"];

/// Every breach, as a sentence that shows the chain.
pub fn breaches(graph: &Graph) -> Vec<String> {
    RULES.iter().flat_map(|rule| breaches_of(graph, rule)).chain(unknown_members(graph)).collect()
}

fn breaches_of(graph: &Graph, rule: &Rule) -> Vec<String> {
    let is_breach = |name: &&str| {
        let strange = graph.members.contains(*name) && !rule.ours.contains(name);
        strange || rule.never.contains(name)
    };
    let breach = |name: &str| {
        format!("{} must not reach {name}: {}", rule.package, graph.path(rule.package, name).join(" -> "))
    };
    graph.reach(rule.package).into_iter().filter(is_breach).map(breach).collect()
}

/// A crate without a row would be held to nothing.
fn unknown_members(graph: &Graph) -> Vec<String> {
    let has_row = |name: &String| {
        FREE.contains(&name.as_str()) || RULES.iter().any(|rule| rule.package == name.as_str())
    };
    let missing = |name: &String| format!("{name} has no row in ci/src/rules.rs: add one");
    graph.members.iter().filter(|name| !has_row(name)).map(missing).collect()
}
