//! `/metrics`: how many requests of which sort were answered how, and how long that took, under the names and labels of a
//! kube-apiserver (apiserver/pkg/endpoints/metrics). So an operator's cost is read here as on a real cluster.
//! Leaves out everything about the process, its queues and its storage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fake_kube_apiserver::RequestInfo;
use http::{Request, StatusCode};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histogram, in seconds, as the real one has them.
const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Sorts of requests that are told apart; paths are the clients' to choose.
const SERIES_MAX: usize = 2_000;

#[derive(Default)]
pub(super) struct Metrics(Mutex<Series>);

#[derive(Default)]
struct Series {
    requests: BTreeMap<(Sort, u16), u64>,
    durations: BTreeMap<Sort, Histogram>,
}

#[derive(Default)]
struct Histogram {
    /// The last is of those that took longer than all bounds.
    counts: [u64; BUCKETS.len() + 1],
    sum: Duration,
}

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sort {
    dry_run: bool,
    group: String,
    resource: String,
    scope: &'static str,
    subresource: String,
    verb: String,
    version: String,
}

/// A request under way.
pub(super) struct Measured {
    sort: Sort,
    began: Instant,
}

impl Metrics {
    /// None: it is about no resource.
    pub(super) fn begin<B>(&self, info: RequestInfo, request: &Request<B>) -> Option<Measured> {
        let applies = request
            .headers()
            .get("content-type")
            .is_some_and(|t| t.as_bytes().starts_with(b"application/apply-patch"));
        let dry_run = request.uri().query().is_some_and(|q| q.contains("dryRun=All"));
        let sort = Sort::of(info, applies, dry_run)?;
        Some(Measured { sort, began: Instant::now() })
    }

    /// No status: the connection was cut.
    pub(super) fn end(&self, measured: Option<Measured>, status: Option<StatusCode>) {
        let (Some(Measured { sort, began }), Some(status)) = (measured, status) else { return };
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (sort, status.as_u16());
        if series.requests.len() >= SERIES_MAX && !series.requests.contains_key(&slot) {
            return;
        }
        // A watch takes as long as somebody listens.
        if slot.0.verb != "WATCH" && status.is_success() {
            series.durations.entry(slot.0.clone()).or_default().add(began.elapsed());
        }
        *series.requests.entry(slot).or_default() += 1;
    }

    pub(super) fn render(&self) -> String {
        let series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        head(&mut out, "apiserver_request_total", "counter", "Requests answered, by sort and code.");
        for ((sort, code), count) in &series.requests {
            let _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{}}} {count}", sort.labels());
        }
        let name = "apiserver_request_duration_seconds";
        head(&mut out, name, "histogram", "How long answers took that succeeded, watches left out.");
        for (sort, histogram) in &series.durations {
            histogram.render(&mut out, name, &sort.labels());
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

impl Sort {
    fn of(info: RequestInfo, applies: bool, dry_run: bool) -> Option<Sort> {
        if info.resource.is_empty() {
            return None;
        }
        let verb = match info.verb.as_str() {
            "create" => "POST",
            "update" => "PUT",
            "patch" if applies => "APPLY",
            verb => &verb.to_ascii_uppercase(),
        };
        let scope = match () {
            () if !info.name.is_empty() || info.verb == "create" => "resource",
            () if !info.namespace.is_empty() => "namespace",
            () => "cluster",
        };
        let RequestInfo { group, version, resource, subresource, .. } = info;
        Some(Sort { dry_run, group, resource, scope, subresource, verb: verb.to_owned(), version })
    }

    fn labels(&self) -> String {
        let parts = [
            ("component", "apiserver"),
            ("dry_run", if self.dry_run { "All" } else { "" }),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", &self.verb),
            ("version", &self.version),
        ];
        let label = |(name, value): (&str, &str)| {
            format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
        };
        parts.map(label).join(",")
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let bucket = BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += took;
    }

    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut seen = 0;
        let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(self.counts) {
            seen += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {seen}");
        }
        let _ = writeln!(
            out,
            "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {seen}",
            self.sum.as_secs_f64()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(metrics: &Metrics, method: &str, uri: &str, content_type: &str, code: u16) {
        let request = Request::builder().method(method).uri(uri).header("content-type", content_type);
        let request = request.body(()).expect("a request");
        let measured = metrics.begin(RequestInfo::of(request.method(), request.uri()), &request);
        metrics.end(measured, StatusCode::from_u16(code).ok());
    }

    #[test]
    fn requests_are_counted_by_sort() {
        let metrics = Metrics::default();
        ask(&metrics, "GET", "/api/v1/pods?watch=1", "", 200);
        ask(&metrics, "GET", "/apis/apps/v1/namespaces/n/deployments", "", 200);
        ask(
            &metrics,
            "PATCH",
            "/api/v1/namespaces/n/configmaps/c?dryRun=All",
            "application/apply-patch+yaml",
            409,
        );
        ask(&metrics, "POST", "/api/v1/namespaces/n/configmaps", "application/json", 201);
        ask(&metrics, "GET", "/healthz", "", 200);
        let text = metrics.render();
        let counts: Vec<&str> = text.lines().filter(|l| l.starts_with("apiserver_request_total{")).collect();
        let label =
            |rest: &str, verb: &str| format!("{rest},subresource=\"\",verb=\"{verb}\",version=\"v1\"}} 1");
        let sort = |code, dry, group, resource, scope| {
            format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"{dry}\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\""
            )
        };
        assert_eq!(
            counts,
            [
                label(&sort(201, "", "", "configmaps", "resource"), "POST"),
                label(&sort(200, "", "", "pods", "cluster"), "WATCH"),
                label(&sort(200, "", "apps", "deployments", "namespace"), "LIST"),
                label(&sort(409, "All", "", "configmaps", "resource"), "APPLY"),
            ]
        );
        let durations = text.lines().filter(|l| l.starts_with("apiserver_request_duration_seconds_count{"));
        assert_eq!(durations.count(), 2, "{text}");
    }

    #[test]
    fn paths_cannot_fill_the_memory() {
        let metrics = Metrics::default();
        for i in 0..SERIES_MAX + 10 {
            ask(&metrics, "GET", &format!("/api/v1/made-up-{i}"), "", 404);
        }
        ask(&metrics, "GET", "/api/v1/made-up-0", "", 404);
        let series = metrics.0.lock().expect("not poisoned");
        assert_eq!(series.requests.len(), SERIES_MAX);
        assert_eq!(
            series.requests.values().sum::<u64>(),
            SERIES_MAX as u64 + 1,
            "known sorts are counted on"
        );
    }
}
