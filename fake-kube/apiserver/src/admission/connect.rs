//! CONNECT: what admission says to requests that turn into a stream or go on to somebody else, `exec`, `attach`,
//! `portforward` and `proxy` (apiserver pkg/endpoints/handlers/rest.go, ConnectResource). Reviewed are the options of the
//! request. Leaves out patches of them: a webhook may only refuse.

use std::sync::Arc;

use http::Uri;
use serde_json::{Map, Value, json};

use super::chain::{Asked, Operation, Reviews};
use crate::request::{self, Route, WriteOptions};
use crate::resource::Definition;
use crate::server::{ApiServer, User};
use crate::status::Result;
use crate::write::Call;

impl ApiServer {
    /// Asks admission about such a request; others pass.
    pub async fn review_connect(&self, user: &User, uri: &Uri) -> Result<()> {
        if !self.with(|s| s.has_hooks()) {
            return Ok(());
        }
        let Some(route) = request::route(uri.path()) else { return Ok(()) };
        let Some((def, subresource, object)) = self.connected(&route, uri.query().unwrap_or("")) else {
            return Ok(());
        };
        let user = Arc::new(user.clone());
        let mut reviews = Reviews::default();
        loop {
            let mut call = Call {
                def: def.clone(),
                namespace: if def.namespaced { route.namespace.clone() } else { String::new() },
                name: route.name.clone(),
                subresource: subresource.to_owned(),
                options: WriteOptions::default(),
                actor: Arc::from(user.name.as_str()),
                user: Some(user.clone()),
                now: reviews.begin(self.now()),
                warnings: Vec::new(),
                reviews,
            };
            let asked = Asked { operation: Operation::Connect, object: Some(&object), old: None };
            let answer = self.with(|s| s.review_only(&mut call, &asked, true));
            let Some(question) = call.reviews.question.take() else { return answer };
            reviews = call.reviews;
            reviews.answered(self.ask(&question).await);
        }
    }

    /// The resource, the subresource and the options as an object; None for a request of another kind.
    fn connected(&self, route: &Route, query: &str) -> Option<(Arc<Definition>, &'static str, Value)> {
        if !route.group.is_empty() || route.name.is_empty() {
            return None;
        }
        let (subresource, path) = route.subresource.split_once('/').unwrap_or((&route.subresource, ""));
        let subresource =
            ["exec", "attach", "portforward", "proxy"].into_iter().find(|s| *s == subresource)?;
        let def = self.with(|s| s.registry.get("", &route.version, &route.resource).cloned())?;
        let kind = kind(&def.plural, subresource)?;
        let mut object = Map::new();
        object.insert("kind".to_owned(), json!(kind));
        object.insert("apiVersion".to_owned(), json!("v1"));
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let all =
            |key: &str| query.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect::<Vec<_>>();
        match subresource {
            "proxy" if !path.is_empty() => {
                object.insert("path".to_owned(), json!(path.trim_end_matches('/')));
            }
            "proxy" => {}
            "portforward" => {
                let given = all("ports");
                let ports: Vec<i64> =
                    given.iter().flat_map(|p| p.split(',')).filter_map(|p| p.parse().ok()).collect();
                if !ports.is_empty() {
                    object.insert("ports".to_owned(), json!(ports));
                }
            }
            _ => {
                for key in ["stdin", "stdout", "stderr", "tty"] {
                    // Go's strconv.ParseBool, of what queries hold: anything that is not a no.
                    if all(key).first().is_some_and(|v| !matches!(v.as_str(), "" | "0" | "false")) {
                        object.insert(key.to_owned(), json!(true));
                    }
                }
                if let Some(container) = all("container").first().filter(|c| !c.is_empty()) {
                    object.insert("container".to_owned(), json!(container));
                }
                let command = all("command");
                if subresource == "exec" && !command.is_empty() {
                    object.insert("command".to_owned(), json!(command));
                }
            }
        }
        Some((def, subresource, Value::Object(object)))
    }
}

/// The kind of the options, of the core group.
pub(super) fn kind(plural: &str, subresource: &str) -> Option<&'static str> {
    Some(match (plural, subresource) {
        ("pods", "exec") => "PodExecOptions",
        ("pods", "attach") => "PodAttachOptions",
        ("pods", "portforward") => "PodPortForwardOptions",
        ("pods", "proxy") => "PodProxyOptions",
        ("services", "proxy") => "ServiceProxyOptions",
        ("nodes", "proxy") => "NodeProxyOptions",
        _ => return None,
    })
}
