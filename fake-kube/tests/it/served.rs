//! `fake-kube serve` as a process, and requests to it by hand over plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A running server; killed when dropped, nothing tidied up.
pub struct Served {
    child: Child,
    /// What its line `ready` names.
    pub url: String,
    /// `host:port` of it.
    pub address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-kube"));
    command.arg("serve").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Served {
    /// Without TLS; more with `args`.
    pub fn http(args: &[&str]) -> Served {
        Served::start(&[&["--http"], args].concat())
    }

    pub fn start(args: &[&str]) -> Served {
        let mut child = command(args).spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let Some(url) = line.trim().strip_prefix("ready ") else {
            let mut why = String::new();
            child.stderr.take().map(|mut e| e.read_to_string(&mut why));
            panic!("serve {args:?}: {line}{why}");
        };
        let address = url.rsplit("//").next().unwrap_or("").to_owned();
        Served { child, url: url.to_owned(), address }
    }

    /// Sends a signal by name; false when it is gone already.
    pub fn signal(&self, name: &str) -> bool {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-s", name, &id]).status().is_ok_and(|status| status.success())
    }

    /// The next line of its standard error.
    pub fn said(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stderr.take().expect("asked once")).read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        exchange(&self.address, "GET", path, "").expect("an answer")
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        exchange(&self.address, "POST", path, &body.to_string()).expect("an answer")
    }
}

/// A `serve` that ends by itself.
pub fn refused(args: &[&str]) -> String {
    let Output { status, stderr, .. } = command(args).output().expect("the binary runs");
    assert!(!status.success(), "{args:?}");
    String::from_utf8_lossy(&stderr).into_owned()
}

/// None when the connection ends before the answer.
pub fn exchange(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    exchange_with(address, method, path, body, "")
}

/// `headers`: whole lines, each with its line end.
pub fn exchange_with(
    address: &str,
    method: &str,
    path: &str,
    body: &str,
    headers: &str,
) -> Option<(u16, Value)> {
    let answer = told(address, method, path, body, headers)?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1;
    Some((code, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))))
}

/// The answer as it came, head and body.
pub fn told(address: &str, method: &str, path: &str, body: &str, headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    let host = if headers.to_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
