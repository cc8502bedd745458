//! The default program: understands a handful of shell words and otherwise idles, answering HTTP on the ports its
//! container declares. Enough for Jobs, probes and `kubectl logs` without any registry.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;

use crate::json::{after, items};
use crate::programs::{Process, ProcessEvent, ProcessStart, Programs, Reception, Signal};

/// `sleep N`, `exit N`, `echo TEXT`, `true`, `false`, joined by `;`, `&&` or newlines in `sh -c`; anything else idles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shell;

impl Programs for Shell {
    fn start(&self, start: &ProcessStart) -> Box<dyn Process> {
        let ports = items(&start.pod, "/spec/containers")
            .iter()
            .filter(|c| c["name"] == *start.container)
            .flat_map(|c| items(c, "/ports"))
            .filter_map(|p| p["containerPort"].as_u64().and_then(|p| u16::try_from(p).ok()))
            .collect();
        Box::new(Script { words: parse(start), ports, until: start.now, ended: false })
    }
}

#[derive(Debug, PartialEq)]
enum Word {
    Sleep(f64),
    Echo(String),
    Exit(i32),
    Idle,
}

struct Script {
    words: VecDeque<Word>,
    ports: Vec<u16>,
    until: Timestamp,
    ended: bool,
}

fn parse(start: &ProcessStart) -> VecDeque<Word> {
    let argv: Vec<&str> = start.command.iter().chain(&start.args).map(String::as_str).collect();
    let lines: Vec<String> = match argv.as_slice() {
        [] => return [Word::Idle].into(),
        [shell, "-c", script, ..] if shell.ends_with("sh") => {
            script.replace("&&", ";").split([';', '\n']).map(str::to_owned).collect()
        }
        words => vec![words.join(" ")],
    };
    let mut out: VecDeque<Word> =
        lines.iter().map(|l| l.trim()).filter(|l| !l.is_empty()).map(word).collect();
    out.push_back(Word::Exit(0));
    out
}

fn word(line: &str) -> Word {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first {
        "sleep" => seconds(rest).map_or(Word::Idle, Word::Sleep),
        "echo" => Word::Echo(rest.trim_matches(['"', '\'']).to_owned()),
        "exit" => Word::Exit(rest.parse().unwrap_or(0)),
        "true" => Word::Exit(0),
        "false" => Word::Exit(1),
        _ => Word::Idle,
    }
}

/// `infinity` is a number to Rust, and an idle process here.
fn seconds(text: &str) -> Option<f64> {
    text.trim_end_matches('s').parse::<f64>().ok().filter(|s| s.is_finite())
}

impl Process for Script {
    fn step(&mut self, now: Timestamp) -> Vec<ProcessEvent> {
        let mut out = Vec::new();
        while !self.ended && now >= self.until {
            match self.words.front() {
                Some(Word::Sleep(seconds)) => {
                    let wait = jiff::SignedDuration::try_from_secs_f64(*seconds).unwrap_or_default();
                    self.until = after(now, wait);
                    self.words.pop_front();
                }
                Some(Word::Echo(text)) => {
                    out.push(ProcessEvent::Log(text.clone()));
                    self.words.pop_front();
                }
                Some(Word::Exit(code)) => {
                    out.push(ProcessEvent::exit(*code));
                    self.ended = true;
                }
                Some(Word::Idle) | None => break,
            }
        }
        out
    }

    fn next_due(&self) -> Option<Timestamp> {
        let waits = !self.ended && !matches!(self.words.front(), Some(Word::Idle) | None);
        waits.then_some(self.until)
    }

    fn receive(&mut self, port: u16, _: Timestamp) -> Reception {
        if self.ports.contains(&port) { Reception::Accepted } else { Reception::Refused }
    }

    fn http(&mut self, port: u16, _: &http::Request<Bytes>, _: Timestamp) -> Option<http::Response<Bytes>> {
        self.ports.contains(&port).then(|| http::Response::new(Bytes::from_static(b"ok\n")))
    }

    fn signal(&mut self, signal: Signal, _: Timestamp) -> Vec<ProcessEvent> {
        self.ended = true;
        vec![ProcessEvent::exit(match signal {
            Signal::Term => 143,
            Signal::Kill => 137,
        })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |line: &str, expected: Word| assert_eq!(word(line), expected);
        check("sleep 3600", Word::Sleep(3600.0));
        check("echo 'hello world'", Word::Echo("hello world".into()));
        check("exit 3", Word::Exit(3));
        check("false", Word::Exit(1));
        check("nginx -g", Word::Idle);
        check("sleep infinity", Word::Idle);
    }
}
