//! Accept headers and the rendering of answers: JSON, YAML, Table, PartialObjectMetadata.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{Page, Shown};
use crate::events;
use crate::meta;
use crate::request::Params;
use crate::resource::Definition;
use crate::status::{Result, Status};
use crate::store;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
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
        }
    }
}

/// How the 406 of a route is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    Builtin { collection: bool },
    Custom,
}

/// Chooses the form of an answer; first acceptable clause wins, as clients list by preference.
pub(crate) fn choose(accept: &str, params: &Params, wording: Wording, watch: bool) -> Result<Form> {
    if accept.trim().is_empty() {
        return Ok(Form::JSON);
    }
    let mut unknown_kind = false;
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or("");
        let encoding = match media {
            "application/json" | "*/*" => Encoding::Json,
            "application/yaml" if !watch => Encoding::Yaml,
            _ => continue,
        };
        let (mut kind, mut group, mut version) = ("", "", "");
        for p in parts {
            match p.split_once('=') {
                Some(("as", v)) => kind = v,
                Some(("g", v)) => group = v,
                Some(("v", v)) => version = v,
                _ => {}
            }
        }
        let known = group == "meta.k8s.io" && matches!(version, "v1" | "v1beta1");
        let shape = match kind {
            "" => Shape::Plain,
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
            let mut out = serde_json::to_vec(value).unwrap_or_default();
            out.push(b'\n');
            out.into()
        }
        Encoding::Yaml => serde_saphyr::to_string(&sorted(value)).unwrap_or_default().into(),
    }
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
            let mut out = BytesMut::new();
            write_object(&mut out, def, shown, true);
            out.put_u8(b'\n');
            out.freeze()
        }
        Shape::Plain => encode(&value(def, shown), form.encoding),
        Shape::Metadata => encode(&partial(shown.value()), form.encoding),
        Shape::Table(include) => {
            let list = json!({"resourceVersion": meta::text(shown.value(), "resourceVersion")});
            encode(&table(def, std::slice::from_ref(shown), include, list, true, now), form.encoding)
        }
    }
}

/// An object as its version shows it.
pub(crate) fn value(def: &Definition, shown: &Shown) -> Value {
    let v = shown.value();
    let mut out = if events::is_view(def) { events::from_storage(def, v) } else { (**v).clone() };
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
        out.put_slice(
            format!("\"kind\":{},\"apiVersion\":{}", json!(def.kind), json!(def.api_version())).as_bytes(),
        );
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

/// A page in the asked form.
pub(crate) fn list(def: &Arc<Definition>, page: &Page, form: Form, now: Timestamp) -> Bytes {
    match form.shape {
        Shape::Plain if form.encoding == Encoding::Json => {
            let mut out = BytesMut::new();
            let head = format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
                json!(def.list_kind),
                json!(def.api_version()),
                list_meta(def, page, true)
            );
            out.put_slice(head.as_bytes());
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
            let items: Vec<Value> = page.items.iter().map(|i| partial(i.value())).collect();
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
        out.put_slice(b"{\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_slice(b"\",\"object\":");
        match self.form.shape {
            Shape::Plain => write_object(out, &self.def, shown, true),
            Shape::Metadata => out.put_slice(partial(shown.value()).to_string().as_bytes()),
            Shape::Table(include) => {
                let list = json!({"resourceVersion": meta::text(shown.value(), "resourceVersion")});
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
        out.put_slice(format!("{}\n", json!({"type": kind, "object": object})).as_bytes());
    }
}
