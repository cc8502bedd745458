//! Talking to a control endpoint: one request, one answer in JSON, and what people write for it.

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::Context;
use drey_harness::modes::control_endpoint;
use http::Method;
use serde_json::Value;

/// The answer to a request, or what the server objects to.
pub fn call(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(control_endpoint::ask(endpoint, method, path, body))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// What a command did: in words, or as the endpoint told it.
pub fn show(is_json: bool, value: &Value, text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match is_json {
        true => writeln!(out, "{value:#}"),
        false => writeln!(out, "{text}"),
    }
}

/// What a file says, `-` for standard input.
pub fn from_file(path: &Path) -> anyhow::Result<Value> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).context("read standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    }
    serde_saphyr::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// A segment of a path.
pub fn form(segment: &str) -> String {
    let escape = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    segment.bytes().map(escape).collect()
}
