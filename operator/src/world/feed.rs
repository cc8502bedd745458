//! The watches that keep the world up to date, per watched namespace or one for the whole cluster, as one stream.
//! Polling it *is* watching: nothing is spawned, so whoever drops the stream stops every watch at that instant.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use drey_api::FlinkDeployment;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::ha_map::HaMap;
use super::index::{Entry, Index, Reduced};
use super::lenient::Lenient;
use super::{State, World, reduce};
use crate::clock::Clock;
use crate::queue::Key;

/// What came of one watch event.
#[derive(Debug)]
pub(crate) struct WatchNews {
    /// The kind watched.
    pub kind: &'static str,
    /// The namespace watched, "" for all.
    pub scope: String,
    /// Resources to look at because of it; their watches' indices are up to date already.
    pub touched: BTreeSet<Key>,
    /// The watch was listed completely just now.
    pub synced: bool,
    /// The watch is failing; it tries again by itself.
    pub error: Option<String>,
}

/// Objects of native clusters, JobManager pods among them; TaskManagers are the JobManager's business.
const JOB_MANAGER_PODS: &str = "type=flink-native-kubernetes,component=jobmanager";
/// Standalone clusters label their Deployments with another type, so it is left out here.
const JOB_MANAGERS: &str = "component=jobmanager";
/// HA maps of Flink 2 have no `configmap-type` label any more (flink-rest.md 8), so it cannot be selected by.
const CONFIG_MAPS: &str = "type=flink-native-kubernetes,component!=autoscaler";
const SERVICES: &str = "type=flink-native-kubernetes";

/// One stream over all watches. `namespaces` empty: the whole cluster.
pub(crate) fn watches(
    client: &Client,
    namespaces: &[String],
    resource_selector: Option<&str>,
    world: &Arc<World>,
    clock: &Arc<dyn Clock>,
) -> SelectAll<BoxStream<'static, WatchNews>> {
    let all = [String::new()];
    let scopes: &[String] = if namespaces.is_empty() { &all } else { namespaces };
    let mut streams = Vec::new();
    for scope in scopes {
        let with = Watch { client, scope, world, clock };
        streams.push(with.stream::<FlinkDeployment, _>(
            "FlinkDeployment",
            resource_selector,
            reduce::resource,
            |s| &mut s.resources,
            reduce::resource_differs,
        ));
        streams.push(with.stream::<Deployment, _>(
            "Deployment",
            Some(JOB_MANAGERS),
            reduce::job_manager,
            |s| &mut s.deployments,
            reduce::value_differs,
        ));
        streams.push(with.stream::<Pod, _>(
            "Pod",
            Some(JOB_MANAGER_PODS),
            reduce::pod,
            |s| &mut s.pods,
            reduce::value_differs,
        ));
        streams.push(with.stream::<HaMap, _>(
            "ConfigMap",
            Some(CONFIG_MAPS),
            reduce::config_map,
            |s| &mut s.config_maps,
            reduce::ha_differs,
        ));
        streams.push(with.stream::<Service, _>(
            "Service",
            Some(SERVICES),
            reduce::service,
            |s| &mut s.services,
            reduce::value_differs,
        ));
    }
    select_all(streams)
}

struct Watch<'a> {
    client: &'a Client,
    scope: &'a str,
    world: &'a Arc<World>,
    clock: &'a Arc<dyn Clock>,
}

/// The usual pauses between attempts, in the world's time as everything the operator waits for.
struct Pauses {
    usual: DefaultBackoff,
    clock: Arc<dyn Clock>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.usual.next().map(|pause| self.clock.runtime(pause))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.usual.reset();
    }
}

impl Watch<'_> {
    fn stream<K, T>(
        &self,
        kind: &'static str,
        selector: Option<&str>,
        reduce: fn(K) -> Option<Reduced<T>>,
        index: fn(&mut State) -> &mut Index<T>,
        matters: fn(&Entry<T>, &Entry<T>) -> bool,
    ) -> BoxStream<'static, WatchNews>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        T: Send + 'static,
    {
        let client = self.client.clone();
        let api: Api<Lenient<K>> = match self.scope {
            "" => Api::all(client),
            namespace => Api::namespaced(client, namespace),
        };
        let config = match selector {
            Some(selector) => watcher::Config::default().labels(selector),
            None => watcher::Config::default(),
        };
        let (scope, world) = (self.scope.to_owned(), Arc::clone(self.world));
        let pauses = Pauses { usual: DefaultBackoff::default(), clock: Arc::clone(self.clock) };
        let stream = watcher(api, config).backoff(pauses).map(move |item| {
            let mut news = WatchNews {
                kind,
                scope: scope.clone(),
                touched: BTreeSet::new(),
                synced: false,
                error: None,
            };
            match item {
                Ok(event) => {
                    news.synced = matches!(event, Event::InitDone);
                    if let Some(event) = reduced(kind, event, reduce) {
                        news.touched = world.with(|s| index(s).observe(&scope, event, matters));
                    }
                }
                Err(error) => news.error = Some(chain(&error)),
            }
            news
        });
        stream.boxed()
    }
}

/// The event with its object reduced; `None` for objects that mean nothing to us or cannot be read.
fn reduced<K, T>(
    kind: &str,
    event: Event<Lenient<K>>,
    reduce: fn(K) -> Option<Reduced<T>>,
) -> Option<Event<Reduced<T>>>
where
    K: Resource,
{
    let one = |object: Lenient<K>| match object.0 {
        Ok(object) => reduce(object),
        Err(invalid) => {
            let name = invalid.metadata.name.unwrap_or_default();
            let namespace = invalid.metadata.namespace.unwrap_or_default();
            tracing::warn!(kind, namespace, name, error = %invalid.error, "skip an object that cannot be read");
            None
        }
    };
    match event {
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
        Event::InitApply(object) => one(object).map(Event::InitApply),
        Event::Apply(object) => one(object).map(Event::Apply),
        Event::Delete(object) => one(object).map(Event::Delete),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}
