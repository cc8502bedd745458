//! The binary as people start it: its lines, its exit codes, many clusters in one process, faults and stubs from outside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A started `fake-flink serve`, killed with the test.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port` of the ready line.
    pub address: String,
    /// Lines before it.
    pub lines: Vec<String>,
    control: Option<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn start(arguments: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fake-flink"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Vec::new();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let ready = out.by_ref().find_map(|line| {
            let address = line.strip_prefix("ready http://").map(str::to_owned);
            lines.extend(address.is_none().then_some(line));
            address
        });
        let address = ready.expect("the server says ready");
        let control = arguments.contains(&"--control").then(|| {
            let mut line = String::new();
            BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
            line.trim().strip_prefix("control http://").expect("the control line").to_owned()
        });
        Server { child, address, lines, control }
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        call(&self.address, "GET", path, "", "")
    }

    pub fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        call(self.control.as_ref().unwrap(), method, path, "", &body.to_string())
    }

    fn fault(&self, fault: Value) {
        let (code, answer) = self.control("POST", "/v1/clusters/default/faults", fault.clone());
        assert_eq!(code, 200, "{fault}: {answer}");
    }

    fn signal(&self, signal: &str) {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
    }

    fn exit_code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

/// One request on a connection of its own; the code and the JSON that came back.
pub fn call(address: &str, method: &str, path: &str, head: &str, body: &str) -> (u16, Value) {
    try_call(address, method, path, head, body.as_bytes()).expect("an answer")
}

/// None when nothing answers.
pub fn try_call(address: &str, method: &str, path: &str, head: &str, body: &[u8]) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let host = if head.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\n{host}{head}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Asks until it is so.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_session_is_as_the_conformance_runner_expects_it() {
    let server = Server::start(&["--session"]);
    assert!(server.lines.is_empty(), "one ready line: {:?}", server.lines);
    eventually("4 slots", || server.get("/overview").1["slots-total"] == 4);
    assert_eq!(server.get("/config").1["refresh-interval"], 100);
    let other =
        Server::start(&["--session", "--config", "taskmanager.numberOfTaskSlots=7", "--flink", "2.2"]);
    eventually("7 slots", || other.get("/overview").1["slots-total"] == 7);
    assert_eq!(other.get("/overview").1["flink-version"], "2.2.1");
}

#[test]
fn a_signal_ends_it_as_a_java_process() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut server = Server::start(&["--session", "--cluster", "a", "--cluster", "b"]);
        server.signal(signal);
        assert_eq!(server.exit_code(), code, "{signal}");
    }
}

#[test]
fn what_does_not_start_says_why() {
    let taken = Server::start(&["--session"]);
    let address = taken.address.clone();
    for (arguments, part) in [
        (vec!["--listen", address.as_str()], "in use"),
        (vec!["--listen", "0.0.0.0:0"], "--insecure-bind"),
        (vec!["--control", "0.0.0.0:0"], "loopback"),
        (vec!["--config", "nothing"], "KEY=VALUE"),
        (vec!["--clusters", "/nowhere.yaml"], "/nowhere.yaml"),
        (vec!["--time-scale", "0"], "--time-scale"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_fake-flink")).arg("serve").args(&arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(part) && error.lines().count() == 1, "{arguments:?}: {error}");
    }
}

#[test]
fn clusters_by_host_name_and_by_port() {
    let arguments = ["--session", "--cluster", "red", "--cluster", "blue", "--cluster", "own=127.0.0.1:0"];
    let server = Server::start(&arguments);
    let jobs = |host: &str| call(&server.address, "GET", "/overview", &format!("Host: {host}\r\n"), "").0;
    assert_eq!(
        [jobs("red.localhost:81"), jobs("blue"), jobs("green.localhost"), jobs("own")],
        [200, 200, 404, 404]
    );
    let own = server.lines.iter().find_map(|line| line.strip_prefix("cluster own http://")).unwrap();
    assert_eq!(call(own, "GET", "/overview", "", "").0, 200);
    // One ends, the others stay.
    assert_eq!(call(&server.address, "DELETE", "/cluster", "Host: red\r\n", "").0, 200);
    eventually("red is gone", || {
        try_call(&server.address, "GET", "/overview", "Host: red\r\n", b"").is_none()
    });
    assert_eq!(jobs("blue"), 200);
}

#[test]
fn faults_in_the_words_of_scenarios() {
    let keep = "execution.shutdown-on-application-finish=false";
    let server = Server::start(&["--control", "127.0.0.1:0", "--time-scale", "20", "--config", keep]);
    let state = || server.get("/jobs/overview").1["jobs"][0]["state"].clone();
    eventually("the job runs", || state() == "RUNNING");
    server.fault(json!({"job": {"name": "default", "set": "FAILED", "cause": "out of tape"}}));
    let facts = || server.control("GET", "/v1/clusters/default", json!({})).1;
    eventually("the job has failed", || facts()["jobs"][0]["state"] == "FAILED");
    let id = facts()["jobs"][0]["id"].as_str().unwrap().to_owned();
    assert!(server.get(&format!("/jobs/{id}/exceptions")).1.to_string().contains("out of tape"));
    server.fault(json!({"taskmanagers": {"do": "lose"}}));
    eventually("no TaskManager", || facts()["taskManagers"] == json!({}));
    for (fault, part) in [
        (json!({"jub": {}}), "jub"),
        (json!({"job": {"set": "TIRED"}}), "TIRED"),
        (json!({"checkpoint": {}}), "stall"),
        (json!({"store": {"lose": "nowhere"}}), "nowhere"),
        (json!({"ha": {"delete": "all"}}), "no HA metadata"),
        (json!({"jobmanager": {"rest": {"slow": "1h 30"}}}), "1h30m"),
    ] {
        let (code, answer) = server.control("POST", "/v1/clusters/default/faults", fault);
        assert_eq!(code, 400);
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{answer}");
    }
    server.fault(json!({"jobmanager": {"rest": {"path": "/config", "slow": "1m 30s", "for": "1h30m"}}}));
    server.fault(json!({"jobmanager": {"do": "restart"}}));
}

#[test]
fn ha_metadata_is_lost_by_a_fault() {
    let ha = ["--config", "high-availability.type=kubernetes", "--config", "kubernetes.cluster-id=app"];
    let args = [&["--control", "127.0.0.1:0", "--time-scale", "20"][..], &ha[..]].concat();
    let server = Server::start(&args);
    eventually("the job runs", || server.get("/jobs/overview").1["jobs"][0]["state"] == "RUNNING");
    server.fault(json!({"ha": {"name": "default", "delete": "all"}}));
    eventually("a leader without its map ends", || {
        try_call(&server.address, "GET", "/overview", "", b"").is_none()
    });
}

#[test]
fn stubs_stand_in_front_of_the_live_model() {
    let server = Server::start(&["--session", "--control", "127.0.0.1:0"]);
    let stubs = "/v1/clusters/default/stubs";
    let stub = json!({"name": "teapot", "match": {"method": "GET", "path": "/jobs/:id"},
        "answer": {"status": 418, "headers": {"x-why": "tea"}, "body": {"errors": ["short and stout"]}}, "times": 1});
    assert_eq!(server.control("POST", stubs, stub).0, 201);
    assert_eq!(server.get("/jobs/abc"), (418, json!({"errors": ["short and stout"]})));
    assert_eq!(server.get("/jobs/abc").0, 400, "once, then the model again");
    assert_eq!(server.control("GET", stubs, json!({})).1["stubs"][0]["hits"], 1);
    assert_eq!(server.control("DELETE", &format!("{stubs}/teapot"), json!({})).0, 200);
    server.fault(json!({"jobmanager": {"rest": {"path": "/config", "down": true, "times": 1}}}));
    assert_eq!(try_call(&server.address, "GET", "/config", "", b""), None, "cut");
    assert_eq!(server.get("/config").0, 200);
    assert_eq!(server.control("POST", stubs, json!({"answer": {}})).0, 400);
}

#[test]
fn uploads_are_bounded_and_read_from_disk() {
    let server = Server::start(&["--session"]);
    let form = |padding: usize| {
        let mut body =
            b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jar\"\r\n\r\n".to_vec();
        // What stands before a zip does not matter to its readers.
        body.extend(vec![b' '; padding]);
        body.extend(fake_flink::jar::write("com.example.Main"));
        body.extend(b"\r\n--x--\r\n");
        body
    };
    let head = "Content-Type: multipart/form-data; boundary=x\r\n";
    let upload = |body: &[u8]| try_call(&server.address, "POST", "/jars/upload", head, body);
    assert_eq!(upload(&form(8 << 20)).unwrap().0, 200, "larger than what stays in memory");
    assert_eq!(server.get("/jars").1["files"][0]["entry"][0]["name"], "com.example.Main");
    let long = vec![b'['; 5 << 20];
    let refused = try_call(&server.address, "POST", "/jars/x/run", "", &long);
    // The answer comes before the body was read: a client may see the connection break instead.
    assert!(refused.is_none_or(|(code, _)| code == 413));
    assert_eq!(server.get("/overview").0, 200);
}
