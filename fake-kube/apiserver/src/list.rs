//! GET and LIST: resource versions, paging, snapshots (kube-api.md 2.4).

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD};
use fake_kube_schema::Cause;
use fake_kube_schema::text::go_quote;
use serde_json::{Value, json};

use crate::answer::{Answer, Page, Shown};
use crate::fields::Filter;
use crate::request::Params;
use crate::resource::Definition;
use crate::server::State;
use crate::status::{Result, Status};
use crate::store::{self, Stored};

/// Key prefix of a namespace's objects, "" for all.
pub(crate) fn prefix(def: &Definition, namespace: &str) -> String {
    if def.namespaced && !namespace.is_empty() { format!("{namespace}/") } else { String::new() }
}

/// Reads a resourceVersion; the texts differ between list (400) and the rest (500).
pub(crate) fn version(text: &str, list: bool) -> Result<u64> {
    text.parse().map_err(|_| {
        let q = go_quote(text);
        let why =
            format!("resourceVersion: Invalid value: {q}: strconv.ParseUint: parsing {q}: invalid syntax");
        if list { Status::bad_request(format!("invalid resource version: {why}")) } else { Status::bare(why) }
    })
}

pub(crate) fn too_large(asked: u64, current: u64) -> Status {
    let text = format!("Timeout: Too large resource version: {asked}, current: {current}");
    let mut s = Status::new(504, "Timeout", text).details(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1}));
    s.retry_after = Some(1);
    s
}

fn options_invalid(causes: Vec<Cause>) -> Status {
    Status::invalid_as("meta.k8s.io", "ListOptions", "", causes)
}

/// The rules of ListOptions that list and watch share, with a watch's own.
pub(crate) fn check_options(params: &Params, watch: bool) -> Result<()> {
    let matching = params.text("resourceVersionMatch");
    let revision = params.text("resourceVersion");
    let initial = params.get("sendInitialEvents").filter(|v| !v.is_empty());
    let mut causes = Vec::new();
    if watch && initial.is_some() {
        if matching != "NotOlderThan" {
            causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matching.is_empty() && matching != "NotOlderThan" {
            causes.push(Cause::not_supported("resourceVersionMatch", &json!(matching), &["NotOlderThan"]));
        }
    } else if watch && !matching.is_empty() {
        causes.push(Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    } else if !matching.is_empty() {
        if revision.is_empty() {
            causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if !params.text("continue").is_empty() {
            causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if matching != "Exact" && matching != "NotOlderThan" {
            let allowed = ["Exact", "NotOlderThan", ""];
            causes.push(Cause::not_supported("resourceVersionMatch", &json!(matching), &allowed));
        }
        if matching == "Exact" && revision == "0" {
            causes.push(Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if !watch && initial.is_some() {
        causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if watch && !params.text("continue").is_empty() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        causes.push(Cause::forbidden("resourceVersionMatch", why));
    }
    if causes.is_empty() { Ok(()) } else { Err(options_invalid(causes)) }
}

/// Go's RawURLEncoding: no padding, and it does not mind stray bits at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, TRAILING);
const TRAILING: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);

struct Token {
    revision: Option<u64>,
    start: String,
}

const GONE_PAGE: &str = "The provided continue parameter is too old to display a consistent list result. You can start \
a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
deleted between the time the first chunk was returned and now may show up in the list.";

fn decode_token(text: &str) -> Result<Token> {
    let bad = |why: String| Status::bad_request(format!("continue key is not valid: {why}"));
    let bytes = LENIENT
        .decode(text.trim_end_matches('='))
        .map_err(|e| bad(format!("illegal base64 data at input byte {}", base64_at(&e, text))))?;
    let v: Value = serde_json::from_slice(&bytes).map_err(|e| bad(go_json(&bytes, &e)))?;
    if v["v"] != "meta.k8s.io/v1" {
        return Err(bad(format!(
            "server does not recognize this encoded version {}",
            v["v"].as_str().unwrap_or("")
        )));
    }
    let start = v["start"].as_str().unwrap_or("").trim_start_matches('/').to_owned();
    if start.contains("..") {
        return Err(bad(format!("invalid continue key {start:?}")));
    }
    let revision = match v["rv"].as_i64() {
        Some(0) | None => {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        Some(n) if n < 0 => None,
        Some(n) => Some(n as u64),
    };
    Ok(Token { revision, start })
}

fn base64_at(e: &base64::DecodeError, text: &str) -> usize {
    match e {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => text.len(),
    }
}

fn go_json(bytes: &[u8], e: &serde_json::Error) -> String {
    if e.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let at = e.column().saturating_sub(1).min(bytes.len().saturating_sub(1));
    let c = bytes.get(at).copied().unwrap_or(b'?');
    let shown = if (0x20..0x7f).contains(&c) { char::from(c).to_string() } else { format!("\\u{c:04x}") };
    format!("invalid character '{shown}' looking for beginning of value")
}

fn encode_token(revision: i64, key: &str, prefix: &str) -> String {
    let start = format!("/{}\0", &key[prefix.len()..]);
    LENIENT.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
}

/// The key of the last object of a page.
fn last_key(page: &Page) -> String {
    let Some(last) = page.items.last().map(Shown::value) else { return String::new() };
    store::key(crate::meta::namespace(&last), crate::meta::name(&last)).to_string()
}

impl State {
    /// GET of one object. `stale` is a fault's revision.
    pub(crate) fn get(
        &self,
        def: &Arc<Definition>,
        namespace: &str,
        name: &str,
        asked: &str,
        stale: Option<u64>,
    ) -> Result<Answer> {
        if !asked.is_empty() {
            let n = version(asked, false)?;
            if n > self.store.revision() {
                return Err(too_large(n, self.store.revision()));
            }
        }
        let key = store::key(namespace, name);
        let found = match stale {
            Some(n) => self.store.get_at(def.table, &key, n),
            None => self.store.get(def.table, &key).cloned(),
        };
        let stored = found.ok_or_else(|| Status::not_found(def, name))?;
        Ok(Answer::Object { code: 200, def: def.clone(), object: Shown::Stored(stored) })
    }

    pub(crate) fn list(
        &self,
        def: &Arc<Definition>,
        namespace: &str,
        params: &Params,
        stale: Option<u64>,
    ) -> Result<Answer> {
        let filter = Filter::parse(def, params)?;
        let limit = params.int("limit")?.unwrap_or(0).max(0) as usize;
        check_options(params, false)?;
        let prefix = prefix(def, namespace);
        let (revision, start) = self.list_point(params, &prefix, limit)?;
        let current = self.store.revision();
        let at = revision.or(stale).filter(|n| *n < current);
        if let Some(n) = revision.filter(|n| *n < self.store.compacted()) {
            let _ = n;
            return Err(self.expired_list(params, &prefix));
        }
        let mut page =
            Page { items: Vec::new(), revision: at.unwrap_or(current), next: None, remaining: None };
        let snapshot = at.map(|n| self.store.range_at(def.table, &prefix, &start, n));
        let mut all: Box<dyn Iterator<Item = &Arc<Stored>>> = match &snapshot {
            Some(list) => Box::new(list.iter()),
            None => self.candidates(def, namespace, &prefix, &start, &filter),
        };
        for s in all.by_ref() {
            if !filter.passes(s) {
                continue;
            }
            if limit > 0 && page.items.len() == limit {
                page.next = Some(encode_token(page.revision as i64, &last_key(&page), &prefix));
                page.remaining = filter.is_empty().then(|| 1 + all.count());
                break;
            }
            page.items.push(Shown::Stored(s.clone()));
        }
        Ok(Answer::List { def: def.clone(), page })
    }

    /// The objects of a namespace ("" for all), as they are now, that the filter may let pass, in key order.
    pub(crate) fn candidates<'a>(
        &'a self,
        def: &Definition,
        namespace: &'a str,
        prefix: &'a str,
        start: &'a str,
        filter: &'a Filter,
    ) -> Box<dyn Iterator<Item = &'a Arc<Stored>> + 'a> {
        if def.namespaced && !namespace.is_empty() {
            let labels = filter.labels.pairs();
            if let Some(found) = self.store.labelled(def.table, namespace, start, labels) {
                return Box::new(found);
            }
        }
        Box::new(self.store.range(def.table, prefix, start).map(|(_, s)| s))
    }

    /// Which snapshot a list shows (None: now) and the key it starts at.
    fn list_point(&self, params: &Params, prefix: &str, limit: usize) -> Result<(Option<u64>, String)> {
        let token = params.text("continue");
        let asked = params.text("resourceVersion");
        if !token.is_empty() {
            if !asked.is_empty() && asked != "0" {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let t = decode_token(token).map_err(|mut s| {
                s.message = format!("invalid continue token: {}", s.message);
                s
            })?;
            return Ok((t.revision, format!("{prefix}{}", t.start)));
        }
        if asked.is_empty() || asked == "0" {
            return Ok((None, String::new()));
        }
        let n = version(asked, true)?;
        if n > self.store.revision() {
            return Err(too_large(n, self.store.revision()));
        }
        // A limit without a match rule means exactly this version (kube-api.md 2.4).
        let exact = match params.text("resourceVersionMatch") {
            "Exact" => true,
            "NotOlderThan" => false,
            _ => limit > 0,
        };
        Ok((exact.then_some(n), String::new()))
    }

    fn expired_list(&self, params: &Params, prefix: &str) -> Status {
        let token = params.text("continue");
        let Ok(t) = decode_token(token) else {
            return Status::expired("The resourceVersion for the provided list is too old.");
        };
        let mut s = Status::expired(GONE_PAGE);
        let key = format!("{prefix}{}", t.start.trim_end_matches('\0'));
        s.continue_token = Some(encode_token(-1, &key, prefix));
        s
    }
}
