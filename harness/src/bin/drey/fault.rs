//! `drey fault`: sets, shows and lifts faults of a running server, through its control endpoint. What a fault can say is
//! checked by the server; here words become JSON and JSON becomes words.

use std::path::PathBuf;

use anyhow::{Context, bail};
use fake_kube::listen::CONTROL_EXTENSION;
use http::Method;
use kube::config::Kubeconfig;
use serde_json::{Map, Value, json};

use crate::endpoint::{call, form, from_file, show, text};

/// Break the API server of a running `drey play --control` or `fake-kube serve --control`, and mend it again.
///
/// A fault says which requests it is about and what they get. Faults are asked in the order they were added; the first
/// one that strikes decides. Requests of built-in controllers and of the kubelet are never struck.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The control endpoint. Default: $DREY_CONTROL, else what the kubeconfig says ($KUBECONFIG or ~/.kube/config).
    #[arg(long, value_name = "URL", global = true)]
    control: Option<String>,
    /// Print the answers as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    word: Word,
}

const EXAMPLES: &str = "\
Examples:
  drey fault add --verb patch --resource flinkdeployments/status --status 409 --times 3
  drey fault add --verb write --user 'system:serviceaccount:*' --percent 20 --seed 7 --drop after
  drey fault add --resource pods --stale --for 40s         reads of pods show the past, then all is well again
  drey fault add --resource configmaps --watch coalesce --window 5s
  drey fault add --status 429 --retry-after 2s --for 30s --name overload
  drey fault list                                          what there is, and how often it struck
  drey fault remove overload                               by name or id
  drey fault clear
  drey fault clock --jump 2h                               certificates, leases and backoffs see two hours pass

Exit codes: 0 done; 2 not done: the command line, no endpoint, or the server refused.";

#[derive(clap::Subcommand)]
enum Word {
    /// Add a fault: which requests (all unless said), what they get (one of the verdicts), how often.
    #[command(after_help = "`*` stands for any text in names, namespaces, users, agents and paths.")]
    Add(Box<Add>),
    /// Show the faults and how often each struck.
    List,
    /// Lift faults, by id or name.
    Remove {
        #[arg(required = true, value_name = "ID")]
        faults: Vec<String>,
    },
    /// Lift all faults.
    Clear,
    /// Show the server's clock, or move it: `fake-kube serve` only.
    Clock {
        /// Forwards by this much (`10m`), or back (`-30s`).
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        jump: Option<String>,
        /// Seconds of the cluster in a second from now on.
        #[arg(long, value_name = "X")]
        scale: Option<f64>,
    },
}

#[derive(clap::Args)]
#[command(next_help_heading = "Which requests")]
struct Add {
    /// get, list, watch, create, update, patch, delete, deletecollection; `read` and `write` for several. May be
    /// repeated.
    #[arg(long = "verb", value_name = "VERB", value_delimiter = ',')]
    verbs: Vec<String>,
    /// As kubectl takes it: pods, Pod, deployments.apps; with /status or another subresource.
    #[arg(long)]
    resource: Option<String>,
    /// API group; "" is the core group.
    #[arg(long)]
    group: Option<String>,
    /// `none` is the object itself.
    #[arg(long)]
    subresource: Option<String>,
    #[arg(long, short)]
    namespace: Option<String>,
    /// Name of the object.
    #[arg(long, value_name = "NAME")]
    object: Option<String>,
    /// Name of the user that asks.
    #[arg(long)]
    user: Option<String>,
    #[arg(long, value_name = "AGENT")]
    user_agent: Option<String>,
    /// Path of the request, for what is no resource: /version, /openapi/*.
    #[arg(long)]
    path: Option<String>,

    /// Wait this long, then carry it out.
    #[arg(long, value_name = "TIME", help_heading = VERDICT)]
    delay: Option<String>,
    /// Answer with this code and do nothing.
    #[arg(long, value_name = "CODE", help_heading = VERDICT)]
    status: Option<u16>,
    /// Reason of that answer. Default: the usual one of the code.
    #[arg(long, requires = "status", help_heading = VERDICT)]
    reason: Option<String>,
    #[arg(long, requires = "status", help_heading = VERDICT)]
    message: Option<String>,
    /// Header `Retry-After` of that answer.
    #[arg(long, value_name = "TIME", requires = "status", help_heading = VERDICT)]
    retry_after: Option<String>,
    /// Cut the connection: `before` anything is done, or `after`, when only the answer is lost.
    #[arg(long, value_name = "WHEN", help_heading = VERDICT)]
    drop: Option<String>,
    /// Reads show the past: the state of now, or of a revision.
    #[arg(long, value_name = "REVISION", num_args = 0..=1, default_missing_value = "now", help_heading = VERDICT)]
    stale: Option<String>,
    /// cut and expire (410) end it; late, coalesce, duplicate and reorder disturb its events. Running watches begin anew.
    #[arg(long, value_name = "HOW", help_heading = VERDICT)]
    watch: Option<String>,
    /// How long events are late, or are collected before they are shown.
    #[arg(long, value_name = "TIME", requires = "watch", help_heading = VERDICT)]
    window: Option<String>,

    /// Strike so many of a hundred matching requests.
    #[arg(long, value_name = "P", help_heading = OFTEN)]
    percent: Option<f64>,
    /// Decides which ones.
    #[arg(long, value_name = "N", help_heading = OFTEN)]
    seed: Option<u64>,
    /// Let so many pass first.
    #[arg(long, value_name = "N", help_heading = OFTEN)]
    skip: Option<u64>,
    /// Strike so often at most.
    #[arg(long, value_name = "N", help_heading = OFTEN)]
    times: Option<u64>,
    /// End after this time of the cluster.
    #[arg(long = "for", value_name = "TIME", help_heading = OFTEN)]
    lasts: Option<String>,
    /// What to call it.
    #[arg(long, help_heading = OFTEN)]
    name: Option<String>,

    /// Read the fault from a JSON or YAML file instead, `-` for standard input: {match: {..}, verdict: {..}, ..}.
    #[arg(long, short, value_name = "FILE", exclusive = true, help_heading = OFTEN)]
    file: Option<PathBuf>,
}

const VERDICT: &str = "What they get (one of --delay, --status, --drop, --stale, --watch)";
const OFTEN: &str = "How often";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let endpoint = endpoint(arguments.control.as_deref())?;
    let ask = |method: Method, path: &str, body: Option<Value>| call(&endpoint, method, path, body);
    let (value, text) = match &arguments.word {
        Word::Add(add) => {
            let fault = ask(Method::POST, "/v1/faults", Some(add.fault()?))?;
            let text = format!("added {}", line(&fault));
            (fault, text)
        }
        Word::List => {
            let answer = ask(Method::GET, "/v1/faults", None)?;
            let lines: Vec<String> = answer["faults"].as_array().into_iter().flatten().map(line).collect();
            let text = if lines.is_empty() { "no faults".to_owned() } else { lines.join("\n") };
            (answer, text)
        }
        Word::Remove { faults } => {
            let mut gone = Vec::new();
            for which in faults {
                let path: String = form(which);
                gone.push(ask(Method::DELETE, &format!("/v1/faults/{path}"), None)?);
            }
            let text: Vec<String> = gone.iter().map(|f| format!("removed {}", line(f))).collect();
            (json!({"removed": gone}), text.join("\n"))
        }
        Word::Clear => {
            let answer = ask(Method::DELETE, "/v1/faults", None)?;
            let text = format!("removed {} faults", answer["removed"]);
            (answer, text)
        }
        Word::Clock { jump, scale } => {
            let mut wanted = json!({});
            if let Some(jump) = jump {
                wanted["jump"] = json!(jump);
            }
            if let Some(scale) = scale {
                wanted["scale"] = json!(scale);
            }
            let is_asked = wanted.as_object().is_some_and(Map::is_empty);
            let method = if is_asked { Method::GET } else { Method::POST };
            let answer = ask(method, "/v1/clock", (!is_asked).then_some(wanted))?;
            let text = format!("{}, running {} times as fast", text(&answer["now"]), answer["scale"]);
            (answer, text)
        }
    };
    show(arguments.json, &value, &text)?;
    Ok(0)
}

impl Add {
    fn fault(&self) -> anyhow::Result<Value> {
        if let Some(path) = &self.file {
            return from_file(path);
        }
        let mut request = Map::new();
        if !self.verbs.is_empty() {
            request.insert("verbs".to_owned(), json!(self.verbs));
        }
        let parts = [
            ("resource", &self.resource),
            ("group", &self.group),
            ("subresource", &self.subresource),
            ("namespace", &self.namespace),
            ("name", &self.object),
            ("user", &self.user),
            ("userAgent", &self.user_agent),
            ("path", &self.path),
        ];
        request.extend(given(parts));
        let mut verdict = Map::new();
        verdict.extend(given([("delay", &self.delay), ("drop", &self.drop)]));
        if let Some(code) = self.status {
            let mut status = Map::from_iter([("code".to_owned(), json!(code))]);
            status.extend(given([
                ("reason", &self.reason),
                ("message", &self.message),
                ("retryAfter", &self.retry_after),
            ]));
            verdict.insert("status".to_owned(), Value::Object(status));
        }
        match self.stale.as_deref() {
            None => {}
            Some("now") => {
                verdict.insert("stale".to_owned(), json!(true));
            }
            Some(revision) => {
                let revision: u64 =
                    revision.parse().context("read --stale: a revision is a whole number, such as 42")?;
                verdict.insert("stale".to_owned(), json!({"revision": revision}));
            }
        }
        if let Some(how) = &self.watch {
            let mut watch = Map::from_iter([("do".to_owned(), json!(how))]);
            watch.extend(given([("window", &self.window)]));
            verdict.insert("watch".to_owned(), Value::Object(watch));
        }
        let mut fault = Map::new();
        if !request.is_empty() {
            fault.insert("match".to_owned(), Value::Object(request));
        }
        fault.insert("verdict".to_owned(), Value::Object(verdict));
        fault.extend(given([("for", &self.lasts), ("name", &self.name)]));
        fault.extend(self.percent.map(|p| ("percent".to_owned(), json!(p))));
        let counts = [("seed", self.seed), ("skip", self.skip), ("times", self.times)];
        fault.extend(counts.into_iter().filter_map(|(key, n)| Some((key.to_owned(), json!(n?)))));
        Ok(Value::Object(fault))
    }
}

fn given<'a>(
    parts: impl IntoIterator<Item = (&'a str, &'a Option<String>)>,
) -> impl Iterator<Item = (String, Value)> {
    parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?))))
}

/// A fault in a line: `f1 active hit 2 of 5: patch flinkdeployments/status -> status 409 Conflict, 3 times`.
fn line(fault: &Value) -> String {
    let request = &fault["match"];
    let verbs: Vec<&str> = request["verbs"].as_array().into_iter().flatten().map(text).collect();
    let mut what = if verbs.is_empty() { "every request".to_owned() } else { verbs.join("|") };
    let resource = text(&request["resource"]);
    if !resource.is_empty() {
        what.push_str(&format!(" {resource}"));
    }
    match request["subresource"].as_str() {
        Some("") => what.push_str(" (no subresource)"),
        Some(sub) => what.push_str(&format!("/{sub}")),
        None => {}
    }
    for (key, word) in [
        ("group", "of group"),
        ("namespace", "in"),
        ("name", "named"),
        ("user", "by"),
        ("userAgent", "from"),
        ("path", "at"),
    ] {
        if let Some(value) = request[key].as_str() {
            what.push_str(&format!(" {word} {value:?}"));
        }
    }
    let mut how = verdict(&fault["verdict"]);
    for (key, before, after) in
        [("percent", "", " %"), ("skip", "after ", " others"), ("times", "", " times at most")]
    {
        if !fault[key].is_null() {
            how.push_str(&format!(", {before}{}{after}", fault[key]));
        }
    }
    if let Some(until) = fault["until"].as_str() {
        how.push_str(&format!(", until {until}"));
    }
    let name = fault["name"].as_str().map(|n| format!(" {n}")).unwrap_or_default();
    let state = text(&fault["state"]);
    let mut out = format!(
        "{}{name} [{state}, struck {} of {}] {what} -> {how}",
        text(&fault["id"]),
        fault["hits"],
        fault["seen"]
    );
    let last = &fault["lastHit"];
    if last.is_object() {
        out.push_str(&format!(
            "\n     last: {} {} {} by {}",
            text(&last["at"]),
            text(&last["method"]),
            text(&last["path"]),
            text(&last["user"])
        ));
    }
    out
}

fn verdict(verdict: &Value) -> String {
    let (status, watch) = (&verdict["status"], &verdict["watch"]);
    if status.is_object() {
        let after = status["retryAfter"].as_str().map(|t| format!(", retry after {t}")).unwrap_or_default();
        return format!("status {} {}{after}", status["code"], text(&status["reason"]));
    }
    if watch.is_object() {
        let window = watch["window"].as_str().map(|t| format!(" within {t}")).unwrap_or_default();
        return format!("watch: {}{window}", text(&watch["do"]));
    }
    if verdict["stale"].is_object() {
        return match verdict["stale"]["revision"].as_u64() {
            Some(revision) => format!("the state of revision {revision}"),
            None => "the state of when it was added".to_owned(),
        };
    }
    match (verdict["delay"].as_str(), verdict["drop"].as_str()) {
        (Some(delay), _) => format!("{delay} later"),
        (_, Some("before")) => "cut before anything is done".to_owned(),
        (_, Some(_)) => "carried out, answer lost".to_owned(),
        _ => verdict.to_string(),
    }
}

const VARIABLE: &str = "DREY_CONTROL";

/// Where the endpoint is: told, in the environment, or in the kubeconfig.
fn endpoint(given: Option<&str>) -> anyhow::Result<String> {
    let from_environment = || std::env::var(VARIABLE).ok().filter(|v| !v.is_empty());
    if let Some(url) = given.map(str::to_owned).or_else(from_environment) {
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let next = format!(
        "next: start the server with --control (drey play --control), then use its kubeconfig as KUBECONFIG, or say --control URL or {VARIABLE}=URL"
    );
    let config = match Kubeconfig::read() {
        Ok(config) => config,
        Err(why) => {
            bail!("find the control endpoint: no --control, no {VARIABLE}, and no kubeconfig ({why})\n{next}")
        }
    };
    control_of(&config).with_context(|| {
        format!("find the control endpoint: the current cluster of the kubeconfig names none\n{next}")
    })
}

pub fn control_of(config: &Kubeconfig) -> Option<String> {
    let current = config.current_context.as_deref()?;
    let context = config.contexts.iter().find(|c| c.name == current)?.context.as_ref()?;
    let cluster = config.clusters.iter().find(|c| c.name == context.cluster)?.cluster.as_ref()?;
    let extension = cluster.extensions.iter().flatten().find(|e| e.name == CONTROL_EXTENSION)?;
    let extension = serde_json::to_value(&extension.extension).ok()?;
    extension["url"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_tells_where() {
        let text = |extension: &str| {
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
                 clusters:\n- name: k\n  cluster:\n    server: https://127.0.0.1:1\n{extension}"
            )
        };
        let told = text(
            "    extensions:\n    - name: drey.dev/control\n      extension:\n        url: http://127.0.0.1:2\n",
        );
        let read = |text: &str| control_of(&Kubeconfig::from_yaml(text).expect("a kubeconfig"));
        assert_eq!(read(&told).as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(read(&text("")), None);
    }

    #[test]
    fn faults_in_a_line() {
        let fault = json!({"id": "f1", "name": "n", "state": "active", "hits": 2, "seen": 5,
            "match": {"verbs": ["patch"], "resource": "pods", "subresource": "status", "namespace": "default"},
            "verdict": {"status": {"code": 409, "reason": "Conflict"}}, "percent": 20.0, "times": 3});
        assert_eq!(
            line(&fault),
            "f1 n [active, struck 2 of 5] patch pods/status in \"default\" -> status 409 Conflict, 20.0 %, 3 times at most"
        );
    }
}
