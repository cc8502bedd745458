//! The server over real sockets: the page, the stream and how it resumes, who may press, what is bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use drey_playground::{Orders, Refusal, Server, Settings, Stage, Verb, Version, Wish};
use serde_json::{Value, json};

const TOKEN: &str = "t0ken";

struct World {
    server: Server,
    stage: Stage,
    host: String,
}

/// A world that answers what it was asked.
fn world() -> World {
    let (stage, orders) = Stage::new("e");
    let settings = Settings { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: TOKEN.to_owned() };
    let server = Server::start(&settings, stage.clone()).expect("a server");
    std::thread::spawn(move || carry_out(orders));
    let host = server.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    World { server, stage, host }
}

fn carry_out(mut orders: Orders) {
    while let Some(order) = orders.blocking_recv() {
        let answer = match order.wish {
            Wish::Glance => continue,
            Wish::Scenario => Ok(json!({"text": "kind: Scenario\n"})),
            Wish::Step(text) if text == "bad" => Err(Refusal::new(422, "no such job")),
            other => Ok(json!({"did": format!("{other:?}")})),
        };
        order.reply.send(answer);
    }
}

impl World {
    fn connect(&self, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.host).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.write_all(request.as_bytes()).expect("sent");
        BufReader::new(stream)
    }

    /// Status and everything after it.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            self.host,
            body.len()
        );
        let mut text = String::new();
        self.connect(&request).read_to_string(&mut text).expect("an answer");
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (code, text)
    }

    fn own(&self) -> String {
        format!("origin: http://{}\r\nx-drey-token: {TOKEN}\r\n", self.host)
    }

    /// Lines of the stream up to one that contains this.
    fn stream_until(&self, last_id: Option<&str>, part: &str) -> Vec<String> {
        let resume = last_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let reader = self.connect(&format!("GET /v1/stream HTTP/1.1\r\nhost: {}\r\n{resume}\r\n", self.host));
        let mut seen = Vec::new();
        for line in reader.lines() {
            seen.push(line.expect("text"));
            if seen.last().is_some_and(|line| line.contains(part)) {
                return seen;
            }
        }
        panic!("the stream ended before {part:?}: {seen:#?}");
    }
}

#[test]
fn the_page_comes_whole_and_with_its_policy() {
    let world = world();
    let (code, text) = world.ask("GET", "/", "", "");
    assert_eq!(code, 200);
    for word in
        ["content-security-policy: default-src 'none'", "nosniff", "no-store", TOKEN, "<main>", "EventSource"]
    {
        assert!(text.contains(word), "{word}");
    }
    assert!(world.server.url().starts_with("http://127.0.0.1:"));
}

#[test]
fn a_stream_tells_and_resumes() {
    let world = world();
    world.stage.feed.set("clock", r#"{"ms":1}"#);
    world.stage.feed.push("[1]");
    world.stage.feed.push("[2]");
    let seen = world.stream_until(None, "[[1],[2]]");
    assert!(seen.iter().any(|line| line == "data: {\"ms\":1}") && seen.iter().any(|line| line == "id: e-2"));
    world.stage.feed.push("[3]");
    let seen = world.stream_until(Some("e-2"), "[3]");
    assert!(seen.iter().any(|line| line == "data: [[3]]"), "only what is new: {seen:?}");
    let seen = world.stream_until(Some("earlier-9"), "[[1],[2],[3]]");
    assert!(seen.iter().any(|line| line == "event: reset"), "{seen:?}");
}

#[test]
fn what_comes_later_is_told_when_it_comes() {
    let world = world();
    let feed = world.stage.feed.clone();
    std::thread::spawn(move || {
        while feed.readers() == 0 {
            std::thread::yield_now();
        }
        feed.push("[7]");
    });
    world.stream_until(None, "[[7]]");
}

#[test]
fn buttons_take_the_page_s_own_origin_and_token() {
    let world = world();
    let check = |headers: &str, expected: u16| {
        let (code, text) = world.ask("POST", "/v1/steps", headers, "job: {}");
        assert_eq!(code, expected, "{headers}: {text}");
    };
    check(&world.own(), 200);
    check("", 403);
    check(&format!("x-drey-token: {TOKEN}\r\n"), 403);
    check(&format!("origin: http://{}\r\n", world.host), 403);
    check(&format!("origin: http://evil.example\r\nx-drey-token: {TOKEN}\r\n"), 403);
    check(&format!("origin: http://{}\r\nx-drey-token: guess\r\n", world.host), 403);
    let (code, _) = world.ask("GET", "/v1/scenario", "sec-fetch-site: cross-site\r\n", "");
    assert_eq!(code, 403);
}

#[test]
fn orders_reach_the_world_and_answers_come_back() {
    let world = world();
    let (code, text) = world.ask("POST", "/v1/steps", &world.own(), "job: {name: a}");
    assert!(code == 200 && text.contains(r#"Step(\"job: {name: a}\")"#), "{text}");
    let (code, text) = world.ask("POST", "/v1/steps", &world.own(), "bad");
    assert!(code == 422 && text.contains("no such job"), "{text}");
    let (code, text) = world.ask("POST", "/v1/clock", &world.own(), r#"{"do":"run","speed":10}"#);
    assert!(code == 200 && text.contains("speed: 10.0"), "{text}");
    assert_eq!(world.ask("POST", "/v1/clock", &world.own(), "{}").0, 400);
    assert_eq!(world.ask("POST", "/v1/clock", &world.own(), "}").0, 400);
    let (code, text) = world.ask("GET", "/v1/log?pod=default%2Fapp-1&lines=9", "", "");
    assert!(
        code == 200 && text.contains("namespace: \\\"default\\\"") && text.contains("lines: 9"),
        "{text}"
    );
    assert_eq!(world.ask("GET", "/v1/log?pod=app", "", "").0, 400);
    let (code, text) = world.ask("GET", "/v1/scenario", "", "");
    assert!(code == 200 && text.contains("attachment") && text.ends_with("kind: Scenario\n"), "{text}");
}

#[test]
fn objects_and_their_differences() {
    let world = world();
    for (revision, replicas) in [(1, 1), (2, 3)] {
        let object = json!({"kind": "Deployment", "metadata": {"namespace": "d", "name": "a"}, "spec": {"replicas": replicas}});
        let (verb, actor) = (Verb::Changed, Arc::from("user"));
        world.stage.history.add(Version { revision, ms: 0, verb, actor, object: Arc::new(object) });
    }
    let body = |path: &str| -> Value {
        let (code, text) = world.ask("GET", path, "", "");
        assert_eq!(code, 200, "{path}: {text}");
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap_or_default()).expect("JSON")
    };
    assert_eq!(body("/v1/change?revision=2")["changes"], json!([["spec.replicas", "1", "3"]]));
    assert_eq!(body("/v1/object?key=d%3ADeployment%2Fa")["revision"], 2);
    assert_eq!(world.ask("GET", "/v1/object?key=none", "", "").0, 404);
    assert_eq!(world.ask("GET", "/v1/object", "", "").0, 400);
    assert_eq!(world.ask("GET", "/v1/change?revision=x", "", "").0, 400);
}

#[test]
fn what_is_not_there_and_what_is_too_much() {
    let world = world();
    assert_eq!(world.ask("GET", "/v1/nothing", "", "").0, 404);
    assert_eq!(world.ask("DELETE", "/v1/steps", &world.own(), "").0, 405);
    let big = "x".repeat(300 << 10);
    assert_eq!(world.ask("POST", "/v1/steps", &world.own(), &big).0, 413);
}

#[test]
fn the_page_stays_on_this_machine() {
    let (stage, _orders) = Stage::new("e");
    let address: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let refused = Server::start(&Settings { address, token: TOKEN.to_owned() }, stage);
    assert!(refused.err().is_some_and(|error| error.to_string().contains("loopback")));
}

#[test]
fn a_server_that_ends_lets_nobody_hang() {
    let world = world();
    let mut reader = world.connect(&format!("GET /v1/stream HTTP/1.1\r\nhost: {}\r\n\r\n", world.host));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status");
    drop(world.server);
    let mut rest = String::new();
    // Ends, whole or cut: either way nobody waits on.
    let _ = reader.read_to_string(&mut rest);
}
