//! What REST remembers: execution graphs and checkpoint statistics for `web.refresh-interval`, metrics as last fetched.
//!
//! The caches matter to tests: after a cancel, `/jobs/:id` shows RUNNING for up to three seconds (reference, section 1).

use crate::conf::Conf;
use crate::model::cluster::Cluster;
use crate::model::job::Job;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Caches {
    graph_ttl: i64,
    statistics_ttl: i64,
    metrics_interval: i64,
    graphs: BTreeMap<String, (i64, Job)>,
    statistics: BTreeMap<String, (i64, Job)>,
    metrics: Metrics,
}

#[derive(Default)]
struct Metrics {
    visible: Arc<MetricStore>,
    fetching: Option<Arc<MetricStore>>,
    fetched_at: Option<i64>,
}

/// Metric values by owner: `""` is the JobManager, then job ids, `tm:<id>`, `<job>/<vertex>` and `<job>/<vertex>/<n>`.
pub(crate) type MetricStore = BTreeMap<String, BTreeMap<String, String>>;

impl Caches {
    pub fn new(conf: &Conf) -> Caches {
        let graph_ttl = conf.millis("web.refresh-interval", 3000);
        Caches {
            graph_ttl,
            statistics_ttl: conf.millis("rest.cache.checkpoint-statistics.timeout", graph_ttl),
            metrics_interval: conf.millis("metrics.fetcher.update-interval", 10_000),
            graphs: BTreeMap::new(),
            statistics: BTreeMap::new(),
            metrics: Metrics::default(),
        }
    }

    pub fn refresh_interval(&self) -> i64 {
        self.graph_ttl
    }
}

impl Cluster {
    /// The job as the execution-graph cache shows it.
    pub(crate) fn cached_graph(&mut self, job: &str) -> Option<Job> {
        let (now, ttl) = (self.now, self.caches.graph_ttl);
        cached(&mut self.caches.graphs, self.jobs.get(job), job, now, ttl)
    }

    /// The job as the checkpoint-statistics cache shows it.
    pub(crate) fn cached_statistics(&mut self, job: &str) -> Option<Job> {
        let (now, ttl) = (self.now, self.caches.statistics_ttl);
        cached(&mut self.caches.statistics, self.jobs.get(job), job, now, ttl)
    }

    /// Metrics as fetched last; asking starts the next fetch when the last one is old, and its result is seen by the
    /// next caller.
    pub(crate) fn fetched_metrics(&mut self) -> Arc<MetricStore> {
        let now = self.now;
        let Caches { metrics, metrics_interval, .. } = &mut self.caches;
        if let Some(fetched) = metrics.fetching.take() {
            metrics.visible = fetched;
        }
        let shown = metrics.visible.clone();
        let due = metrics.fetched_at.is_none_or(|at| now - at >= *metrics_interval);
        if due {
            self.jobs.values_mut().for_each(|job| job.settle(now));
            let store = super::metrics::collect(self);
            self.caches.metrics.fetching = Some(Arc::new(store));
            self.caches.metrics.fetched_at = Some(now);
        }
        shown
    }

    /// Finished jobs leave the store after `jobstore.expiration-time`.
    pub(crate) fn forget_expired_jobs(&mut self) {
        let keep = self.conf.int("jobstore.expiration-time", 3600).saturating_mul(1000);
        let now = self.now;
        self.jobs.retain(|_, job| !job.state.is_terminal() || now - job.end_time() < keep);
        let jobs = &self.jobs;
        self.caches.graphs.retain(|id, (until, _)| jobs.contains_key(id) || *until > now);
        self.caches.statistics.retain(|id, (until, _)| jobs.contains_key(id) || *until > now);
    }
}

fn cached(
    cache: &mut BTreeMap<String, (i64, Job)>,
    live: Option<&Job>,
    id: &str,
    now: i64,
    ttl: i64,
) -> Option<Job> {
    if let Some((until, job)) = cache.get(id)
        && *until > now
    {
        return Some(job.clone());
    }
    let job = live?.clone();
    cache.insert(id.to_owned(), (now + ttl, job.clone()));
    Some(job)
}
