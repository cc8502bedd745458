//! Holds the dependency table of ARCHITECTURE.md against `cargo metadata`, and what stands beside it.

mod go_modules;
mod surface;

use drey_ci::graph::Graph;
use drey_ci::rules::{RULES, breaches};
use serde_json::json;

#[test]
fn the_workspace_keeps_its_dependency_rules() {
    let graph = Graph::load().expect("cargo metadata answers");
    for rule in RULES {
        assert!(
            graph.members.contains(rule.package),
            "rule for {}, which is no workspace member",
            rule.package
        );
    }
    let found = breaches(&graph);
    assert!(found.is_empty(), "dependency rules broken:\n  {}", found.join("\n  "));
}

/// The check itself must be able to fail: a pure crate that reaches tokio over a third crate.
#[test]
fn a_transitive_breach_is_reported_with_its_chain() {
    let metadata = json!({
        "packages": [
            {"id": "r", "name": "drey-reconciler"}, {"id": "x", "name": "innocent"}, {"id": "t", "name": "tokio"},
        ],
        "workspace_members": ["r"],
        "resolve": {"nodes": [
            {"id": "r", "deps": [{"pkg": "x", "dep_kinds": [{"kind": null}]}]},
            {"id": "x", "deps": [{"pkg": "t", "dep_kinds": [{"kind": null}]}]},
            {"id": "t", "deps": []},
        ]},
    });
    let graph = Graph::from_metadata(&metadata).expect("well-formed");
    assert_eq!(
        breaches(&graph),
        ["drey-reconciler must not reach tokio: drey-reconciler -> innocent -> tokio"]
    );
}

#[test]
fn dev_dependencies_do_not_count() {
    let metadata = json!({
        "packages": [{"id": "r", "name": "drey-reconciler"}, {"id": "t", "name": "tokio"}],
        "workspace_members": ["r"],
        "resolve": {"nodes": [
            {"id": "r", "deps": [{"pkg": "t", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "t", "deps": []},
        ]},
    });
    let graph = Graph::from_metadata(&metadata).expect("well-formed");
    assert!(breaches(&graph).is_empty());
}
