//! What REST remembers: execution graphs and checkpoint statistics for `web.refresh-interval`, metrics as last fetched,
//! and what was answered from them.
//!
//! The caches matter to tests: after a cancel, `/jobs/:id` shows RUNNING for up to three seconds (reference, section 1).

use super::error::RestError;
use super::lasting::{Basis, Encoded, Lasting};
use super::route::{Call, Op};
use super::{Answer, Reply};
use crate::conf::Conf;
use crate::model::checkpoints::{Entry, Outcome};
use crate::model::cluster::Cluster;
use crate::model::job::Job;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub(crate) struct Caches {
    graph_ttl: i64,
    statistics_ttl: i64,
    metrics_interval: i64,
    graphs: BTreeMap<String, Shown>,
    statistics: BTreeMap<String, Shown>,
    /// How many were ever shown: their serial numbers.
    shown: u64,
    metrics: Metrics,
    /// Details of checkpoints by number, whosever they were.
    checkpoints: Lru<Entry>,
    encoded: Encoded<Op>,
}

/// The values last asked for.
struct Lru<T> {
    newest_first: VecDeque<(u64, T)>,
    max: usize,
}

impl<T: Clone> Lru<T> {
    fn get(&mut self, key: u64) -> Option<T> {
        let at = self.newest_first.iter().position(|(known, _)| *known == key)?;
        let found = self.newest_first.remove(at)?;
        let value = found.1.clone();
        self.newest_first.push_front(found);
        Some(value)
    }

    fn put(&mut self, key: u64, value: T) {
        self.newest_first.retain(|(known, _)| *known != key);
        self.newest_first.push_front((key, value));
        self.newest_first.truncate(self.max);
    }
}

/// A job as it was when somebody asked.
#[derive(Clone)]
pub(crate) struct Shown {
    pub job: Arc<Job>,
    pub serial: u64,
    until: i64,
}

#[derive(Default)]
struct Metrics {
    visible: Fetched,
    fetching: Option<Fetched>,
    fetched_at: Option<i64>,
}

/// Metrics of one moment; the serial number is 0 before the first.
#[derive(Clone, Default)]
pub(crate) struct Fetched {
    pub store: Arc<MetricStore>,
    pub serial: u64,
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
            shown: 0,
            metrics: Metrics::default(),
            checkpoints: Lru {
                newest_first: VecDeque::new(),
                max: conf.int("web.checkpoints.history", 10).clamp(0, 1_000) as usize,
            },
            encoded: Encoded::default(),
        }
    }

    pub fn refresh_interval(&self) -> i64 {
        self.graph_ttl
    }
}

impl Cluster {
    /// The job as the execution-graph cache shows it.
    pub(crate) fn cached_graph(&mut self, job: &str) -> Option<Shown> {
        let (now, Caches { graphs, shown, graph_ttl, .. }) = (self.now, &mut self.caches);
        cached(graphs, shown, self.jobs.get(job), job, now, *graph_ttl)
    }

    /// The job as the checkpoint-statistics cache shows it.
    pub(crate) fn cached_statistics(&mut self, job: &str) -> Option<Shown> {
        let (now, Caches { statistics, shown, statistics_ttl, .. }) = (self.now, &mut self.caches);
        cached(statistics, shown, self.jobs.get(job), job, now, *statistics_ttl)
    }

    /// Details of checkpoint `id` as `found` in the statistics of a job, else the last ones that were asked for under this
    /// number, of any job: `CheckpointStatsCache` has no other key (recorded).
    pub(super) fn checkpoint_details(&mut self, id: u64, found: Option<&Entry>) -> Option<Entry> {
        let Some(entry) = found else { return self.caches.checkpoints.get(id) };
        if entry.outcome != Outcome::InProgress {
            self.caches.checkpoints.put(id, entry.clone());
        }
        Some(entry.clone())
    }

    /// Metrics as fetched last; asking starts the next fetch when the last one is old, and its result is seen by the
    /// next caller.
    pub(crate) fn fetched(&mut self) -> Fetched {
        let now = self.now;
        let Caches { metrics, metrics_interval, .. } = &mut self.caches;
        if let Some(fetched) = metrics.fetching.take() {
            metrics.visible = fetched;
        }
        let shown = metrics.visible.clone();
        let due = metrics.fetched_at.is_none_or(|at| now - at >= *metrics_interval);
        if due {
            self.jobs.values_mut().for_each(|job| job.settle(now));
            let store = Arc::new(super::metrics::collect(self));
            self.caches.metrics.fetching = Some(Fetched { store, serial: shown.serial + 1 });
            self.caches.metrics.fetched_at = Some(now);
        }
        shown
    }

    pub(crate) fn fetched_metrics(&mut self) -> Arc<MetricStore> {
        self.fetched().store
    }

    /// The answer to `call` about `of`: the one encoded before while `basis` is the same, else what `make` encodes.
    pub(super) fn encoded(
        &mut self,
        call: &Call,
        of: &str,
        basis: Basis,
        make: impl FnOnce(&Cluster) -> Result<Lasting, RestError>,
    ) -> Answer {
        if let Some(lasting) = self.caches.encoded.find(&call.op, of, basis) {
            return Ok(Reply::Encoded(lasting.at(self.now)));
        }
        let lasting = make(self)?;
        let text = lasting.at(self.now);
        self.caches.encoded.keep(call.op, of, basis, lasting);
        Ok(Reply::Encoded(text))
    }

    /// For answers that show the model as it is.
    pub(super) fn live(&self) -> Basis {
        Basis { revision: self.revision, ..Basis::default() }
    }

    /// Finished jobs leave the store after `jobstore.expiration-time`.
    pub(crate) fn forget_expired_jobs(&mut self) {
        let keep = self.conf.int("jobstore.expiration-time", 3600).saturating_mul(1000);
        let now = self.now;
        let is_expired = |job: &Job| job.state.is_terminal() && now - job.end_time() >= keep;
        if self.jobs.values().any(is_expired) {
            self.jobs.retain(|_, job| !is_expired(job));
            self.revision += 1;
        }
        let Caches { graphs, statistics, encoded, .. } = &mut self.caches;
        if graphs.len().max(statistics.len()) > self.jobs.len() {
            let jobs = &self.jobs;
            let is_known = |id: &String, shown: &mut Shown| jobs.contains_key(id) || shown.until > now;
            graphs.retain(is_known);
            statistics.retain(is_known);
            encoded
                .retain(|id| jobs.contains_key(id) || graphs.contains_key(id) || statistics.contains_key(id));
        }
    }
}

fn cached(
    cache: &mut BTreeMap<String, Shown>,
    serials: &mut u64,
    live: Option<&Job>,
    id: &str,
    now: i64,
    ttl: i64,
) -> Option<Shown> {
    if let Some(shown) = cache.get(id)
        && shown.until > now
    {
        return Some(shown.clone());
    }
    let job = Arc::new(live?.clone());
    *serials += 1;
    let shown = Shown { job, serial: *serials, until: now + ttl };
    cache.insert(id.to_owned(), shown.clone());
    Some(shown)
}
