//! Everything a server stores as plain values, to be kept somewhere and to start another server with. Unlike an image it
//! knows no history: watches from before are told 410, as after a compaction.

use serde_json::Value;

use crate::meta;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::seeded::Seeded;
use crate::server::{ApiServer, Options, State};
use crate::store::{self, Store};

/// What [`ApiServer::contents`] took and [`ApiServer::from_contents`] starts with.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub revision: u64,
    /// How many draws were taken from the seed: names and uids go on from there.
    pub drawn: u128,
    /// Objects as they are stored, with the resource in its storage version.
    pub objects: Vec<(Resource, Value)>,
}

impl ApiServer {
    pub fn contents(&self) -> Contents {
        self.with(|s| {
            let tables: Vec<_> = s.registry.stored().map(|d| (d.table, d.resource())).collect();
            let of = |(table, resource): (usize, Resource)| {
                let all: Vec<_> = s
                    .store
                    .range(table, "", "")
                    .map(|(_, o)| (resource.clone(), Value::clone(&o.value())))
                    .collect();
                all
            };
            let objects = tables.into_iter().flat_map(of).collect();
            Contents { revision: s.store.revision(), drawn: s.seeded.position(), objects }
        })
    }

    /// How many draws were taken from the seed.
    pub fn drawn(&self) -> u128 {
        self.with(|s| s.seeded.position())
    }

    /// A server that holds these objects (`options.bootstrap` is not looked at, and `options.rbac` adds no roles).
    pub fn from_contents(contents: Contents, options: Options) -> ApiServer {
        let mut store = Store::new(options.history);
        let registry = Registry::new(&mut store);
        let seeded = Seeded::from_position(options.seed, contents.drawn);
        let mut state = State::new(store, registry, seeded);
        state.store.limit_trees(options.trees_max);
        for (resource, object) in contents.objects {
            let key = store::key(meta::text(&object, "namespace"), meta::name(&object));
            let revision = meta::text(&object, "resourceVersion").parse().unwrap_or(0);
            if resource.plural == "customresourcedefinitions" {
                state.pending_crds.push(meta::name(&object).to_owned());
            }
            if resource == Resource::core("services") {
                state.services.occupy(&object);
            }
            let table = state.registry.table(&mut state.store, &resource.group, &resource.plural);
            state.store.restore(table, key, revision, object);
        }
        state.store.continue_from(contents.revision);
        ApiServer::of(state, options)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::json;

    use crate::clock::ManualClock;
    use crate::{ApiServer, Options, Resource};

    #[test]
    fn a_server_of_the_same_contents_goes_on() {
        let options = || Options::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)));
        let first = ApiServer::new(options());
        let client = first.client("test");
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.e.com"}, "spec": {"group": "e.com", "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
        client
            .create(&Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions"), "", crd)
            .expect("a CRD");
        let things = Resource::new("e.com", "v1", "things");
        let thing = json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": {"generateName": "t-", "labels": {"l": "x"}}, "a": 1});
        let one = client.create(&things, "default", thing.clone()).expect("a thing");
        let second = ApiServer::from_contents(first.contents(), options());
        assert_eq!(second.revision(), first.revision());
        let client = second.client("test");
        let name = one["metadata"]["name"].as_str().expect("a name");
        let again = client.get(&things, "default", name).expect("it is there");
        assert_eq!((&again["metadata"], &again["a"]), (&one["metadata"], &one["a"]));
        assert_eq!(client.list(&things, "default", "l=x").map(|l| l.len()), Ok(1), "found by its label, too");
        let two = client.create(&things, "default", thing).expect("another thing");
        assert_ne!(two["metadata"]["uid"], one["metadata"]["uid"]);
        assert!(
            client
                .create(
                    &Resource::core("services"),
                    "default",
                    json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 1}]}})
                )
                .is_err()
        );
    }
}
