//! `--state FILE` as its users meet it: a server that is killed in the middle of writes loses none that was answered.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL: nothing is tidied up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(state: &Path) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-kube"))
        .args(["serve", "--http", "--controllers=namespace", "--state"])
        .arg(state)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("ready http://").map(str::to_owned);
    let address = address.unwrap_or_else(|| {
        let mut why = String::new();
        child.stderr.take().map(|mut e| e.read_to_string(&mut why));
        why
    });
    Server(child, address)
}

/// None when the connection ends before the answer.
fn exchange(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn create(address: &str, name: &str) -> Option<u16> {
    let body = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}}}}"#);
    exchange(address, "POST", CONFIG_MAPS, &body).map(|(code, _)| code)
}

#[test]
fn a_killed_server_loses_nothing_it_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut server = start(&state);
    let address = server.1.clone();
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let address = address.clone();
            std::thread::spawn(move || {
                let names = (0..10_000).map(|i| format!("w{w}-{i}"));
                names.take_while(|n| create(&address, n) == Some(201)).collect::<Vec<_>>()
            })
        })
        .collect();
    while exchange(&address, "GET", CONFIG_MAPS, "").is_none_or(|(_, b)| b.matches("\"name\"").count() < 40) {
    }
    server.0.kill().expect("killed");
    server.0.wait().expect("gone");
    let answered: BTreeSet<String> = writers.into_iter().flat_map(|w| w.join().expect("a writer")).collect();
    assert!(answered.len() >= 20, "{}", answered.len());

    // As if the crash had torn the last line.
    let mut file = std::fs::OpenOptions::new().append(true).open(&state).expect("the file");
    file.write_all(b"0badc0de {\"put\":{\"metadata\":{").expect("written");
    let server = start(&state);
    let (_, list) = exchange(&server.1, "GET", CONFIG_MAPS, "").expect("a list");
    let missing: Vec<&String> =
        answered.iter().filter(|n| !list.contains(&format!("\"name\":\"{n}\""))).collect();
    assert_eq!(missing, Vec::<&String>::new());
    // It goes on: versions grow, names are taken.
    let first = answered.first().expect("names");
    assert_eq!(create(&server.1, first), Some(409));
    assert_eq!(create(&server.1, "new"), Some(201));
    let (code, _) = exchange(&server.1, "DELETE", &format!("{CONFIG_MAPS}/{first}"), "").expect("an answer");
    assert_eq!(code, 200);
    drop(server);
    let server = start(&state);
    let (_, list) = exchange(&server.1, "GET", CONFIG_MAPS, "").expect("a list");
    assert!(list.contains("\"name\":\"new\"") && !list.contains(&format!("\"name\":\"{first}\"")));
    drop(server);

    let mut bytes = std::fs::read(&state).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).expect("written");
    let said = start(&state).1.clone();
    assert!(said.contains("is damaged"), "{said}");
}
