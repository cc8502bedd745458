//! What people do to a world while it runs, from outside: steps that they type, writes through kubectl, `drey fault` and
//! `drey flink`. All of it ends up in the recording, as steps of the scenario language.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drey_language::files::{Disk, Files};
use drey_language::scenario::{Step, parse_with};
use drey_language::vocabulary::Vocabulary;
use drey_playground::{Deed, Recording, Touched, Verb};
use fake_flink::Command;
use fake_flink::model::api::SavepointFault;
use fake_kube_apiserver::{Change, ChangeKind};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::World;
use crate::world::flink::ClusterKey;
use crate::world::gate::is_write;

/// One step, as it stands in a file without its dash: YAML or JSON. The error is for whoever typed it.
pub fn step_of(text: &str, vocabulary: &Vocabulary) -> Result<Step, String> {
    let indented: Vec<&str> = text.trim().trim_start_matches("- ").lines().collect();
    let file = format!(
        "apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: by-hand}}\nsteps:\n  - {}\n",
        indented.join("\n    ")
    );
    let scenario = parse_with(Path::new(TYPED), vocabulary, &Typed(file)).map_err(|problems| {
        let first = problems.iter().next();
        first.map_or_else(|| "this is no step".to_owned(), ToString::to_string)
    })?;
    let mut steps = scenario.cases.into_iter().flat_map(|case| case.steps);
    match (steps.next(), steps.next()) {
        (Some(step), None) => Ok(step),
        _ => Err("one step at a time".to_owned()),
    }
}

/// The file a typed step seems to stand in.
const TYPED: &str = "step";

/// That file, and the disk for the manifests it names.
struct Typed(String);

impl Files for Typed {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new(TYPED) { Ok(self.0.clone()) } else { Disk.read(path) }
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new(TYPED) || Disk.exists(path)
    }

    fn siblings(&self, path: &Path) -> Vec<String> {
        Disk.siblings(path)
    }
}

/// Who the user is, to the API server and for the scenario's own client.
const USER: &str = "user";
const OWN_AGENT: &str = "drey-scenario";
/// Changes whose request has not been told yet.
const PENDING_MAX: usize = 1_000;

/// Records what the user writes over the API with clients of their own.
pub fn record_writes(world: &World, recording: &Recording, vocabulary: &Vocabulary) {
    let pending: Arc<Mutex<Vec<Change>>> = Arc::default();
    let changes = pending.clone();
    world.watcher.on_change(move |change| {
        let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
        if &*change.actor == USER && changes.len() < PENDING_MAX {
            changes.push(change.clone());
        }
    });
    let (recording, clock, kinds) = (recording.clone(), world.clock, vocabulary.kinds().to_vec());
    world.watcher.on_request(move |record| {
        let info = &record.info;
        if info.user != USER || !is_write(info) {
            return;
        }
        let taken = {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            let is_of = |change: &mut Change| {
                let name = change.object["metadata"]["name"].as_str().unwrap_or_default();
                change.resource.plural == info.resource && (name == info.name || info.name.is_empty())
            };
            pending.extract_if(.., is_of).collect::<Vec<_>>()
        };
        if info.user_agent.starts_with(OWN_AGENT) {
            return;
        }
        let by = if info.user_agent.starts_with("kubectl") { "kubectl" } else { "an API client" };
        for change in taken {
            let verb = verb_of(change.kind);
            let touched = Touched {
                verb,
                old: change.old.as_deref(),
                new: &change.object,
                subresource: &info.subresource,
                kinds: &kinds,
            };
            if let Some(step) = touched.step() {
                recording.add(clock.elapsed(), by, step);
            }
        }
    });
}

pub fn verb_of(kind: ChangeKind) -> Verb {
    match kind {
        ChangeKind::Added => Verb::Created,
        ChangeKind::Modified => Verb::Changed,
        ChangeKind::Deleted => Verb::Deleted,
    }
}

/// `drey flink` gave a command to a cluster.
pub fn flink_step(key: &ClusterKey, command: &Command) -> Result<Value, String> {
    let name = if key.namespace == "default" { key.name.clone() } else { key.to_string() };
    let job = |set: &str| json!({"job": {"name": name, "set": set}});
    let jobmanager = |word: &str| json!({"jobmanager": {"name": name, "do": word}});
    let savepoint = |next: &str| json!({"savepoint": {"name": name, "next": next}});
    Ok(match command {
        Command::FailJob { cause, times, .. } => {
            let mut step = job(if times.is_some() { "RESTARTING" } else { "FAILED" });
            if let Some(message) = &cause.message {
                step["job"]["cause"] = json!(message);
            }
            if let Some(times) = times {
                step["job"]["times"] = json!(times);
            }
            step
        }
        Command::FinishJob { .. } => job("FINISHED"),
        Command::StallCheckpoints { on } => json!({"checkpoint": {"name": name, "stall": on}}),
        Command::FailCheckpoints { times } => json!({"checkpoint": {"name": name, "fail": times}}),
        Command::NextSavepoint(SavepointFault::Fails) => savepoint("fail"),
        Command::NextSavepoint(SavepointFault::Hangs) => savepoint("hang"),
        Command::NextSavepoint(SavepointFault::ReplyLost) => savepoint("completeButReplyLost"),
        Command::NextSavepoint(SavepointFault::Slow(by)) => {
            let mut step = savepoint("slow");
            step["savepoint"]["by"] = json!(drey_language::duration::format(*by));
            step
        }
        Command::Hang { on: true } => jobmanager("hang"),
        Command::Hang { on: false } => jobmanager("resume"),
        Command::LoseTaskManagers => json!({"taskmanagers": {"name": name, "do": "lose"}}),
        Command::LoseSnapshot { path } => json!({"store": {"lose": path}}),
        Command::CorruptSnapshot { path } => json!({"store": {"corrupt": path}}),
        Command::LoseHa(loss) => json!({"ha": {"name": name, "delete": loss}}),
        other => return Err(format!("no word of scenarios does this to {key}: {other:?}")),
    })
}

/// Faults that `drey fault` has set, as they come and go.
#[derive(Default)]
pub struct ControlFaults {
    /// By id: its number in the recording, when it was added, and whether it is still there.
    known: BTreeMap<String, (usize, Duration)>,
}

impl ControlFaults {
    /// `listed` as the control endpoint lists them, `now` since `start`.
    pub fn follow(&mut self, listed: &[Value], recording: &Recording, start: Timestamp, now: Duration) {
        let id_of = |fault: &Value| fault["id"].as_str().unwrap_or_default().to_owned();
        for fault in listed {
            let id = id_of(fault);
            if self.known.contains_key(&id) {
                continue;
            }
            let since = fault["since"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let at =
                since.and_then(|since| Duration::try_from(since.duration_since(start)).ok()).unwrap_or(now);
            let number = recording.add(at, "drey fault", api_step(fault));
            self.known.insert(id, (number, at));
        }
        let is_gone = |id: &&String| !listed.iter().any(|fault| id_of(fault) == **id);
        let gone: Vec<String> = self.known.keys().filter(is_gone).cloned().collect();
        for id in gone {
            let Some((number, at)) = self.known.remove(&id) else { continue };
            // It was lifted by hand: in a scenario it lasts as long as it did.
            let lasted =
                Duration::from_millis(u64::try_from((now - at.min(now)).as_millis()).unwrap_or(u64::MAX));
            recording.amend(number, |deed: &mut Deed| {
                if let Ok(step) = &mut deed.step
                    && let Some(args) = step.as_object_mut().and_then(|step| step.values_mut().next())
                {
                    args["for"] =
                        json!(drey_language::duration::format(lasted.max(Duration::from_millis(1))));
                }
            });
        }
    }
}

/// A fault of the control endpoint in the words of scenarios; some things only the endpoint can say.
fn api_step(fault: &Value) -> Result<Value, String> {
    let whole = || {
        let parts = ["match", "verdict", "percent", "skip", "times", "for"];
        let given = parts
            .iter()
            .filter(|part| !fault[**part].is_null())
            .map(|part| format!("{part} {}", fault[*part]));
        given.collect::<Vec<_>>().join(", ")
    };
    let cannot = |what: &str| Err(format!("{what} cannot be said in a scenario: {}", whole()));
    let (wanted, verdict) = (&fault["match"], &fault["verdict"]);
    let mut request = json!({});
    for (key, value) in wanted.as_object().into_iter().flatten() {
        match key.as_str() {
            "verbs" => request["verb"] = value.clone(),
            "resource" => match value.as_str().and_then(kind_of) {
                Some(kind) => request["kind"] = json!(kind),
                None => return cannot("the resource"),
            },
            "subresource" => {
                request["subresource"] = if value == "" { json!("none") } else { value.clone() };
            }
            "name" | "namespace" => request[key] = value.clone(),
            // Scenarios mean the operator's requests, which is whom a bare fault strikes, too.
            "group" => {}
            "user" => match value.as_str().map(|user| user.trim_end_matches('*')) {
                Some(user) if !user.contains('*') => request["by"] = json!(user),
                _ => return cannot("the user"),
            },
            _ => return cannot(key),
        }
    }
    if request["by"].is_null() {
        // `drey fault` strikes everybody unless told; the rule of a scenario takes a prefix.
        request["by"] = json!("");
    }
    if fault["skip"].as_u64().is_some_and(|skip| skip > 0) {
        return cannot("skip");
    }
    let respond = match verdict.as_object().and_then(|verdict| verdict.iter().next()) {
        Some((word, delay)) if word == "delay" => json!({"slow": delay}),
        Some((word, status)) if word == "status" => status.clone(),
        Some((word, when)) if word == "drop" => {
            json!(if when == "before" { "dropBeforeSend" } else { "dropAfterCommit" })
        }
        _ => return cannot("what they get"),
    };
    let mut args = json!({"match": request, "respond": respond});
    if let Some(percent) = fault["percent"].as_f64().filter(|percent| *percent < 100.0) {
        args["probability"] = json!(percent / 100.0);
    }
    for key in ["times", "for"] {
        if !fault[key].is_null() {
            args[key] = fault[key].clone();
        }
    }
    Ok(json!({"api": args}))
}

fn kind_of(plural: &str) -> Option<&'static str> {
    crate::world::kinds::KINDS.iter().find(|info| info.plural == plural).map(|info| info.kind)
}

#[cfg(test)]
mod tests {
    use fake_flink::model::api::HaLoss;

    use super::*;
    use crate::run::vocabulary;

    #[test]
    fn a_typed_step_is_read_as_in_a_file() {
        let vocabulary = vocabulary();
        for text in [
            "job: {name: orders, set: FAILED}",
            "- job: {name: orders, set: FAILED}",
            r#"{"job": {"name": "orders", "set": "FAILED"}}"#,
            "job:\n  name: orders\n  set: FAILED",
        ] {
            assert_eq!(step_of(text, &vocabulary).expect(text).name, "job");
        }
        for (text, word) in [
            ("jub: {name: a}", "job"),
            ("job: {name: a, set: FAILD}", "FAILED"),
            ("advance: 1s\n- advance: 1s", ""),
            ("", ""),
            ("}{", ""),
            ("apply: {file: nowhere.yaml}", "nowhere.yaml"),
        ] {
            let why = step_of(text, &vocabulary).expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    /// What `drey fault` sets is said so that the language takes it.
    #[test]
    fn faults_of_the_endpoint_are_steps() {
        let check = |fault: Value, expected: Option<Value>| {
            let step = api_step(&fault);
            assert_eq!(step.as_ref().ok(), expected.as_ref(), "{fault}: {step:?}");
            if let Ok(step) = step {
                step_of(&step.to_string(), &vocabulary()).expect("a step");
            }
        };
        check(
            json!({"match": {"verbs": ["patch"], "resource": "flinkdeployments", "subresource": "status"},
                "verdict": {"status": {"code": 409, "reason": "Conflict"}}, "times": 3, "percent": 50.0}),
            Some(
                json!({"api": {"match": {"verb": ["patch"], "kind": "FlinkDeployment", "subresource": "status", "by": ""},
                "respond": {"code": 409, "reason": "Conflict"}, "probability": 0.5, "times": 3}}),
            ),
        );
        check(
            json!({"match": {"user": "system:serviceaccount:*"}, "verdict": {"drop": "after"}, "for": "30s", "percent": 100.0}),
            Some(
                json!({"api": {"match": {"by": "system:serviceaccount:"}, "respond": "dropAfterCommit", "for": "30s"}}),
            ),
        );
        check(
            json!({"verdict": {"delay": "3s"}}),
            Some(json!({"api": {"match": {"by": ""}, "respond": {"slow": "3s"}}})),
        );
        check(json!({"verdict": {"stale": true}}), None);
        check(json!({"match": {"path": "/version"}, "verdict": {"delay": "3s"}}), None);
        check(json!({"verdict": {"delay": "3s"}, "skip": 2}), None);
    }

    #[test]
    fn a_fault_that_was_lifted_lasts_as_long_as_it_did() {
        let (recording, mut faults) = (Recording::default(), ControlFaults::default());
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let fault = json!({"id": "f1", "since": "2026-01-01T00:00:10Z", "verdict": {"delay": "3s"}});
        faults.follow(std::slice::from_ref(&fault), &recording, start, Duration::from_secs(11));
        faults.follow(&[], &recording, start, Duration::from_secs(25));
        let deeds = recording.deeds();
        assert_eq!(deeds[0].at, Duration::from_secs(10));
        assert_eq!(deeds[0].step.as_ref().expect("a step")["api"]["for"], "15s");
    }

    #[test]
    fn commands_of_drey_flink_are_steps() {
        let key = ClusterKey::new("default", "app");
        for command in [
            Command::FinishJob { job: None },
            Command::StallCheckpoints { on: true },
            Command::FailCheckpoints { times: 2 },
            Command::NextSavepoint(SavepointFault::Slow(Duration::from_secs(60))),
            Command::Hang { on: true },
            Command::LoseTaskManagers,
            Command::LoseHa(HaLoss::JobMaps),
        ] {
            let step = flink_step(&key, &command).expect("a step");
            step_of(&step.to_string(), &vocabulary()).unwrap_or_else(|why| panic!("{step}: {why}"));
        }
        let rest = Command::Rest { path: "/jobs".to_owned(), fault: None };
        assert!(flink_step(&key, &rest).is_err());
    }
}
