//! Request bodies: JSON, YAML and protobuf into values, with the refusals of a real server (cases create-bad-json*, neg-*).

use std::fmt;

use fake_kube_schema::proto;
use fake_kube_schema::text::go_quote;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::resource::Definition;
use crate::status::{Result, Status};
use crate::yaml;

/// A decoded body and what strict decoding has against it.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// `duplicate field "spec.x"`.
    pub(crate) strict: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    Yaml,
    Protobuf,
}

pub(crate) const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The media type of a POST or PUT body; no header means JSON.
pub(crate) fn media(content_type: &str) -> Result<Media> {
    let base = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match base.as_str() {
        "" | "application/json" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ => Err(Status::unsupported_media(ACCEPTED)),
    }
}

/// Decodes an object of `def`, checking that the body says so.
pub(crate) fn object(def: &Definition, body: &[u8], media: Media) -> Result<Decoded> {
    let unrecognized = |why: String| {
        let shown = excerpt(body);
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({shown})",
            def.kind
        ))
    };
    let decoded = match media {
        Media::Json => parse(body)
            .map_err(|e| unrecognized(format!("couldn't get version/kind; json parse error: {e}")))?,
        Media::Yaml => yaml::parse(body).map_err(unrecognized)?,
        // No struct stands behind a custom resource; a real server's handler crashes here (kube-api.md 1.3).
        Media::Protobuf if def.is_custom() => return Err(Status::unsupported_media(ACCEPTED)),
        Media::Protobuf => {
            let envelope = proto::open(body).map_err(unrecognized)?;
            Decoded { value: message(envelope, &def.api_version(), &def.kind)?, strict: Vec::new() }
        }
    };
    if !decoded.value.is_object() {
        let kind = go_kind(&decoded.value);
        return Err(unrecognized(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of type struct \
             {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        )));
    }
    let text = |key: &str| decoded.value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if def.is_custom() {
        if kind.is_empty() {
            let whole = String::from_utf8_lossy(body);
            return Err(unrecognized(format!("Object 'Kind' is missing in '{whole}'")));
        }
        if api_version != def.api_version() {
            return Err(Status::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({})",
                def.api_version()
            )));
        }
        if kind != def.kind {
            let cause = fake_kube_schema::Cause::invalid(
                "kind",
                &Value::from(kind.as_str()),
                &format!("must be {}", def.kind),
            );
            let name = crate::meta::name(&decoded.value).to_owned();
            return Err(Status::invalid_as(&def.group, &kind, &name, vec![cause]));
        }
    } else if (!kind.is_empty() && kind != def.kind)
        || (!api_version.is_empty() && api_version != def.api_version())
    {
        return Err(wrong_builtin(def, &api_version, &kind));
    }
    check_metadata(def, &decoded.value)?;
    Ok(decoded)
}

/// Metadata of the wrong JSON type fails in the decoder, before any validation.
fn check_metadata(def: &Definition, value: &Value) -> Result<()> {
    match value.get("metadata") {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(other) => {
            let into = if def.is_custom() {
                "Go value".to_owned()
            } else {
                format!("Go struct field {}.metadata", def.kind)
            };
            Err(cannot_handle(
                def,
                &format!("json: cannot unmarshal {} into {into} of type v1.ObjectMeta", go_kind(other)),
            ))
        }
    }
}

pub(crate) fn cannot_handle(def: &Definition, why: &str) -> Status {
    Status::bad_request(format!(
        "{} in version {} cannot be handled as a {}: {why}",
        def.kind,
        go_quote(&def.version),
        def.kind
    ))
}

fn wrong_builtin(def: &Definition, api_version: &str, kind: &str) -> Status {
    let version = api_version.rsplit('/').next().unwrap_or("");
    let own = if def.group.is_empty() { "core" } else { def.group.split('.').next().unwrap_or("") };
    Status::bad_request(format!(
        "{kind} in version {} cannot be handled as a {}: converting ({version}.{kind}) to ({own}.{}): unknown conversion",
        go_quote(version),
        def.kind,
        def.kind
    ))
}

/// What Go's error shows of the body: at most 30 bytes as text, hex when it is not an object (case create-bad-json).
fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let looks_textual = body.first() == Some(&b'{');
    if looks_textual {
        let text = String::from_utf8_lossy(body);
        if text.len() > 30 {
            format!("{} ...", text.chars().take(30).collect::<String>())
        } else {
            text.into_owned()
        }
    } else {
        let mut hex: String = body.iter().take(30).map(|b| format!("{b:02x}")).collect();
        if body.len() > 30 {
            hex.push_str(" ...");
        }
        hex
    }
}

fn go_kind(v: &Value) -> &'static str {
    match v {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Null => "null",
        Value::Object(_) => "object",
    }
}

/// Parses JSON, later keys winning, and notes duplicate keys. Nesting is bounded by serde_json (128).
pub(crate) fn parse(body: &[u8]) -> std::result::Result<Decoded, String> {
    // What is UTF-8 as a whole is not looked at again, text by text.
    match std::str::from_utf8(body) {
        Ok(text) => read(serde_json::Deserializer::from_str(text), body),
        Err(_) => read(serde_json::Deserializer::from_slice(body), body),
    }
}

fn read<'de, R: serde_json::de::Read<'de>>(
    mut de: serde_json::Deserializer<R>,
    body: &[u8],
) -> std::result::Result<Decoded, String> {
    let mut strict = Vec::new();
    let value = Node { at: Trail::Root, strict: &mut strict }
        .deserialize(&mut de)
        .map_err(|e| go_syntax(body, &e))?;
    de.end().map_err(|e| go_syntax(body, &e))?;
    Ok(Decoded { value, strict })
}

/// JSON syntax errors in the words of encoding/json.
fn go_syntax(body: &[u8], e: &serde_json::Error) -> String {
    if e.is_eof() || body.iter().all(u8::is_ascii_whitespace) {
        return "unexpected end of JSON input".to_owned();
    }
    let line_start = body
        .split_inclusive(|b| *b == b'\n')
        .take(e.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let at = (line_start + e.column().saturating_sub(1)).min(body.len().saturating_sub(1));
    let c = String::from_utf8_lossy(&body[at..]).chars().next().unwrap_or('?');
    let text = e.to_string();
    let place = if text.starts_with("trailing") {
        "after top-level value"
    } else if text.starts_with("expected `:`") {
        "after object key"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `,` or `]`") {
        "after array element"
    } else if text.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character '{c}' {place}")
}

/// The object in an envelope; what it does not say of itself is what the route expects.
fn message(mut envelope: proto::Envelope, api_version: &str, kind: &str) -> Result<Value> {
    if envelope.kind.is_empty() {
        kind.clone_into(&mut envelope.kind);
    }
    if envelope.api_version.is_empty() {
        api_version.clone_into(&mut envelope.api_version);
    }
    let refused = |why: String| {
        let version = envelope.api_version.rsplit('/').next().unwrap_or("");
        Status::bad_request(format!(
            "{} in version {} cannot be handled as a {kind}: {why}",
            envelope.kind,
            go_quote(version)
        ))
    };
    let of = proto::Message::of(&envelope.api_version, &envelope.kind).ok_or_else(|| {
        refused(format!(
            "no kind {} is registered for version {} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            go_quote(&envelope.kind),
            go_quote(&envelope.api_version)
        ))
    })?;
    let mut value = of.decode(&envelope.raw).map_err(refused)?;
    value["apiVersion"] = Value::from(envelope.api_version);
    value["kind"] = Value::from(envelope.kind);
    Ok(value)
}

/// A body that is not the route's own kind: options, reviews, the objects of subresources. `api_version` and `kind` are
/// what a protobuf envelope leaves out.
pub(crate) fn loose(body: &[u8], media: Media, api_version: &str, kind: &str) -> Result<Value> {
    match media {
        Media::Json => parse(body)
            .map(|d| d.value)
            .map_err(|e| Status::bad_request(format!("couldn't get version/kind; json parse error: {e}"))),
        Media::Yaml => yaml::parse(body).map(|d| d.value).map_err(Status::bad_request),
        Media::Protobuf => message(proto::open(body).map_err(Status::bad_request)?, api_version, kind),
    }
}

/// Parses YAML as `yaml.Unmarshal` into a map does, for apply patches.
pub(crate) fn yaml(body: &[u8]) -> std::result::Result<Decoded, String> {
    if let Some(decoded) = json_as_yaml(body) {
        return Ok(decoded);
    }
    let decoded = yaml::parse(body).map_err(|e| format!("error converting YAML to JSON: {e}"))?;
    match &decoded.value {
        Value::Object(_) => Ok(decoded),
        Value::Null => Ok(Decoded { value: Value::Object(Map::new()), strict: Vec::new() }),
        other => Err(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
             map[string]interface {{}}",
            go_kind(other)
        )),
    }
}

/// A JSON object in which YAML finds the same: most patches that are applied are one. Whatever the two could read
/// differently (breaks and escapes in texts, fractions, keys that come twice or merge) is left to YAML.
fn json_as_yaml(body: &[u8]) -> Option<Decoded> {
    let is_plain = |byte: &u8| *byte == b'\n' || (b' '..=b'~').contains(byte);
    // All bytes are looked at, many at once.
    if body.first() != Some(&b'{') || !body.iter().fold(true, |all, byte| all & is_plain(byte)) {
        return None;
    }
    let mut rest = body;
    while let Some(escape) = rest.iter().position(|byte| *byte == b'\\') {
        if !matches!(rest.get(escape + 1), Some(b'"' | b'\\' | b'n')) {
            return None;
        }
        rest = &rest[escape + 2..];
    }
    let decoded = parse(body).ok()?;
    (decoded.strict.is_empty() && is_the_same_in_yaml(&decoded.value)).then_some(decoded)
}

/// Keys longer than YAML takes for simple ones are left out, too.
fn is_the_same_in_yaml(value: &Value) -> bool {
    const KEY_MAX: usize = 512;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_the_same_in_yaml),
        Value::Object(members) => members
            .iter()
            .all(|(key, member)| key != "<<" && key.len() <= KEY_MAX && is_the_same_in_yaml(member)),
    }
}

/// Builds a [`Value`] and remembers keys seen twice.
struct Node<'a> {
    at: Trail<'a>,
    strict: &'a mut Vec<String>,
}

/// Where in the body, as a chain on the stack: it is written out for the few keys that come twice.
#[derive(Clone, Copy)]
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Root => Ok(()),
            Trail::Key(Trail::Root, key) => f.write_str(key),
            Trail::Key(above, key) => write!(f, "{above}.{key}"),
            Trail::Index(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> std::result::Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(v) =
            seq.next_element_seed(Node { at: Trail::Index(&self.at, out.len()), strict: &mut *self.strict })?
        {
            out.push(v);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let before = self.strict.len();
            let v =
                map.next_value_seed(Node { at: Trail::Key(&self.at, &key), strict: &mut *self.strict })?;
            match out.entry(key) {
                Entry::Vacant(slot) => drop(slot.insert(v)),
                Entry::Occupied(mut slot) => {
                    let path = Trail::Key(&self.at, slot.key()).to_string();
                    // Said before what is found inside.
                    self.strict.insert(before, format!("duplicate field {}", go_quote(&path)));
                    slot.insert(v);
                }
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the short way is taken, which must not show.
    fn check(body: &str, is_short: bool) {
        let short = json_as_yaml(body.as_bytes());
        assert_eq!(short.is_some(), is_short, "{body}");
        let long = yaml::parse(body.as_bytes());
        if let (Some(short), Ok(long)) = (short, long) {
            assert_eq!((&short.value, &short.strict), (&long.value, &long.strict), "{body}");
            let keys = |v: &Value| v.as_object().map(|m| m.keys().cloned().collect::<Vec<_>>());
            assert_eq!(keys(&short.value), keys(&long.value));
        }
    }

    #[test]
    fn json_that_is_yaml_is_read_as_json() {
        let plain = [
            r#"{}"#,
            r#"{"b":1,"a":[-2,true,false,null,"",{}],"c":{"d":"x: y # z","e":"- \" \\ \n","yes":"on"}}"#,
            "{\n  \"a\": \"1.0\",\n  \"0\": {\"~\": \"null\"},\n\"u\":18446744073709551615}\n",
            r#"{"a":"  two  spaces "," ":"!!x &y *z","k":"{[,]}"}"#,
        ];
        plain.iter().for_each(|body| check(body, true));
        let others = [
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"<<":{"a":1}}"#,
            r#"{"a":"\u00e9"}"#,
            "{\"a\":\"\u{e9}\"}",
            "{\"a\":\t1}",
            r#"{"a":"\/"}"#,
            "a: 1",
            " {}",
            r#"{"a":-0}"#,
            "{",
            "{\"a\":\"\u{7f}\"}",
            r#"{"a":123456789012345678901234567890}"#,
        ];
        others.iter().for_each(|body| check(body, false));
    }

    #[test]
    fn duplicates_are_named_in_the_order_they_are_met() {
        let found = parse(br#"{"a":{"b":1,"b":2},"a":{"c":[{"d":1,"d":2}],"c":0}}"#).map(|d| d.strict);
        let of = |path: &str| format!("duplicate field \"{path}\"");
        assert_eq!(found, Ok(vec![of("a.b"), of("a"), of("a.c[0].d"), of("a.c")]));
    }
}
