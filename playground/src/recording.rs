//! What was done by hand in a world, as steps of the scenario language: faults and actions of the page as they were given,
//! writes through kubectl by what they changed. Whatever cannot be said in a scenario is kept as words and told in the file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_language::duration;
use serde_json::{Map, Value, json};

use crate::replay::Beginning;
use crate::touched::reference;

/// Deeds of one session; a hand that does more is a program, and what it did is not kept.
const DEEDS_MAX: usize = 10_000;
/// Deeds that the page lists.
const SHOWN: usize = 300;
/// How long the replay waits for the state the session ended in.
const END_WITHIN: Duration = Duration::from_secs(120);

/// One thing that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// World time since the start.
    pub at: Duration,
    /// When it was done, for what takes time.
    pub until: Duration,
    /// `page`, `kubectl`, `drey fault`, `drey flink`.
    pub by: &'static str,
    /// One step as a scenario has it; or words, for what no scenario can say.
    pub step: Result<Value, String>,
}

/// The session. Clones are the same one.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    deeds: Vec<Option<Deed>>,
    left_out: usize,
}

impl Recording {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, for [`Recording::ended`] and the like.
    pub fn add(&self, at: Duration, by: &'static str, step: Result<Value, String>) -> usize {
        let mut book = self.lock();
        if book.deeds.len() >= DEEDS_MAX {
            book.left_out += 1;
            return usize::MAX;
        }
        book.deeds.push(Some(Deed { at, until: at, by, step }));
        book.deeds.len() - 1
    }

    pub fn ended(&self, number: usize, until: Duration) {
        if let Some(Some(deed)) = self.lock().deeds.get_mut(number) {
            deed.until = until;
        }
    }

    /// It turned out another deed than it was recorded as: a fault that was lifted has an end.
    pub fn amend(&self, number: usize, amend: impl FnOnce(&mut Deed)) {
        if let Some(Some(deed)) = self.lock().deeds.get_mut(number) {
            amend(deed);
        }
    }

    /// It was refused, so nothing came of it.
    pub fn forget(&self, number: usize) {
        if let Some(deed) = self.lock().deeds.get_mut(number) {
            *deed = None;
        }
    }

    pub fn deeds(&self) -> Vec<Deed> {
        self.lock().deeds.iter().flatten().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().deeds.iter().flatten().next().is_none()
    }

    /// For the page: how many, and the latest of them, newest last, each in one line.
    pub fn to_json(&self) -> Value {
        let line = |deed: &Deed| {
            let (text, is_kept) = match &deed.step {
                Ok(step) => (brief(step), true),
                Err(why) => (why.clone(), false),
            };
            json!({"ms": millis(deed.at), "by": deed.by, "text": text, "kept": is_kept})
        };
        let deeds = self.deeds();
        let rows: Vec<Value> = deeds.iter().skip(deeds.len().saturating_sub(SHOWN)).map(line).collect();
        json!({"count": deeds.len(), "rows": rows})
    }

    /// The whole as a scenario file: how it began, what was done, and that it ends as it did. `checks` are steps.
    pub fn scenario(&self, beginning: &Beginning, now: Duration, checks: Vec<Value>) -> String {
        let deeds = self.deeds();
        let mut steps: Vec<Value> = Vec::new();
        // While the first steps were under way somebody may have done something already.
        for deed in deeds.iter().filter(|deed| deed.at < beginning.ended) {
            if let Ok(step) = &deed.step {
                let time = duration::format_clock(Duration::from_secs(deed.at.as_secs()));
                steps.push(json!({"at": {"time": time, "steps": [step]}}));
            }
        }
        steps.extend(beginning.steps.iter().cloned());
        let mut passed = beginning.ended;
        for deed in deeds.iter().filter(|deed| deed.at >= beginning.ended) {
            let Ok(step) = &deed.step else { continue };
            advance(&mut steps, &mut passed, deed.at);
            steps.push(step.clone());
            passed = passed.max(deed.until);
        }
        advance(&mut steps, &mut passed, now);
        let waits = |check: Value| match check.get("absent") {
            Some(_) => check,
            None => json!({"eventually": check}),
        };
        steps.extend(checks.into_iter().map(waits));
        let mut file = beginning.header();
        file.insert("steps".to_owned(), Value::Array(steps));
        let lost: String = deeds
            .iter()
            .filter_map(|deed| Some((deed, deed.step.as_ref().err()?)))
            .map(|(deed, why)| {
                let time = duration::format_clock(deed.at);
                format!("# Not in here: {time} by {}: {}\n", deed.by, one_line(why))
            })
            .collect();
        let more = match self.lock().left_out {
            0 => String::new(),
            more => format!("# Not in here: {more} deeds beyond the first {DEEDS_MAX}\n"),
        };
        let file = Value::Object(file);
        let text = serde_saphyr::to_string(&file).unwrap_or_else(|_| format!("{file:#}"));
        format!(
            "# Recorded in `drey play`. The same again, in virtual time: drey run THIS-FILE --seed {}\n\
             {lost}{more}{text}",
            beginning.seed
        )
    }
}

/// A line break would end the comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A check that an object is gone in the end, as it was.
pub fn end_absent(reference: &str) -> Value {
    json!({"absent": {"of": reference, "within": duration::format(END_WITHIN)}})
}

/// A check that a replay ends in the state of an object: partial matches over what its reader cares for.
pub fn end_state(object: &Value) -> Value {
    let status = &object["status"];
    let mut wanted = Map::new();
    if let Some(state) = status["lifecycleState"].as_str() {
        wanted.insert("lifecycleState".to_owned(), json!(state));
    }
    if let Some(state) = status["jobStatus"]["state"].as_str() {
        wanted.insert("jobStatus".to_owned(), json!({"state": state}));
    }
    json!({"within": duration::format(END_WITHIN), "of": reference(object), "match": {"status": wanted}})
}

fn advance(steps: &mut Vec<Value>, passed: &mut Duration, to: Duration) {
    // Less than a millisecond cannot be written, and is nothing anybody did on purpose.
    let gap = Duration::from_millis(millis(to.saturating_sub(*passed)));
    if !gap.is_zero() {
        steps.push(json!({"advance": duration::format(gap)}));
        *passed += gap;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `job {name: orders, set: FAILED}`.
fn brief(step: &Value) -> String {
    let Some((word, args)) = step.as_object().and_then(|step| step.iter().next()) else {
        return step.to_string();
    };
    match args {
        Value::String(text) => format!("{word} {text}"),
        Value::Object(map) if map.contains_key("object") => {
            let object = &map["object"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!("{word} {}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
        }
        other => format!("{word} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn job(name: &str) -> Value {
        json!({"job": {"name": name, "set": "FAILED"}})
    }

    /// The steps of the file, as JSON.
    fn steps(recording: &Recording, beginning: &Beginning, now: u64) -> Value {
        let text = recording.scenario(beginning, at(now), vec![end_absent("FlinkDeployment/gone")]);
        let file: Value = serde_saphyr::from_str(&text).expect("YAML");
        file["steps"].clone()
    }

    #[test]
    fn deeds_stand_at_their_times() {
        let recording = Recording::default();
        recording.add(at(10), "page", Ok(job("a")));
        let slow = recording.add(at(12), "page", Ok(json!({"advance": "5s"})));
        recording.ended(slow, at(17));
        recording.add(at(20), "kubectl", Ok(job("b")));
        let refused = recording.add(at(21), "page", Ok(job("nobody")));
        recording.forget(refused);
        let absent = json!({"absent": {"of": "FlinkDeployment/gone", "within": "2m"}});
        let expected = json!([{"advance": "10s"}, job("a"), {"advance": "2s"}, {"advance": "5s"}, {"advance": "3s"},
            job("b"), {"advance": "10s"}, absent]);
        assert_eq!(steps(&recording, &Beginning::default(), 30), expected);
    }

    #[test]
    fn deeds_beside_the_first_steps_start_by_themselves() {
        let recording = Recording::default();
        recording.add(Duration::from_millis(3700), "page", Ok(job("a")));
        let first = json!({"advance": "1m"});
        let beginning = Beginning { steps: vec![first.clone()], ended: at(60), ..Beginning::default() };
        let absent = json!({"absent": {"of": "FlinkDeployment/gone", "within": "2m"}});
        let beside = json!({"at": {"time": "00:00:03", "steps": [job("a")]}});
        assert_eq!(steps(&recording, &beginning, 60), json!([beside, first, absent]));
    }

    #[test]
    fn what_cannot_be_said_is_told_in_the_file() {
        let recording = Recording::default();
        recording.add(at(5), "drey fault", Err("stale reads\ncannot be said".to_owned()));
        let text = recording.scenario(&Beginning::default(), at(6), Vec::new());
        assert!(
            text.contains("\n# Not in here: 00:00:05 by drey fault: stale reads cannot be said\n"),
            "{text}"
        );
        let file: Value = serde_saphyr::from_str(&text).expect("still YAML");
        assert_eq!(file["steps"], json!([{"advance": "6s"}]));
        assert_eq!(recording.to_json()["rows"][0]["kept"], false);
    }
}
