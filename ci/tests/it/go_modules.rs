//! Programs in Go that CI builds share the versions of what they have in common, so that it is compiled once.

use drey_ci::graph::workspace_root;
use std::collections::BTreeMap;

const MODULES: [&str; 3] =
    ["ci/real-crd-server", "fake-kube/tests/clients", "examples/other-operators/controller-runtime"];
/// What is large, and what it rests on.
const SHARED: [&str; 3] = ["k8s.io/", "golang.org/x/", "sigs.k8s.io/structured-merge-diff/"];

#[test]
fn the_programs_in_go_share_their_versions() {
    let mut versions: BTreeMap<String, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for module in MODULES {
        let text = std::fs::read_to_string(workspace_root().join(module).join("go.mod")).expect("a go.mod");
        for (name, version) in taken(&text) {
            versions.entry(name).or_default().entry(version).or_default().push(module);
        }
    }
    let shared = versions.iter().filter(|(name, _)| SHARED.iter().any(|prefix| name.starts_with(prefix)));
    let (one, several): (Vec<_>, Vec<_>) = shared.partition(|(_, by_version)| by_version.len() == 1);
    assert!(one.len() > 10, "only {} shared modules were found: has the form of go.mod changed?", one.len());
    assert!(several.is_empty(), "raise these together (go get in each folder): {several:#?}");
}

/// Each module a go.mod names with the version that is taken: the one that replaces it, where there is one.
fn taken(text: &str) -> BTreeMap<String, String> {
    let mut taken = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split("//").next().unwrap_or_default().split_whitespace().collect();
        match words[..] {
            ["replace", name, "=>", _, version] => drop(taken.insert(name.to_owned(), version.to_owned())),
            ["require", name, version] | [name, version] if version.starts_with('v') => {
                taken.entry(name.to_owned()).or_insert_with(|| version.to_owned());
            }
            _ => {}
        }
    }
    taken
}

#[test]
fn a_replaced_module_counts_as_what_replaces_it() {
    let text = "module x\n\nrequire a.b/c v1.0.0 // indirect\n\nrequire (\n\td.e/f v1.2.3\n)\n\nreplace d.e/f => d.e/f v1.2.0\n";
    let expected = [("a.b/c", "v1.0.0"), ("d.e/f", "v1.2.0")];
    assert_eq!(taken(text), expected.map(|(name, version)| (name.to_owned(), version.to_owned())).into());
}
