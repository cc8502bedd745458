//! Accept headers and the rendering of answers: JSON, YAML, protobuf, Table, PartialObjectMetadata.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use fake_kube_schema::{proto, write_json};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{Page, Shown};
use crate::events;
use crate::meta;
use crate::pages::{self, Pages};
use crate::request::Params;
use crate::resource::Definition;
use crate::status::{Result, Status};
use crate::store::{self, Stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What an object is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    /// `as=PartialObjectMetadata(List)`.
    Metadata,
    Table(Include),
}

/// `includeObject` of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
}

impl Form {
    pub(crate) const JSON: Form = Form { encoding: Encoding::Json, shape: Shape::Plain };

    pub(crate) fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub(crate) fn watch_content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }
}

/// How the 406 of a route is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    Builtin { collection: bool },
    Custom,
}

/// One alternative of an Accept header.
struct Clause<'a> {
    media: &'a str,
    kind: &'a str,
    group: &'a str,
    version: &'a str,
    quality: f32,
}

/// The alternatives by preference: quality first, then how exact they are, else as listed (goautoneg).
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut out: Vec<Clause<'_>> = Vec::new();
    for text in accept.split(',') {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or("");
        let mut clause = Clause { media, kind: "", group: "", version: "", quality: 1.0 };
        for (key, value) in parts.filter_map(|p| p.split_once('=')) {
            match key {
                "as" => clause.kind = value,
                "g" => clause.group = value,
                "v" => clause.version = value,
                "q" => clause.quality = value.parse().unwrap_or(1.0),
                _ => {}
            }
        }
        out.push(clause);
    }
    let vague = |c: &Clause<'_>| match c.media.split_once('/') {
        Some(("*", _)) => 2,
        Some((_, "*")) => 1,
        _ if c.media == "*" => 2,
        _ => 0,
    };
    out.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(vague(a).cmp(&vague(b))));
    out
}

fn encoding(media: &str) -> Option<Encoding> {
    match media {
        "application/json" | "*/*" | "*" => Some(Encoding::Json),
        "application/yaml" => Some(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
        _ => None,
    }
}

/// Chooses the form of an answer, which the first acceptable alternative decides (kube-api.md 1.3; endpoints/handlers,
/// AllowsMediaTypeTransform). `messages`: whether the objects themselves have a protobuf form, as those of built-in kinds
/// do; asked only where a client would take it.
pub(crate) fn choose(
    accept: &str,
    params: &Params,
    wording: Wording,
    messages: impl Fn() -> bool,
    watch: bool,
) -> Result<Form> {
    // What most clients send is answered without a closer look.
    if matches!(accept.trim(), "" | "application/json" | "*/*") {
        return Ok(Form::JSON);
    }
    let mut unknown_kind = false;
    for clause in clauses(accept) {
        let Some(encoding) = encoding(clause.media).filter(|e| !watch || *e != Encoding::Yaml) else {
            continue;
        };
        let known = clause.group == "meta.k8s.io" && matches!(clause.version, "v1" | "v1beta1");
        let shape = match clause.kind {
            "" if clause.group.is_empty() && clause.version.is_empty() => {
                if encoding == Encoding::Protobuf && !messages() {
                    continue;
                }
                Shape::Plain
            }
            "Table" if known && encoding == Encoding::Protobuf => continue,
            "Table" if known => Shape::Table(include(params)?),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known => Shape::Metadata,
            _ => {
                unknown_kind = true;
                continue;
            }
        };
        return Ok(Form { encoding, shape });
    }
    let wording = if unknown_kind { Wording::Custom } else { wording };
    Err(not_acceptable(wording))
}

/// The encoding of an error: the first alternative that asks for no transformation.
pub(crate) fn for_errors(accept: &str) -> Encoding {
    let plain = clauses(accept).into_iter().filter(|c| c.kind.is_empty() && c.group.is_empty());
    plain.filter_map(|c| encoding(c.media)).next().unwrap_or(Encoding::Json)
}

fn include(params: &Params) -> Result<Include> {
    match params.text("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', \
             'None', or empty",
            json!(other)
        ))),
    }
}

fn not_acceptable(wording: Wording) -> Status {
    const TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    match wording {
        Wording::Custom => {
            Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {TYPES}"))
        }
        Wording::Builtin { collection } => {
            let streams = if collection {
                ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            } else {
                ""
            };
            let text = format!("406: Not Acceptable\n\nAvailable representations: {TYPES}{streams}");
            Status::new(406, "NotAcceptable", text).details(json!({}))
        }
    }
}

/// Encodes a whole value.
pub(crate) fn encode(value: &Value, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => {
            let mut out = Vec::with_capacity(1024);
            write_json(&mut out, value);
            out.push(b'\n');
            out.into()
        }
        Encoding::Yaml => serde_saphyr::to_string(&sorted(value)).unwrap_or_default().into(),
        Encoding::Protobuf => message(value).into(),
    }
}

/// All kinds the server makes itself have a message; should one not, its JSON goes into the envelope, as Go does with
/// unknown objects.
fn message(value: &Value) -> Vec<u8> {
    proto::object(value).unwrap_or_else(|| proto::seal("", "", value.to_string().as_bytes()))
}

/// YAML answers have sorted keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(m) => {
            let mut keys: Vec<&String> = m.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|k| (k.clone(), sorted(&m[k]))).collect())
        }
        Value::Array(l) => Value::Array(l.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// One object in the asked form.
pub(crate) fn object(def: &Arc<Definition>, shown: &Shown, form: Form, now: Timestamp) -> Bytes {
    match form.shape {
        Shape::Plain if form.encoding == Encoding::Json => {
            if let Shown::Stored(stored) = shown
                && pages::is_plain(def, stored)
            {
                return stored.line().clone();
            }
            let mut out = BytesMut::new();
            write_object(&mut out, def, shown, true);
            out.put_u8(b'\n');
            out.freeze()
        }
        Shape::Plain => encode(&value(def, shown), form.encoding),
        Shape::Metadata => encode(&partial(&shown.value()), form.encoding),
        Shape::Table(include) => {
            let list = json!({"resourceVersion": meta::text(&shown.value(), "resourceVersion")});
            encode(&table(def, std::slice::from_ref(shown), include, list, true, now), form.encoding)
        }
    }
}

/// An object as its version shows it.
pub(crate) fn value(def: &Definition, shown: &Shown) -> Value {
    let v = shown.value();
    let mut out = if events::is_view(def) { events::from_storage(def, &v) } else { Value::clone(&v) };
    out["apiVersion"] = json!(def.api_version());
    out["kind"] = json!(def.kind);
    if def.is_custom() {
        def.schema().default(&mut out);
    }
    out
}

fn write_object(out: &mut BytesMut, def: &Definition, shown: &Shown, head: bool) {
    let owned;
    let members: &[u8] = match shown {
        Shown::Stored(s) if head && pages::is_plain(def, s) => {
            let line = s.line();
            return out.put_slice(&line[..line.len() - 1]);
        }
        Shown::Stored(s) if def.is_settled(s.revision) => s.members(),
        Shown::Stored(_) => {
            owned = store::members(&value(def, shown));
            &owned
        }
        Shown::Loose(v) => {
            owned = store::members(v);
            &owned
        }
    };
    out.put_u8(b'{');
    if head {
        out.put_slice(&def.heading().as_bytes()[1..]);
        if !members.is_empty() {
            out.put_u8(b',');
        }
    }
    out.put_slice(members);
    out.put_u8(b'}');
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({}))})
}

fn list_meta(def: &Definition, page: &Page, plain: bool) -> Value {
    let mut m = json!({"resourceVersion": page.revision.to_string()});
    match &page.next {
        Some(token) => m["continue"] = json!(token),
        // Lists of custom resources always show it.
        None if def.is_custom() && plain => m["continue"] = json!(""),
        None => {}
    }
    if let Some(n) = page.remaining {
        m["remainingItemCount"] = json!(n);
    }
    m
}

/// How a list in JSON begins, up to its first item.
fn list_head(def: &Definition, page: &Page) -> String {
    format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        json!(def.list_kind),
        json!(def.api_version()),
        list_meta(def, page, true)
    )
}

/// A page that is better written while it is sent, if this is one.
pub(crate) fn long_list(def: &Arc<Definition>, page: &Page, form: Form) -> Option<Pages> {
    if form.shape != Shape::Plain || form.encoding != Encoding::Json || page.items.len() < 2 {
        return None;
    }
    let items: Option<Vec<Arc<Stored>>> = page
        .items
        .iter()
        .map(|item| match item {
            Shown::Stored(stored) if pages::is_plain(def, stored) => Some(stored.clone()),
            _ => None,
        })
        .collect();
    let pages = Pages::new(def.clone(), list_head(def, page).into(), items?);
    (pages.left() > pages::LONG).then_some(pages)
}

/// A page in the asked form.
pub(crate) fn list(def: &Arc<Definition>, page: &Page, form: Form, now: Timestamp) -> Bytes {
    match form.shape {
        Shape::Plain if form.encoding == Encoding::Json => {
            let mut out = BytesMut::new();
            out.put_slice(list_head(def, page).as_bytes());
            for (i, item) in page.items.iter().enumerate() {
                if i > 0 {
                    out.put_u8(b',');
                }
                // Typed lists leave kind and apiVersion out of their items.
                write_object(&mut out, def, item, def.is_custom());
            }
            out.put_slice(b"]}\n");
            out.freeze()
        }
        Shape::Plain => {
            let items: Vec<Value> = page
                .items
                .iter()
                .map(|i| {
                    let mut v = value(def, i);
                    if let (false, Some(map)) = (def.is_custom(), v.as_object_mut()) {
                        map.shift_remove("apiVersion");
                        map.shift_remove("kind");
                    }
                    v
                })
                .collect();
            let all = json!({"kind": def.list_kind, "apiVersion": def.api_version(),
                "metadata": list_meta(def, page, true), "items": items});
            encode(&all, form.encoding)
        }
        Shape::Metadata => {
            let items: Vec<Value> = page.items.iter().map(|i| partial(&i.value())).collect();
            // Go never makes the slice when there is nothing to put into it.
            let items = if items.is_empty() { Value::Null } else { Value::Array(items) };
            let all = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": list_meta(def, page, false), "items": items});
            encode(&all, form.encoding)
        }
        Shape::Table(include) => {
            let all = table(def, &page.items, include, list_meta(def, page, false), true, now);
            encode(&all, form.encoding)
        }
    }
}

fn table(
    def: &Arc<Definition>,
    items: &[Shown],
    include: Include,
    metadata: Value,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let printed = crate::table::Printer::of(def);
    let rows: Vec<Value> = items
        .iter()
        .map(|i| {
            let object = value(def, i);
            let mut row = printed.row(&object, now);
            match include {
                Include::None => {}
                Include::Metadata => row["object"] = partial(&object),
                Include::Object => row["object"] = object,
            }
            row
        })
        .collect();
    let mut out = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    out["columnDefinitions"] = if with_columns { printed.columns() } else { Value::Null };
    out["rows"] = Value::Array(rows);
    out
}

/// Renders the events of one watch.
pub(crate) struct WatchRenderer {
    def: Arc<Definition>,
    form: Form,
    first: bool,
}

impl WatchRenderer {
    pub(crate) fn new(def: Arc<Definition>, form: Form) -> WatchRenderer {
        WatchRenderer { def, form, first: true }
    }

    pub(crate) fn event(&mut self, out: &mut BytesMut, kind: &str, shown: &Shown, now: Timestamp) {
        if self.form.encoding == Encoding::Protobuf {
            let object = match self.form.shape {
                Shape::Metadata => partial(&shown.value()),
                _ => value(&self.def, shown),
            };
            return self.line(out, kind, &object);
        }
        if let (Shape::Plain, Shown::Stored(stored)) = (self.form.shape, shown) {
            out.reserve(stored.line().len() + 64);
        }
        out.put_slice(b"{\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_slice(b"\",\"object\":");
        match self.form.shape {
            Shape::Plain => write_object(out, &self.def, shown, true),
            Shape::Metadata => out.put_slice(partial(&shown.value()).to_string().as_bytes()),
            Shape::Table(include) => {
                let list = json!({"resourceVersion": meta::text(&shown.value(), "resourceVersion")});
                let t = table(&self.def, std::slice::from_ref(shown), include, list, self.first, now);
                self.first = false;
                out.put_slice(t.to_string().as_bytes());
            }
        }
        out.put_slice(b"}\n");
    }

    /// A bookmark; `initial_end` marks the end of the initial events.
    pub(crate) fn bookmark(&mut self, out: &mut BytesMut, revision: u64, initial_end: bool) {
        let mut m = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            m["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form.shape {
            Shape::Plain => {
                json!({"kind": self.def.kind, "apiVersion": self.def.api_version(), "metadata": m})
            }
            Shape::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": m})
            }
            Shape::Table(_) => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": revision.to_string()}, "columnDefinitions": null, "rows": []}),
        };
        self.line(out, "BOOKMARK", &object);
    }

    pub(crate) fn error(&mut self, out: &mut BytesMut, status: &Value) {
        self.line(out, "ERROR", status);
    }

    fn line(&self, out: &mut BytesMut, kind: &str, object: &Value) {
        if self.form.encoding == Encoding::Protobuf {
            let mut frame = Vec::new();
            proto::watch_event(&mut frame, kind, &message(object));
            return out.put_slice(&frame);
        }
        out.put_slice(format!("{}\n", json!({"type": kind, "object": object})).as_bytes());
    }
}
