//! A server's contents to start others with, as a copy of etcd's data directory would: objects, history, registered
//! CRDs. Copies share what they hold, compiled schemas included, so that starting the hundredth server costs what a few
//! maps cost.

use std::collections::BTreeMap;

use crate::registry::Registry;
use crate::seeded::Seeded;
use crate::server::{ApiServer, Options, State};
use crate::service_ip::Allocated;
use crate::store::Store;

/// What [`ApiServer::image`] took and [`ApiServer::from_image`] starts with.
pub struct Image {
    store: Store,
    registry: Registry,
    services: Allocated,
    crd_specs: BTreeMap<String, String>,
    /// How many draws it took to get here: a copy goes on from there in the sequence of its own seed.
    drawn: u128,
}

impl ApiServer {
    /// The contents as they are now.
    pub fn image(&self) -> Image {
        self.with(|s| Image {
            store: s.store.copy(s.store.limits()),
            registry: s.registry.clone(),
            services: s.services.clone(),
            crd_specs: s.crd_specs.clone(),
            drawn: s.seeded.position(),
        })
    }

    /// A server that holds what the image holds already (`options.bootstrap` is not looked at, and `options.rbac` adds no
    /// roles). It behaves as the one the image was taken of would have with this seed, uids of the objects in the image
    /// aside.
    pub fn from_image(image: &Image, options: Options) -> ApiServer {
        let seeded = Seeded::from_position(options.seed, image.drawn);
        let mut state = State::new(image.store.copy(options.history), image.registry.clone(), seeded);
        state.services = image.services.clone();
        state.crd_specs = image.crd_specs.clone();
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

    fn server(seed: u64) -> Options {
        Options { seed, ..Options::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))) }
    }

    fn named(api: &ApiServer, prefix: &str) -> String {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": prefix}});
        let stored = api.client("test").create(&Resource::core("configmaps"), "default", object);
        stored.expect("a config map")["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_copy_goes_on_where_the_original_stood_and_alone() {
        let original = ApiServer::new(server(7));
        named(&original, "before-");
        let image = original.image();
        let copy = ApiServer::from_image(&image, server(7));
        assert_eq!(copy.revision(), original.revision());
        // The same draws follow in both, and neither sees what the other writes.
        let (ours, theirs) = (named(&original, "after-"), named(&copy, "after-"));
        assert_eq!(ours, theirs);
        named(&copy, "more-");
        let all =
            |api: &ApiServer| api.client("test").list(&Resource::core("configmaps"), "", "").map(|l| l.len());
        assert_eq!((all(&original), all(&copy)), (Ok(2), Ok(3)));
    }

    #[test]
    fn another_seed_gives_other_names() {
        let image = ApiServer::new(server(7)).image();
        let names = |seed| named(&ApiServer::from_image(&image, server(seed)), "x-");
        assert_ne!(names(7), names(8));
    }
}
