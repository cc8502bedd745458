//! Built-in kinds in protobuf, both ways, by the field tables of their Go types (kube-api.md 1.3).
//!
//! Message bytes become the JSON that Go would write for the same struct, and the reverse: what a real server reads and
//! answers under `application/vnd.kubernetes.protobuf`. Texts of errors are those of the generated Go code. Leaves out
//! alpha and beta versions, and groups encoded with other means (discovery, OpenAPI).

mod decode;
mod encode;
mod special;
mod table;
mod wire;

use serde_json::Value;

use table::{Table, TypeId};

/// What every object's bytes begin with.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// A message type of a built-in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message(TypeId);

impl Message {
    /// The message of a kind; options, Status and the like are of every group version.
    pub fn of(api_version: &str, kind: &str) -> Option<Message> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let package = match group {
            "" => "core",
            "apiextensions.k8s.io" => "apiextensions",
            "meta.k8s.io" => "meta",
            g => g.split('.').next().unwrap_or(g),
        };
        let table = Table::load();
        let own = table.find(&format!("{package}.{version}.{kind}"));
        own.or_else(|| table.find(&format!("meta.v1.{kind}"))).map(Message)
    }

    /// Reads one message.
    pub fn decode(self, raw: &[u8]) -> Result<Value, String> {
        decode::message(Table::load(), self.0, raw).map(Value::Object)
    }

    /// Writes a value; members that the message does not have are left out.
    pub fn encode(self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode::message(Table::load(), self.0, value, &mut out);
        out
    }
}

/// Whether a string member stays when it is empty: behind a pointer, or without `omitempty`. None where the tables of Go
/// types do not say. `schema` is the name of the type in OpenAPI.
pub(crate) fn keeps_empty_text(schema: &str, member: &str) -> Option<bool> {
    let table = Table::load();
    let mut parts = schema.rsplit('.');
    let (kind, version, package) = (parts.next()?, parts.next()?, parts.next()?);
    let of = table.get(table.find(&format!("{package}.{version}.{kind}"))?);
    let field = of.fields.iter().find(|f| f.name == member)?;
    let is_text = field.kind == table::Kind::Text && !field.repeated && !field.map;
    is_text.then_some(field.pointer || !field.omit_empty)
}

/// An object taken out of its envelope (`runtime.Unknown`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    pub api_version: String,
    pub kind: String,
    pub raw: Vec<u8>,
}

/// Opens what a client sent.
pub fn open(body: &[u8]) -> Result<Envelope, String> {
    if body.is_empty() {
        return Err("empty data".to_owned());
    }
    let Some(rest) = body.strip_prefix(&MAGIC) else {
        return Err(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into()
        );
    };
    if rest.is_empty() {
        return Err("empty body".to_owned());
    }
    let mut out = Envelope::default();
    wire::fields(rest, "Unknown", |field| {
        match field.number {
            1 => wire::fields(field.bytes("TypeMeta")?, "TypeMeta", |inner| {
                let text = |name| inner.bytes(name).map(|b| String::from_utf8_lossy(b).into_owned());
                match inner.number {
                    1 => out.api_version = text("APIVersion")?,
                    2 => out.kind = text("Kind")?,
                    _ => {}
                }
                Ok(())
            })?,
            2 => out.raw = field.bytes("Raw")?.to_vec(),
            3 => drop(field.bytes("ContentEncoding")?),
            4 => drop(field.bytes("ContentType")?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

/// Puts encoded bytes into an envelope.
pub fn seal(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    wire::put_bytes(&mut head, 1, api_version.as_bytes());
    wire::put_bytes(&mut head, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(raw.len() + head.len() + 24);
    out.extend_from_slice(&MAGIC);
    wire::put_bytes(&mut out, 1, &head);
    wire::put_bytes(&mut out, 2, raw);
    wire::put_bytes(&mut out, 3, b"");
    wire::put_bytes(&mut out, 4, b"");
    out
}

/// An object as it is sent; None for kinds that have no message.
pub fn object(value: &Value) -> Option<Vec<u8>> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    Some(seal(api_version, kind, &Message::of(api_version, kind)?.encode(value)))
}

/// One event of a watch: its length in four bytes, then the event around a whole object.
pub fn watch_event(out: &mut Vec<u8>, event: &str, object: &[u8]) {
    let mut inner = Vec::with_capacity(object.len() + 8);
    wire::put_bytes(&mut inner, 1, object);
    let mut frame = Vec::with_capacity(inner.len() + 24);
    wire::put_bytes(&mut frame, 1, event.as_bytes());
    wire::put_bytes(&mut frame, 2, &inner);
    out.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&frame);
}

#[cfg(test)]
mod tests;
