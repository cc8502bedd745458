//! An audit log of the listener, in the form of `kube-apiserver --audit-log-path`: one `audit.k8s.io/v1` event per line and
//! request, at level Metadata, once its answer begins. Leaves out bodies, policies, rotation, and the stages in between.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use fake_kube_apiserver::{RequestInfo, User};
use http::{Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where lines go. Clones are the same log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    file: Arc<Mutex<File>>,
}

/// A request that has no answer yet.
pub(super) struct Entry {
    log: AuditLog,
    event: Value,
}

impl AuditLog {
    /// Starts the log anew.
    pub fn create(path: &Path) -> anyhow::Result<AuditLog> {
        let file = File::create(path).with_context(|| format!("write audit log {}", path.display()))?;
        Ok(AuditLog { file: Arc::new(Mutex::new(file)) })
    }

    pub(super) fn begin<B>(
        &self,
        id: &str,
        info: &RequestInfo,
        request: &Request<B>,
        user: Option<&User>,
        at: Timestamp,
    ) -> Entry {
        let agent = request.headers().get(header::USER_AGENT).and_then(|v| v.to_str().ok());
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": id,
            "stage": if info.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" },
            "requestURI": request.uri().path_and_query().map_or("/", |p| p.as_str()),
            "verb": info.verb,
            "user": user.map_or_else(|| json!({}), |u| json!({"username": u.name, "groups": u.groups})),
            "userAgent": agent.unwrap_or_default(),
            "requestReceivedTimestamp": format!("{at:.6}"),
        });
        if !info.resource.is_empty() {
            let parts = [
                ("resource", &info.resource),
                ("namespace", &info.namespace),
                ("name", &info.name),
                ("apiGroup", &info.group),
                ("apiVersion", &info.version),
                ("subresource", &info.subresource),
            ];
            let said = parts.into_iter().filter(|(_, v)| !v.is_empty());
            event["objectRef"] = said.map(|(k, v)| (k.to_owned(), Value::from(v.as_str()))).collect();
        }
        Entry { log: self.clone(), event }
    }
}

impl Entry {
    /// No status: the connection was cut.
    pub(super) fn end(mut self, status: Option<StatusCode>, at: Timestamp) {
        if let Some(code) = status {
            self.event["responseStatus"] = json!({"metadata": {}, "code": code.as_u16()});
        }
        self.event["stageTimestamp"] = Value::from(format!("{at:.6}"));
        let line = format!("{}\n", self.event);
        let mut file = self.log.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk costs the log, not the answer.
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_request() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let log = AuditLog::create(&path).expect("a log");
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a literal time");
        for (uri, code) in [
            ("/apis/apps/v1/namespaces/ns/deployments/web/status?dryRun=All", Some(StatusCode::OK)),
            ("/api/v1/pods?watch=1", Some(StatusCode::OK)),
            ("/openapi/v3", Some(StatusCode::NOT_MODIFIED)),
            ("/version", None),
        ] {
            let request = Request::get(uri).header("user-agent", "tester").body(()).expect("a request");
            let info = RequestInfo::of(request.method(), request.uri());
            log.begin("mine", &info, &request, Some(&User::new("alice", &["dev"])), at).end(code, at);
        }
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        let short = |v: &Value| {
            format!("{} {} {} {}", v["stage"], v["verb"], v["objectRef"], v["responseStatus"]["code"])
                .replace('"', "")
        };
        assert_eq!(
            lines.iter().map(short).collect::<Vec<_>>(),
            [
                "ResponseComplete get {resource:deployments,namespace:ns,name:web,apiGroup:apps,apiVersion:v1,subresource:status} 200",
                "ResponseStarted watch {resource:pods,apiVersion:v1} 200",
                "ResponseComplete get null 304",
                "ResponseComplete get null null",
            ]
        );
        assert_eq!(lines[0]["user"]["groups"], json!(["dev", "system:authenticated"]));
        assert_eq!(lines[0]["requestReceivedTimestamp"], "2026-01-01T00:00:00.000000Z");
    }
}
