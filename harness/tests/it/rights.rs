//! The chart's RBAC is what the operator needs: every right that the scenario library makes it use is granted, and none
//! that no scenario uses.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use drey_harness::library::{self, GOLDEN_SEED, Goldens, Options, Run};
use drey_harness::run::rights::Right;
use drey_harness::run::vocabulary;
use drey_language::{Source, yaml};
use serde_json::Value;

use crate::support::repository;

/// A cell of every scenario, in virtual time: the others differ in values, not in what is asked for.
fn used() -> BTreeSet<Right> {
    let vocabulary = vocabulary();
    let found = library::find(&[repository("scenarios")], &vocabulary).expect("the library");
    let runs: Vec<Run<'_>> = found.scenarios.iter().filter_map(|s| library::cells_of(s).next()).collect();
    let next = AtomicUsize::new(0);
    let options = Options { jobs: 1, goldens: Goldens::Ignore, ..Options::usual(GOLDEN_SEED) };
    let work = || {
        let mut rights = BTreeSet::new();
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            rights.extend(library::play_in_its_world(run, &vocabulary, &options).rights);
        }
        rights
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    })
}

/// The rules of a named template of the chart, which are plain YAML.
pub fn granted(template: &str) -> BTreeSet<Right> {
    let text = std::fs::read_to_string(repository("deploy/chart/templates/_helpers.tpl")).expect("the chart");
    let (_, rest) = text.split_once(&format!("{{{{- define \"{template}\" -}}}}")).expect("the template");
    let (rules, _) = rest.split_once("{{- end -}}").expect("its end");
    let documents = yaml::parse_documents(&Source::new(template, rules)).expect("YAML");
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule[key].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in documents[0].to_json().as_array().expect("rules") {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    rights.insert(right(&group, &resource, &verb));
                }
            }
        }
    }
    rights
}

/// OwnerReferencesPermissionEnforcement asks for these when `blockOwnerDeletion` is set, as OpenShift has it; no request
/// shows it, and fake-kube does not have that plugin.
const UNSEEN: [(&str, &str); 2] =
    [("flink.apache.org", "flinkdeployments/finalizers"), ("apps", "deployments/finalizers")];

fn right(group: &str, resource: &str, verb: &str) -> Right {
    Right { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
}

fn told(rights: &BTreeSet<Right>) -> String {
    rights.iter().map(|right| format!("{right}\n")).collect()
}

#[test]
fn the_chart_grants_what_the_library_uses_and_no_more() {
    let used = used();
    let (leases, others): (BTreeSet<Right>, BTreeSet<Right>) =
        used.into_iter().partition(|right| right.group == "coordination.k8s.io");
    let mut needed = others;
    needed.extend(UNSEEN.map(|(group, resource)| right(group, resource, "update")));
    let granted_there = granted("drey.operatorRules");
    assert_eq!(told(&granted_there), told(&needed), "granted, and used in namespaces looked after");
    assert_eq!(told(&granted("drey.leaseRules")), told(&leases), "granted, and used for leases");
}
