//! What the script of a case page is given: events as short arrays, object names once, changes instead of objects,
//! long values cut. Keeps a page of some thousand events within a few hundred KiB.

use crate::changes::changes;
use crate::events::{Event, Kind, Lane};
use crate::report::{CaseReport, Outcome};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Events on one page; of a longer run the first and the last ones.
const EVENTS: usize = 20_000;
const HEAD: usize = 2_000;
/// Longest value of a field and longest whole detail, in characters.
const FIELD: usize = 300;
const DETAIL: usize = 4_000;
/// Changed fields told per event.
const FIELDS: usize = 60;
/// All details of a page together, in bytes; events beyond keep their line and lose their details.
const PAGE: usize = 4 << 20;

/// `{lanes, kinds, objects, events: [[seq, ms, lane, kind, object, text, cause, detail]..], cut, failed: [seq..]}`
pub(super) fn of(case: &CaseReport) -> Value {
    let (head, tail) = match case.events.len() {
        n if n <= EVENTS => (case.events.as_slice(), &[][..]),
        n => (&case.events[..HEAD], &case.events[n - (EVENTS - HEAD)..]),
    };
    let mut objects = Names::default();
    let mut kinds = Names::default();
    let mut events: Vec<Value> =
        head.iter().chain(tail).map(|e| row(e, case, &mut objects, &mut kinds)).collect();
    let bare = keep_within(PAGE, &mut events);
    let cut = case.events.len() - events.len() + usize::try_from(case.events_dropped).unwrap_or(usize::MAX);
    let failed: Vec<u64> = match &case.outcome {
        Outcome::Failed { failures } => failures.iter().filter_map(|f| f.event).collect(),
        _ => Vec::new(),
    };
    json!({
        "lanes": Lane::ALL.map(Lane::name),
        "kinds": kinds.list,
        "objects": objects.list,
        "events": events,
        "cut": cut,
        "bare": bare,
        "failed": failed,
    })
}

/// Drops details from the middle outwards until the rest fits: the start explains, the end fails. Returns how many.
fn keep_within(limit: usize, events: &mut [Value]) -> usize {
    let size = |row: &Value| if row[7].is_null() { 0 } else { row[7].to_string().len() };
    let sizes: Vec<usize> = events.iter().map(size).collect();
    let mut total: usize = sizes.iter().sum();
    let middle = events.len() / 2;
    let mut order: Vec<usize> = (0..events.len()).filter(|i| sizes[*i] > 0).collect();
    order.sort_by_key(|i| i.abs_diff(middle));
    let mut dropped = 0;
    for i in order {
        if total <= limit {
            break;
        }
        total -= sizes[i];
        events[i][7] = Value::Null;
        dropped += 1;
    }
    dropped
}

fn row(event: &Event, case: &CaseReport, objects: &mut Names, kinds: &mut Names) -> Value {
    let lane = Lane::ALL.iter().position(|lane| *lane == event.lane);
    let object = event.object.as_deref().map(|name| objects.index(name));
    let ms = u64::try_from(event.since(case.start).as_millis()).unwrap_or(u64::MAX);
    let kind = kinds.index(event.kind.name());
    let text = cut(&event.text, DETAIL);
    json!([event.seq, ms, lane, kind, object, text, event.cause, detail(event)])
}

/// `{changes: [[path, old, new]..], more, facts}`; null when there is nothing to tell.
fn detail(event: &Event) -> Value {
    let Value::Object(map) = &event.detail else {
        return if event.detail.is_null() { Value::Null } else { json!({"facts": shortened(&event.detail)}) };
    };
    if event.kind != Kind::Change {
        return json!({"facts": shortened(&event.detail)});
    }
    let facts: serde_json::Map<String, Value> = map.iter().map(|(k, v)| (k.clone(), shortened(v))).collect();
    match (event.old.as_deref(), event.new.as_deref()) {
        (Some(old), Some(new)) => {
            let all = changes(old, new);
            let shown: Vec<Value> =
                all.iter().take(FIELDS).map(|c| json!([c.path, field(&c.old), field(&c.new)])).collect();
            json!({"facts": facts, "changes": shown, "more": all.len() - shown.len()})
        }
        (None, Some(new)) => json!({"facts": facts, "object": pretty(new)}),
        (Some(old), None) => json!({"facts": facts, "object": pretty(old)}),
        (None, None) => json!({"facts": facts}),
    }
}

/// A field's value as text; null when absent.
fn field(value: &Option<Value>) -> Value {
    match value {
        None => Value::Null,
        Some(Value::String(text)) => Value::from(cut(text, FIELD)),
        Some(other) => Value::from(cut(&other.to_string(), FIELD)),
    }
}

fn pretty(value: &Value) -> String {
    cut(&serde_json::to_string_pretty(value).unwrap_or_default(), DETAIL)
}

fn shortened(value: &Value) -> Value {
    let text = value.to_string();
    if text.chars().count() <= DETAIL { value.clone() } else { Value::from(cut(&text, DETAIL)) }
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Each text once, by index.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Names {
    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.known.get(name) {
            return *index;
        }
        self.list.push(name.to_owned());
        self.known.insert(name.to_owned(), self.list.len() - 1);
        self.list.len() - 1
    }
}
