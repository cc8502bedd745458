//! A cluster under virtual time with TaskManagers that come when asked for, and calls as short as in a shell.

use bytes::Bytes;
use fake_flink::{Cluster, ConfigMap, Effect, Event, Facts, JobFact, StartOptions};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub const HOST: &str = "127.0.0.1:8081";

pub fn start_time() -> Timestamp {
    Timestamp::from_millisecond(1_795_252_300_000).unwrap()
}

pub struct Driver {
    pub cluster: Cluster,
    pub now: Timestamp,
    /// Everything that came out, in order.
    pub effects: Vec<Effect>,
    pub ha: BTreeMap<String, ConfigMap>,
    pub exit: Option<i32>,
    /// Whether requested TaskManagers come.
    pub resources: bool,
}

pub struct Answer {
    pub status: u16,
    /// The content type.
    pub kind: String,
    pub headers: HeaderMap,
    /// JSON, or text, or nothing.
    pub body: Value,
}

impl Answer {
    pub fn new(status: u16, headers: HeaderMap, body: &[u8]) -> Answer {
        let kind = headers.get("content-type").map_or("", |h| h.to_str().unwrap()).to_owned();
        let text = String::from_utf8_lossy(body).into_owned();
        let unread = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        let body = serde_json::from_str(&text).unwrap_or_else(|_| unread(text));
        Answer { status, kind, headers, body }
    }
}

impl Driver {
    pub fn start(mut options: StartOptions, now: Timestamp) -> Driver {
        options.now = now;
        let ha = options.ha.maps.clone();
        let (cluster, effects) = Cluster::start(options);
        let mut driver = Driver { cluster, now, effects: Vec::new(), ha, exit: None, resources: true };
        driver.absorb(effects);
        driver
    }

    fn absorb(&mut self, effects: Vec<Effect>) {
        let mut queue = std::collections::VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match &effect {
                Effect::WriteHa { name, map, is_new } => {
                    assert_eq!(*is_new, !self.ha.contains_key(name), "{name}");
                    self.ha.insert(name.clone(), map.clone());
                }
                Effect::DeleteHa { name } => {
                    assert!(self.ha.remove(name).is_some(), "deletes {name}, which is not there");
                }
                Effect::NeedTaskManagers(needed) if self.resources => {
                    for name in &needed.names {
                        let up = Event::TaskManagerUp { id: name.clone(), slots: needed.slots_each };
                        queue.extend(self.cluster.step(up, self.now));
                    }
                }
                Effect::Exit { code } => self.exit = Some(*code),
                _ => {}
            }
            self.effects.push(effect);
        }
    }

    pub fn event(&mut self, event: Event) {
        let effects = self.cluster.step(event, self.now);
        self.absorb(effects);
    }

    /// Lets this much time pass, timer by timer.
    pub fn pass(&mut self, by: Duration) {
        let until = self.now.checked_add(by).unwrap();
        while let Some(due) = self.cluster.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.event(Event::Tick);
        }
        self.now = until;
        self.event(Event::Tick);
    }

    pub fn send(&mut self, request: http::Request<Bytes>) -> Answer {
        let (response, effects) = self.cluster.handle(&request, self.now);
        self.absorb(effects);
        Answer::new(response.status().as_u16(), response.headers().clone(), response.body())
    }

    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bytes = body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string()));
        self.send(http::Request::builder().method(method).uri(path).header("host", HOST).body(bytes).unwrap())
    }

    pub fn get(&mut self, path: &str) -> Value {
        self.call("GET", path, None).body
    }

    pub fn post(&mut self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body))
    }

    pub fn facts(&self) -> Facts {
        self.cluster.facts()
    }

    /// Savepoint or stop, polled to its end; the operation object.
    pub fn operation(&mut self, path: &str, body: Value) -> Value {
        let job = path.split('/').nth(2).unwrap().to_owned();
        let trigger = self.post(path, body).body["request-id"].as_str().unwrap().to_owned();
        for _ in 0..10_000 {
            let poll = self.get(&format!("/jobs/{job}/savepoints/{trigger}"));
            if poll["status"]["id"] == json!("COMPLETED") {
                return poll["operation"].clone();
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("{path} does not complete");
    }

    pub fn job_facts(&self) -> Vec<&JobFact> {
        self.effects.iter().filter_map(|e| if let Effect::Fact(f) = e { Some(f) } else { None }).collect()
    }

    pub fn logged(&self, text: &str) -> bool {
        self.effects.iter().any(|e| matches!(e, Effect::Log(line) if line.contains(text)))
    }
}
