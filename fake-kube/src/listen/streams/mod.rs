//! `pods/exec`, `pods/attach` and `pods/portforward`: requests that turn into streams (kube-api.md 2.11). Checked here as
//! the API server checks them, then carried by [`exec`] or [`forward`]. Over WebSocket in every dialect of clients, and
//! over plain SPDY/3.1, as older kubectl and many programs in Go ask for it.

mod attach;
mod beside;
mod carrier;
mod channels;
mod exec;
mod forward;
mod spdy;
mod terminal;

use fake_kube_apiserver::{ApiServer, Handshake, Resource, Status};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use carrier::{Carrier, Streams};
use channels::Protocol;

use super::identity::{Body, refused};
use super::upgrade::{self, Hold};
use crate::cluster::Cluster;
use crate::json::{items, text, uid};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const FORWARD: &str = "portforward.k8s.io";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exec,
    Attach,
    Forward,
}

/// Which pod a path asks a stream of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    namespace: String,
    pod: String,
    kind: Kind,
}

/// None for other paths, and for requests that ask for no other protocol: those are the API server's to refuse.
pub(super) fn route(request: &Request<Incoming>) -> Option<Route> {
    request.headers().get(header::UPGRADE)?;
    path(request.uri().path())
}

fn path(path: &str) -> Option<Route> {
    let rest = path.strip_prefix("/api/v1/namespaces/")?;
    let mut parts = rest.split('/');
    let (namespace, pods, pod, sub) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let kind = match sub {
        "exec" => Kind::Exec,
        "attach" => Kind::Attach,
        "portforward" => Kind::Forward,
        _ => return None,
    };
    let whole = pods == "pods" && parts.next().is_none();
    whole.then(|| Route { namespace: namespace.to_owned(), pod: pod.to_owned(), kind })
}

/// The query of a stream request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &http::Uri) -> Query {
        Query(form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect())
    }

    fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, v)| v.clone()).collect()
    }

    fn flag(&self, key: &str) -> bool {
        self.0.iter().any(|(k, v)| k == key && !matches!(v.as_str(), "0" | "false" | ""))
    }
}

fn bad(message: impl Into<String>) -> Status {
    Status::new(400, "BadRequest", message.into())
}

/// The answer to a request that was admitted; the stream follows on the connection.
pub(super) fn answer(
    route: &Route,
    mut request: Request<Incoming>,
    api: &ApiServer,
    cluster: &Cluster,
    hold: Hold,
) -> Response<Body> {
    let checked = check(route, &request, api);
    let (pod, query, container) = match checked {
        Ok(found) => found,
        Err(status) => return refused(&status),
    };
    let place = Place {
        cluster: cluster.clone(),
        namespace: route.namespace.clone(),
        pod: route.pod.clone(),
        uid: uid(&pod).to_owned(),
        ip: text(&pod, "/status/podIP").to_owned(),
        container,
    };
    let asked = Handshake::of(request.method(), request.headers());
    let on = hyper::upgrade::on(&mut request);
    let session = |place| exec::Session {
        place,
        command: (route.kind == Kind::Exec).then(|| query.all("command")),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        tty: query.flag("tty"),
    };
    let Some(asked) = asked else {
        let Some(offered) = spdy_protocols(&request) else {
            return refused(&bad("Upgrade request required"));
        };
        if route.kind != Kind::Forward {
            return match channels::of_streams(&offered) {
                Ok(protocol) => over_streams(session(place), protocol, on, hold),
                Err(why) => refused(&Status::new(403, "Forbidden", why)),
            };
        }
        if !offered.iter().any(|p| p == FORWARD) {
            return refused(&bad("Upgrade request required"));
        }
        return forward::spdy(place, on, hold);
    };
    if let Some(code) = asked.refusal() {
        return refused(&Status::new(code, "BadRequest", "the WebSocket handshake is incomplete"));
    }
    if route.kind == Kind::Forward && asked.protocols.iter().any(|p| p == TUNNEL) {
        tokio::spawn(forward::tunnel(place, on, hold));
        return switching(&asked, TUNNEL);
    }
    let Some(protocol) = channels::choose(&asked.protocols, route.kind == Kind::Forward) else {
        return refused(&bad(format!("unable to upgrade: unsupported protocols {:?}", asked.protocols)));
    };
    match route.kind {
        Kind::Forward => {
            let ports: Vec<u16> = query
                .all("ports")
                .iter()
                .flat_map(|p| p.split(','))
                .filter_map(|p| p.trim().parse().ok())
                .collect();
            if ports.is_empty() {
                return refused(&bad("query parameter \"port\" is required"));
            }
            tokio::spawn(forward::channels(place, ports, protocol, on, hold));
        }
        _ => {
            let session = session(place);
            tokio::spawn(async move {
                if let Some(socket) = upgrade::open(on).await {
                    let carrier = Carrier::Socket(Box::new(socket), protocol);
                    exec::run(session, protocol, carrier, hold).await;
                }
            });
        }
    }
    switching(&asked, protocol.name)
}

/// Where a stream leads.
#[derive(Clone)]
struct Place {
    cluster: Cluster,
    namespace: String,
    pod: String,
    uid: String,
    ip: String,
    container: String,
}

fn switching(asked: &Handshake, protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Text(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    upgrade::accept(headers, asked);
    if !protocol.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

/// Channels as streams of SPDY.
fn over_streams(session: exec::Session, protocol: Protocol, on: OnUpgrade, hold: Hold) -> Response<Body> {
    tokio::spawn(async move {
        let Ok(io) = on.await else { return };
        if let Some(streams) = Streams::open(TokioIo::new(io), &session.streams()).await {
            exec::run(session, protocol, Carrier::Streams(Box::new(streams)), hold).await;
        }
    });
    to_spdy(protocol.name)
}

fn to_spdy(protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Text(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert("x-stream-protocol-version", HeaderValue::from_static(protocol));
    response
}

/// What is offered to be spoken over SPDY; None when that is not asked for.
fn spdy_protocols(request: &Request<Incoming>) -> Option<Vec<String>> {
    let upgrade = request.headers().get(header::UPGRADE)?.to_str().ok()?;
    let all = request.headers().get_all("x-stream-protocol-version");
    let offered = all.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    upgrade.eq_ignore_ascii_case("SPDY/3.1").then(|| offered.map(|p| p.trim().to_owned()).collect())
}

/// The pod, and the container that is meant.
fn check(
    route: &Route,
    request: &Request<Incoming>,
    api: &ApiServer,
) -> Result<(Value, Query, String), Status> {
    let client = api.client("fake-kube");
    let pod = client.get(&Resource::core("pods"), &route.namespace, &route.pod)?;
    let query = Query::of(request.uri());
    let mut container = String::new();
    if route.kind != Kind::Forward {
        if route.kind == Kind::Exec && query.all("command").is_empty() {
            return Err(bad("you must specify at least 1 command for the container"));
        }
        if !["stdin", "stdout", "stderr"].iter().any(|s| query.flag(s)) {
            return Err(bad("you must specify at least 1 of stdin, stdout, stderr"));
        }
        container = chosen(&pod, &route.pod, query.all("container").first().map_or("", String::as_str))?;
    }
    if text(&pod, "/spec/nodeName").is_empty() {
        return Err(bad(format!("pod {} does not have a host assigned", route.pod)));
    }
    Ok((Value::clone(&pod), query, container))
}

fn chosen(pod: &Value, name: &str, asked: &str) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        items(pod, list).iter().filter_map(|c| c["name"].as_str().map(str::to_owned)).collect()
    };
    let own = names("/spec/containers");
    if asked.is_empty() {
        return match own.as_slice() {
            [one] => Ok(one.clone()),
            many => Err(bad(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            ))),
        };
    }
    let all = [own, names("/spec/initContainers"), names("/spec/ephemeralContainers")].concat();
    if all.iter().any(|c| c == asked) {
        Ok(asked.to_owned())
    } else {
        Err(bad(format!("container {asked} is not valid for pod {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let kind = |p: &str| path(p).map(|r| (r.namespace, r.pod, r.kind));
        let at = |k| Some(("ns".to_owned(), "p".to_owned(), k));
        assert_eq!(kind("/api/v1/namespaces/ns/pods/p/exec"), at(Kind::Exec));
        assert_eq!(kind("/api/v1/namespaces/ns/pods/p/portforward"), at(Kind::Forward));
        assert_eq!(kind("/api/v1/namespaces/ns/pods/p/exec/x"), None);
        assert_eq!(kind("/api/v1/namespaces/ns/pods/p/log"), None);
        assert_eq!(kind("/api/v1/namespaces/ns/services/p/exec"), None);
    }

    #[test]
    fn containers() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        let check = |asked: &str| chosen(&pod, "p", asked).map_err(|s| s.message.clone());
        assert_eq!(check("i"), Ok("i".to_owned()));
        assert_eq!(check("x"), Err("container x is not valid for pod p".to_owned()));
        assert_eq!(
            check(""),
            Err("a container name must be specified for pod p, choose one of: [a b]".to_owned())
        );
    }
}
