//! One fault as data: which requests, how often, for how long, and what they get. Read from JSON and shown as JSON.

use fake_kube_apiserver::{How, RequestInfo, Status};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::reading::{Complaint, Fields};
use crate::pattern::fits;

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 3] = ["get", "list", "watch"];
/// Words for several verbs.
const READ: &str = "read";
const WRITE: &str = "write";

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Longer than any request waits.
const DELAY_MAX: SignedDuration = SignedDuration::from_hours(1);
const WINDOW: SignedDuration = SignedDuration::from_secs(2);

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What people call it; may be empty.
    pub name: String,
    pub request: Matcher,
    pub verdict: Fate,
    /// Of a hundred matching requests.
    pub percent: f64,
    pub seed: u64,
    /// Lets this many matching requests pass first.
    pub skip: u64,
    /// Strikes at most this often.
    pub times: Option<u64>,
    pub lasts: Option<SignedDuration>,
}

/// Which requests. Every given part must fit; `*` in a text stands for any text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// None: all.
    pub verbs: Vec<String>,
    pub group: Option<String>,
    /// Plural.
    pub resource: Option<String>,
    /// `Some("")` is the object itself.
    pub subresource: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub user: Option<String>,
    pub user_agent: Option<String>,
    pub path: Option<String>,
}

impl Matcher {
    pub fn fits(&self, request: &RequestInfo) -> bool {
        let part = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| fits(w, is));
        (self.verbs.is_empty() || self.verbs.contains(&request.verb))
            && part(&self.group, &request.group)
            && part(&self.resource, &request.resource)
            && part(&self.subresource, &request.subresource)
            && part(&self.namespace, &request.namespace)
            && part(&self.name, &request.name)
            && part(&self.user, &request.user)
            && part(&self.user_agent, &request.user_agent)
            && part(&self.path, &request.path)
    }

    fn show(&self) -> Value {
        let mut out = json!({});
        if !self.verbs.is_empty() {
            out["verbs"] = json!(self.verbs);
        }
        let parts = [
            ("group", &self.group),
            ("resource", &self.resource),
            ("subresource", &self.subresource),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("user", &self.user),
            ("userAgent", &self.user_agent),
            ("path", &self.path),
        ];
        for (key, value) in parts.into_iter().filter_map(|(k, v)| Some((k, v.as_ref()?))) {
            out[key] = json!(value);
        }
        out
    }
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    Delay(SignedDuration),
    Status(Status),
    /// The connection is cut before anything is done.
    DropBefore,
    /// The request is carried out and its answer lost.
    DropAfter,
    /// Reads show the state of this revision; without one, of the moment the fault began.
    Stale {
        revision: Option<u64>,
    },
    /// A watch ends before its first event.
    WatchCut,
    /// A watch is told 410 in its stream.
    WatchExpired,
    Watch {
        how: How,
        window: SignedDuration,
    },
}

const FATES: [&str; 5] = ["delay", "status", "drop", "stale", "watch"];
const DROPS: [&str; 2] = ["before", "after"];
const WATCHES: [&str; 6] = ["cut", "expire", "late", "coalesce", "duplicate", "reorder"];

/// A resource that is served, in the words people have for it.
pub struct Named {
    pub group: String,
    pub plural: String,
    pub kind: String,
}

impl Rule {
    pub fn read(value: &Value, served: &[Named]) -> Result<Rule, Complaint> {
        let known = ["name", "match", "verdict", "percent", "seed", "skip", "times", "for"];
        let fields = Fields::of(value, "", &known)?;
        let verdict = fields.get("verdict").ok_or_else(|| {
            Complaint::new("verdict", format!("say what the requests get: one of {}", FATES.join(", ")))
        })?;
        let seed = fields.int("seed", 0, u64::MAX)?.unwrap_or(0);
        let verdict = Fate::read(verdict, seed)?;
        let empty = json!({});
        let mut request = Matcher::read(fields.get("match").unwrap_or(&empty), served)?;
        verdict.restrict(&mut request)?;
        Ok(Rule {
            name: fields.text("name")?.unwrap_or("").to_owned(),
            request,
            verdict,
            percent: fields.number("percent", 0.0, 100.0)?.unwrap_or(100.0),
            seed,
            skip: fields.int("skip", 0, u64::MAX)?.unwrap_or(0),
            times: fields.int("times", 1, u64::MAX)?,
            lasts: fields.duration("for", DAY * 365)?,
        })
    }

    /// As it would be read again.
    pub fn show(&self) -> Value {
        let mut out = json!({"match": self.request.show(), "verdict": self.verdict.show()});
        if !self.name.is_empty() {
            out["name"] = json!(self.name);
        }
        if self.percent < 100.0 {
            out["percent"] = json!(self.percent);
        }
        if self.seed > 0 {
            out["seed"] = json!(self.seed);
        }
        if self.skip > 0 {
            out["skip"] = json!(self.skip);
        }
        if let Some(times) = self.times {
            out["times"] = json!(times);
        }
        if let Some(lasts) = self.lasts {
            out["for"] = json!(format!("{lasts:#}"));
        }
        out
    }
}

impl Matcher {
    fn read(value: &Value, served: &[Named]) -> Result<Matcher, Complaint> {
        let known =
            ["verbs", "group", "resource", "subresource", "namespace", "name", "user", "userAgent", "path"];
        let fields = Fields::of(value, "match", &known)?;
        let own = |key: &str| Ok::<_, Complaint>(fields.text(key)?.map(str::to_owned));
        let mut out = Matcher {
            verbs: verbs(&fields)?,
            group: own("group")?,
            subresource: own("subresource")?,
            namespace: own("namespace")?,
            name: own("name")?,
            user: own("user")?,
            user_agent: own("userAgent")?,
            path: own("path")?,
            resource: None,
        };
        if let Some(text) = fields.text("resource")? {
            out.name_resource(text, served)?;
        }
        if out.subresource.as_deref() == Some("none") {
            out.subresource = Some(String::new());
        }
        Ok(out)
    }

    /// `pods`, `Pod`, `deployments.apps`, `pods/status`; a pattern is taken as it is.
    fn name_resource(&mut self, text: &str, served: &[Named]) -> Result<(), Complaint> {
        let (word, sub) = text.split_once('/').map_or((text, None), |(w, s)| (w, Some(s)));
        if let Some(sub) = sub {
            self.subresource.get_or_insert_with(|| sub.to_owned());
        }
        if word.contains('*') {
            self.resource = Some(word.to_owned());
            return Ok(());
        }
        let (plain, group) = word.split_once('.').map_or((word, None), |(p, g)| (p, Some(g)));
        let group = group.or(self.group.as_deref()).map(str::to_owned);
        let is_it = |n: &&Named| {
            (n.plural.eq_ignore_ascii_case(plain) || n.kind.eq_ignore_ascii_case(plain))
                && group.as_ref().is_none_or(|g| fits(g, &n.group))
        };
        let mut found: Vec<&Named> = served.iter().filter(is_it).collect();
        found.dedup_by(|a, b| a.group == b.group && a.plural == b.plural);
        let Some(first) = found.first() else {
            let mut why = Complaint::word(
                "match.resource",
                "served resource",
                word,
                served.iter().flat_map(|n| [n.plural.as_str(), n.kind.as_str()]),
            );
            why.allowed.clear();
            why.message.push_str(" (a custom resource is served once its CRD is applied)");
            return Err(why);
        };
        self.resource = Some(first.plural.clone());
        if group.is_some() {
            self.group = Some(first.group.clone());
        }
        Ok(())
    }
}

fn verbs(fields: &Fields<'_>) -> Result<Vec<String>, Complaint> {
    let mut out: Vec<String> = Vec::new();
    for word in fields.texts("verbs")? {
        let meant: &[&str] = match word {
            READ => &READS,
            WRITE => &VERBS[3..],
            word if VERBS.contains(&word) => &[word],
            word => {
                let known = VERBS.into_iter().chain([READ, WRITE]);
                return Err(Complaint::word(&fields.at("verbs"), "verb", word, known));
            }
        };
        for verb in meant {
            if !out.iter().any(|v| v == verb) {
                out.push((*verb).to_owned());
            }
        }
    }
    Ok(out)
}

impl Fate {
    fn read(value: &Value, seed: u64) -> Result<Fate, Complaint> {
        let fields = Fields::of(value, "verdict", &FATES)?;
        let given: Vec<&str> = FATES.into_iter().filter(|f| fields.get(f).is_some()).collect();
        match given.as_slice() {
            ["delay"] => Ok(Fate::Delay(fields.duration("delay", DELAY_MAX)?.unwrap_or_default())),
            ["status"] => status(&fields).map(Fate::Status),
            ["drop"] => match fields.word("drop", "moment", &DROPS)? {
                Some("before") => Ok(Fate::DropBefore),
                _ => Ok(Fate::DropAfter),
            },
            ["stale"] => {
                let known = ["revision"];
                let revision = match fields.get("stale") {
                    Some(Value::Bool(true)) => None,
                    _ => {
                        let stale = fields.child("stale", &known)?;
                        stale.map(|s| s.int("revision", 1, u64::MAX)).transpose()?.flatten()
                    }
                };
                Ok(Fate::Stale { revision })
            }
            ["watch"] => watch(&fields, seed),
            many => {
                let text = format!("expected exactly one of {}, not {}", FATES.join(", "), many.len());
                Err(Complaint::new("verdict", text))
            }
        }
    }

    /// Holds the matcher to the verbs that can get this.
    fn restrict(&self, request: &mut Matcher) -> Result<(), Complaint> {
        let possible: &[&str] = match self {
            Fate::Stale { .. } => &READS,
            Fate::WatchCut | Fate::WatchExpired | Fate::Watch { .. } => &["watch"],
            _ => return Ok(()),
        };
        if let Some(verb) = request.verbs.iter().find(|v| !possible.contains(&v.as_str())) {
            let text = format!("this verdict is of {} only, not of {verb}", possible.join(", "));
            return Err(Complaint::new("match.verbs", text));
        }
        if request.verbs.is_empty() {
            request.verbs = possible.iter().map(|v| (*v).to_owned()).collect();
        }
        Ok(())
    }

    /// Whether running watches must begin anew to meet it, and to be rid of it.
    pub fn is_of_watches(&self) -> bool {
        matches!(self, Fate::Stale { .. } | Fate::WatchCut | Fate::WatchExpired | Fate::Watch { .. })
    }

    fn show(&self) -> Value {
        match self {
            Fate::Delay(delay) => json!({"delay": format!("{delay:#}")}),
            Fate::Status(status) => {
                let mut out =
                    json!({"code": status.code, "reason": status.reason, "message": status.message});
                if let Some(seconds) = status.retry_after {
                    out["retryAfter"] = json!(format!("{seconds}s"));
                }
                json!({"status": out})
            }
            Fate::DropBefore => json!({"drop": "before"}),
            Fate::DropAfter => json!({"drop": "after"}),
            Fate::Stale { revision: None } => json!({"stale": {}}),
            Fate::Stale { revision: Some(n) } => json!({"stale": {"revision": n}}),
            Fate::WatchCut => json!({"watch": {"do": "cut"}}),
            Fate::WatchExpired => json!({"watch": {"do": "expire"}}),
            Fate::Watch { how: How::Twice, .. } => json!({"watch": {"do": "duplicate"}}),
            Fate::Watch { how, window } => {
                let word = match how {
                    How::Late => "late",
                    How::Coalesced => "coalesce",
                    How::Twice => "duplicate",
                    How::Shuffled { .. } => "reorder",
                };
                json!({"watch": {"do": word, "window": format!("{window:#}")}})
            }
        }
    }
}

fn watch(fields: &Fields<'_>, seed: u64) -> Result<Fate, Complaint> {
    let word;
    let inner = match fields.get("watch") {
        Some(Value::String(text)) => {
            word = json!({"do": text});
            Fields::of(&word, "verdict.watch", &["do"])?
        }
        _ => fields.child("watch", &["do", "window"])?.expect("the caller found it"),
    };
    let how = match inner.word("do", "thing to do to a watch", &WATCHES)? {
        None => {
            let text = format!("say what happens: one of {}", WATCHES.join(", "));
            return Err(Complaint::new("verdict.watch.do", text));
        }
        Some("cut") => return Ok(Fate::WatchCut),
        Some("expire") => return Ok(Fate::WatchExpired),
        Some("late") => How::Late,
        Some("coalesce") => How::Coalesced,
        Some("duplicate") => How::Twice,
        Some(_) => How::Shuffled { seed },
    };
    Ok(Fate::Watch { how, window: inner.duration("window", DELAY_MAX)?.unwrap_or(WINDOW) })
}

fn status(fields: &Fields<'_>) -> Result<Status, Complaint> {
    let code_alone;
    let inner = match fields.get("status") {
        Some(Value::Number(code)) => {
            code_alone = json!({"code": code});
            Fields::of(&code_alone, "verdict.status", &["code"])?
        }
        _ => fields
            .child("status", &["code", "reason", "message", "retryAfter"])?
            .expect("the caller found it"),
    };
    let code = inner
        .int("code", 400, 599)?
        .ok_or_else(|| Complaint::new("verdict.status.code", "say which: a number from 400 to 599"))?;
    let code = u16::try_from(code).unwrap_or(500);
    let reason = inner.text("reason")?.unwrap_or(usual_reason(code));
    let message = inner.text("message")?.unwrap_or("injected fault");
    let mut status = Status::new(code, reason, message);
    status.retry_after = inner.duration("retryAfter", DAY)?.map(|d| u64::try_from(d.as_secs()).unwrap_or(0));
    Ok(status)
}

/// The reason a real server gives for a code (kube-api.md 1.1).
fn usual_reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served() -> Vec<Named> {
        let row = |group: &str, plural: &str, kind: &str| Named {
            group: group.into(),
            plural: plural.into(),
            kind: kind.into(),
        };
        vec![
            row("", "pods", "Pod"),
            row("apps", "deployments", "Deployment"),
            row("", "events", "Event"),
            row("events.k8s.io", "events", "Event"),
        ]
    }

    fn read(value: Value) -> Result<Rule, String> {
        Rule::read(&value, &served()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let rows = [
            json!({"verdict": {"delay": "3s"}}),
            json!({"name": "n", "match": {"verbs": "write", "resource": "Deployment/status", "name": "app-*"},
                "verdict": {"status": {"code": 429, "retryAfter": "5s"}}, "percent": 20, "seed": 7, "skip": 1, "times": 2, "for": "1m"}),
            json!({"match": {"resource": "events.events.k8s.io", "user": "*:flink", "userAgent": "kubectl/*"}, "verdict": {"drop": "after"}}),
            json!({"match": {"path": "/version"}, "verdict": {"drop": "before"}}),
            json!({"verdict": {"stale": true}}),
            json!({"verdict": {"stale": {"revision": 7}}}),
            json!({"verdict": {"watch": "expire"}}),
            json!({"verdict": {"watch": {"do": "coalesce", "window": "5s"}}}),
            json!({"verdict": {"watch": "reorder"}, "seed": 3}),
            json!({"verdict": {"watch": "duplicate"}}),
        ];
        for row in rows {
            let rule = read(row.clone()).unwrap_or_else(|e| panic!("{row}: {e}"));
            assert_eq!(read(rule.show()), Ok(rule), "{row}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let check = |value: Value, said: &str| assert_eq!(read(value), Err(said.to_owned()));
        check(json!([]), "expected an object with name, match, verdict, percent, seed, skip, times, for");
        check(json!({}), "verdict: say what the requests get: one of delay, status, drop, stale, watch");
        check(
            json!({"verdict": {}}),
            "verdict: expected exactly one of delay, status, drop, stale, watch, not 0",
        );
        check(
            json!({"verdict": {"dealy": "1s"}}),
            "verdict.dealy: no field is called \"dealy\"; did you mean \"delay\"?",
        );
        check(
            json!({"verdict": {"delay": "1s"}, "match": {"verbs": ["pacth"]}}),
            "match.verbs: no verb is called \"pacth\"; did you mean \"patch\"?",
        );
        check(
            json!({"verdict": {"delay": "1s"}, "match": {"resource": "deployment.app"}}),
            "match.resource: no served resource is called \"deployment.app\" (a custom resource is served once its CRD is applied); did you mean \"Deployment\"?",
        );
        check(
            json!({"verdict": {"status": 200}}),
            "verdict.status.code: expected a whole number from 400 to 599, not 200",
        );
        check(
            json!({"verdict": {"status": {"cod": 500}}}),
            "verdict.status.cod: no field is called \"cod\"; did you mean \"code\"?",
        );
        check(
            json!({"verdict": {"drop": "befor"}}),
            "verdict.drop: no moment is called \"befor\"; did you mean \"before\"?",
        );
        check(
            json!({"verdict": {"watch": "reoder"}}),
            "verdict.watch.do: no thing to do to a watch is called \"reoder\"; did you mean \"reorder\"?",
        );
        check(
            json!({"verdict": {"stale": true}, "match": {"verbs": "write"}}),
            "match.verbs: this verdict is of get, list, watch only, not of create",
        );
        check(
            json!({"verdict": {"delay": "1s"}, "percent": 101}),
            "percent: expected a number from 0 to 100, not 101",
        );
        check(
            json!({"verdict": {"delay": "1s"}, "times": 0}),
            format!("times: expected a whole number from 1 to {}, not 0", u64::MAX).as_str(),
        );
    }
}
