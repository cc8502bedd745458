//! The metrics in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use drey_api::FlinkDeployment;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Labels, Metrics};

/// Of a gauge that is kept per namespace.
fn labels_of(namespace: &str) -> Labels {
    vec![("resourcens", namespace.to_owned()), ("resourcetype", FlinkDeployment::KIND.to_owned())]
}

impl Metrics {
    /// The text a scrape gets.
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register("drey_passes", "Passes over resources, by outcome", self.passes.clone());
        registry.register(
            "drey_pass_seconds",
            "Duration of a pass, requests included",
            self.pass_seconds.clone(),
        );
        registry.register("drey_requests", "Requests of passes, by peer and kind", self.requests.clone());
        registry.register("drey_watch_failures", "Failures of watches, by kind", self.watch_failures.clone());
        for (name, (help, family)) in self.gauges() {
            registry.register(name, help, family);
        }
        self.register_usage(&mut registry);
        self.register_own(&mut registry);
        self.register_durations(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing into a String does not fail");
        text
    }

    fn gauges(&self) -> BTreeMap<String, (&'static str, Family<Labels, Gauge>)> {
        let mut gauges: BTreeMap<String, (&'static str, Family<Labels, Gauge>)> = BTreeMap::new();
        let state = self.state.lock().expect("nothing panics while holding the metrics");
        for (key, resource) in &state.resources {
            let labels = labels_of(&key.namespace);
            let mut count = |name: String, help| {
                let (_, family) = gauges.entry(name).or_insert_with(|| (help, Family::default()));
                family.get_or_create(&labels).inc();
            };
            let scope = "flink_k8soperator_namespace";
            count(format!("{scope}_Count"), "Resources");
            count(format!("{scope}_Lifecycle_State_{}_Count", resource.lifecycle), "Resources in this state");
            count(
                format!("{scope}_JmDeploymentStatus_{}_Count", resource.job_manager),
                "JobManagers in this state",
            );
            count(
                format!("{scope}_FlinkVersion_{}_Count", resource.flink_version),
                "Resources of this version",
            );
        }
        gauges
    }

    /// What the clusters of each namespace take together.
    fn register_usage(&self, registry: &mut Registry) {
        let cpu = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        let memory = Family::<Labels, Gauge>::default();
        self.with(|state| {
            for (key, resource) in &state.resources {
                let labels = labels_of(&key.namespace);
                cpu.get_or_create(&labels).inc_by(resource.cpu);
                memory.get_or_create(&labels).inc_by(resource.memory);
            }
        });
        registry.register("flink_k8soperator_namespace_ResourceUsage_Cpu", "CPUs of all clusters", cpu);
        registry.register(
            "flink_k8soperator_namespace_ResourceUsage_Memory",
            "Bytes of all clusters",
            memory,
        );
    }

    /// Of the operator itself, without labels.
    fn register_own(&self, registry: &mut Registry) {
        let mut register = |name: String, help: &str, value: i64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        self.with(|state| {
            let leads = i64::from(state.leads);
            register("drey_leads".to_owned(), "Whether this operator works, or waits for the lease", leads);
            for (name, count) in &state.kube {
                let name = format!("flink_k8soperator_system_KubeClient_{name}");
                register(name, "Requests to the API server", *count);
            }
        });
    }

    /// Histograms as Flink's Prometheus reporter shows them: quantiles, and how many there were.
    fn register_durations(&self, registry: &mut Registry) {
        type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;
        let mut by_namespace: BTreeMap<String, (Seconds, Family<Labels, Gauge>)> = BTreeMap::new();
        let mut overall: BTreeMap<String, (Seconds, Gauge)> = BTreeMap::new();
        self.with(|state| {
            for (scope, what, samples) in state.durations.samples() {
                let count = i64::try_from(samples.count).unwrap_or(i64::MAX);
                let (labels, quantiles) = match scope {
                    Some(namespace) => {
                        let name = format!("flink_k8soperator_namespace_Lifecycle_{what}_TimeSeconds");
                        let (quantiles, counts) = by_namespace.entry(name).or_default();
                        let labels = labels_of(namespace);
                        counts.get_or_create(&labels).set(count);
                        (labels, quantiles)
                    }
                    None => {
                        let kind = FlinkDeployment::KIND;
                        let name = format!("flink_k8soperator_system_{kind}_Lifecycle_{what}_TimeSeconds");
                        let (quantiles, all) = overall.entry(name).or_default();
                        all.set(count);
                        (Vec::new(), quantiles)
                    }
                };
                for (quantile, value) in samples.quantiles() {
                    let mut labels = labels.clone();
                    labels.push(("quantile", quantile.to_owned()));
                    quantiles.get_or_create(&labels).set(value);
                }
            }
        });
        const SECONDS: &str = "Seconds, of the newest thousand";
        const COUNT: &str = "How many were measured";
        for (name, (quantiles, count)) in by_namespace {
            registry.register(format!("{name}_count"), COUNT, count);
            registry.register(name, SECONDS, quantiles);
        }
        for (name, (quantiles, count)) in overall {
            registry.register(format!("{name}_count"), COUNT, count);
            registry.register(name, SECONDS, quantiles);
        }
    }
}
