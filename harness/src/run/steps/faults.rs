//! Faults of the operator process, of the API server and of pods.

use std::time::Duration;

use drey_language::scenario::{Arg, ArgValue, Step};
use fake_kube::PodSelector;
use fake_kube_apiserver::Verdict;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::context::{Context, RESTART};
use super::super::failure::Failure;
use super::{flink, unknown};
use crate::modes::Mode;
use crate::world::budget::Budget;
use crate::world::gate::{self, OPERATOR_USER, RequestMatch, Response, Rule};
use crate::world::kinds;

pub async fn run(context: &Context, step: &Step) -> Result<(), Failure> {
    let args = &step.args;
    match step.name.as_str() {
        "crashOperator" => crash(context, args).await,
        "pauseOperator" => pause(context, args),
        "secondOperator" => second(context, args),
        "watch" => watch(context, args),
        "api" => api(context, args),
        "pod" => pod(context, args).await,
        "control" => control(context, args).await,
        "job" | "jobmanager" | "savepoint" | "checkpoint" | "ha" | "store" | "taskmanagers" => {
            flink::fault(context, step).await
        }
        _ => Err(unknown(step)),
    }
}

pub fn until(context: &Context, args: &Arg) -> Option<Timestamp> {
    let span = args.opt_duration("for")?;
    Some(context.world.clock.now() + SignedDuration::try_from(span).unwrap_or_default())
}

pub fn times(args: &Arg) -> Option<u32> {
    args.opt_int("times").map(|times| u32::try_from(times).unwrap_or(u32::MAX))
}

async fn crash(context: &Context, args: &Arg) -> Result<(), Failure> {
    let after = args.opt_duration("restartAfter").unwrap_or(RESTART);
    let verdict = crash_verdict(args);
    if args.opt_flag("everyWrite").is_some_and(|every| every) {
        // The runner expands the scenario into one case per write and arms each; here only the successor is kept ready.
        context.restart_after.set(Some(after));
        return Ok(());
    }
    context.restart_after.set(Some(after));
    let Some(on) = args.get("on") else {
        context.world.crash_operators();
        return Ok(());
    };
    let request = on.get("write").or(on.get("call")).map(request_match).transpose()?;
    let Some(mut request) = request else {
        let wait = on
            .opt_duration("after")
            .ok_or_else(|| Failure::new("this runner crashes at a write, a call or a time"))?;
        super::time::advance(context, wait).await?;
        context.world.crash_operators();
        return Ok(());
    };
    if on.has("write") && request.verbs.is_empty() {
        request.verbs =
            ["create", "update", "patch", "delete", "deletecollection"].map(str::to_owned).to_vec();
    }
    let skip = on.opt_int("nth").map_or(0, |nth| u32::try_from(nth - 1).unwrap_or(0));
    let rule = Rule { request, response: Response::Crash(verdict), skip, probability: None };
    context.world.faults.add(budget(context, "crashOperator", Some(1), None), rule);
    Ok(())
}

/// A process that dies before it reads an answer has lost it, whichever side of the answer the crash is on.
fn crash_verdict(args: &Arg) -> Verdict {
    match args.opt_text("at") {
        Some("beforeSend") => Verdict::DropBefore,
        // At once and not after the network's delay: by then nobody would be there to carry the request.
        _ => Verdict::DropAfterCommit,
    }
}

fn restart(context: &Context) -> Result<(), Failure> {
    for identity in context.world.dead_operators() {
        context.world.start_operator(&identity);
    }
    Ok(())
}

fn pause(context: &Context, args: &Arg) -> Result<(), Failure> {
    if args.has("on") {
        return Err(Failure::new("this runner pauses the operator at once only; leave `on` out"));
    }
    context.world.pause_operators(args.duration("for")?);
    Ok(())
}

const SECOND: &str = "operator-second";

fn second(context: &Context, args: &Arg) -> Result<(), Failure> {
    match args.opt_text("lease") {
        Some("ignored") => context.world.start_operator_without_lease(SECOND),
        Some("expired") => {
            // The first cannot renew any more: the second takes over after the lease has run out. Its own acquisition must
            // pass again.
            let times = Some(12);
            context.world.faults.add(budget(context, "lease", times, until(context, args)), lease_outage());
            context.world.start_operator(SECOND);
        }
        _ => context.world.start_operator(SECOND),
    }
    context.world.stop_operator_after(SECOND, args.duration("for")?);
    Ok(())
}

/// What bounds a fault that the step at hand announced.
pub(super) fn budget(context: &Context, name: &str, times: Option<u32>, until: Option<Timestamp>) -> Budget {
    Budget { name: name.to_owned(), times, until, seq: context.world.journal.last_seq() }
}

fn lease_outage() -> Rule {
    Rule {
        request: RequestMatch {
            resource: Some("leases".to_owned()),
            verbs: vec!["update".to_owned(), "patch".to_owned()],
            user: OPERATOR_USER.to_owned(),
            ..RequestMatch::default()
        },
        response: Response::Verdict(Verdict::DropBefore),
        skip: 0,
        probability: None,
    }
}

fn watch(context: &Context, args: &Arg) -> Result<(), Failure> {
    let info = kinds::find(args.text("kind")?).ok_or_else(|| Failure::new("unknown kind"))?;
    let resource = fake_kube_apiserver::Resource::new(info.group, info.version, info.plural);
    let rule = |verdict| Rule {
        request: RequestMatch {
            verbs: vec!["watch".to_owned()],
            resource: Some(info.plural.to_owned()),
            user: OPERATOR_USER.to_owned(),
            ..RequestMatch::default()
        },
        response: Response::Verdict(verdict),
        skip: 0,
        probability: None,
    };
    let times = if args.has("for") { None } else { Some(1) };
    let strike = |verdict| {
        let budget = budget(context, "watch", times, until(context, args));
        context.world.faults.add(budget, rule(verdict));
    };
    match args.text("do")? {
        "disconnect" => strike(Verdict::CutWatch),
        "drop410" => strike(Verdict::Expire),
        "delay" => {
            let by = args.opt_duration("by").unwrap_or(Duration::from_secs(10));
            strike(Verdict::Delay(by));
        }
        other => {
            return Err(Failure::new(format!(
                "this runner cannot {other} a watch; it can disconnect, drop410 and delay"
            )));
        }
    }
    // A running watch ends, so that the rule meets its successor.
    context.world.end_watches(&resource);
    Ok(())
}

fn request_match(args: &Arg) -> Result<RequestMatch, Failure> {
    let plural = |kind: &str| {
        kinds::find(kind)
            .map(|info| info.plural.to_owned())
            .ok_or_else(|| Failure::new(format!("unknown kind {kind}")))
    };
    Ok(RequestMatch {
        verbs: args.get("verb").map(Arg::texts).unwrap_or_default().into_iter().map(str::to_owned).collect(),
        resource: args.opt_text("kind").map(plural).transpose()?,
        subresource: args
            .opt_text("subresource")
            .map(|sub| if sub == "none" { String::new() } else { sub.to_owned() }),
        name: args.opt_text("name").map(str::to_owned),
        namespace: args.opt_text("namespace").map(str::to_owned),
        user: args.opt_text("by").unwrap_or(OPERATOR_USER).to_owned(),
    })
}

fn api(context: &Context, args: &Arg) -> Result<(), Failure> {
    let request =
        request_match(args.get("match").ok_or_else(|| Failure::new("`api` says not which requests"))?)?;
    let response = Response::Verdict(verdict(args)?);
    let rule = Rule { request, response, skip: 0, probability: args.opt_number("probability") };
    context.world.faults.add(budget(context, "api", times(args), until(context, args)), rule);
    Ok(())
}

/// Longer than any request waits.
const TIMEOUT: Duration = Duration::from_secs(300);

fn verdict(args: &Arg) -> Result<Verdict, Failure> {
    let respond = args.get("respond").ok_or_else(|| Failure::new("`api` says not what they get"))?;
    match &respond.value {
        ArgValue::Text(word) => match word.as_str() {
            "timeout" => Ok(Verdict::Delay(TIMEOUT)),
            "dropBeforeSend" => Ok(Verdict::DropBefore),
            _ => Ok(Verdict::DropAfterCommit),
        },
        _ => match (respond.opt_duration("slow"), respond.opt_int("code")) {
            (Some(slow), _) => Ok(Verdict::Delay(slow)),
            (None, code) => {
                let code = code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
                let mut status = gate::refusal(code, respond.opt_text("reason"), respond.opt_text("message"));
                status.retry_after = respond.opt_duration("retryAfter").map(|after| after.as_secs());
                Ok(Verdict::Fail(status))
            }
        },
    }
}

async fn pod(context: &Context, args: &Arg) -> Result<(), Failure> {
    let selector = selector(args)?;
    let deed = args.text("do")?;
    let is_of_api = matches!(deed, "kill" | "evict" | "delete");
    if let Some(faults) = context.world.pod_faults.as_ref().filter(|_| !is_of_api) {
        let struck = faults.strike(&selector, deed, args.opt_duration("for")).await;
        return struck.map_err(|why| Failure::new(format!("{deed} of pods: {why:#}")));
    }
    // Deleting is what anybody can do through the API, wherever the pods are.
    if context.place.mode() == Mode::Cluster || deed == "delete" {
        return pod_of_a_cluster(context, &selector, deed).await;
    }
    let pods = context.world.cluster.pods();
    let standing = match args.text("do")? {
        "kill" => return hit(pods.kill(&selector, 137)),
        "oom" => return hit(pods.oom(&selector)),
        "evict" => return hit(pods.evict(&selector, "")),
        "imagePullBackOff" => pods.image_pull_backoff(&selector, ""),
        "crashLoop" => pods.crash_loop(&selector, 1, Duration::from_secs(1)),
        "notReady" => pods.not_ready(&selector),
        "neverScheduled" => pods.never_schedule(&selector, ""),
        other => return Err(Failure::new(format!("this runner cannot `{other}` a pod"))),
    };
    if let Some(span) = args.opt_duration("for") {
        let clock = context.world.clock;
        tokio::spawn(async move {
            clock.sleep(span).await;
            pods.lift(standing);
        });
    }
    Ok(())
}

/// What anybody with rights can do to pods through the API.
async fn pod_of_a_cluster(context: &Context, selector: &PodSelector, deed: &str) -> Result<(), Failure> {
    let (hands, info) = (&context.world.hands, context.kind("Pod")?);
    let mut struck = 0;
    for pod in hands.list(info, &hands.namespace).await? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let fits = selector.name.as_deref().is_none_or(|wanted| wanted == name)
            && selector.labels.iter().all(|(key, value)| pod["metadata"]["labels"][key] == **value);
        if !fits || pod["status"]["phase"] != "Running" {
            continue;
        }
        let reply = match deed {
            "evict" => hands.evict(&hands.namespace, name).await?,
            "delete" => hands.delete(info, &hands.namespace, name, &json!({})).await?,
            _ => hands.delete(info, &hands.namespace, name, &json!({"gracePeriodSeconds": 0})).await?,
        };
        if !reply.is_success() {
            return Err(Failure::new(format!("{deed} pod {name}")).line(reply.refusal()));
        }
        struck += 1;
    }
    hit(struck)
}

fn hit(pods: usize) -> Result<(), Failure> {
    match pods {
        0 => Err(Failure::new("no running pod fits the selector")),
        _ => Ok(()),
    }
}

fn selector(args: &Arg) -> Result<PodSelector, Failure> {
    let select = args.get("select").ok_or_else(|| Failure::new("`pod` selects none"))?;
    let mut selector =
        PodSelector { name: select.opt_text("name").map(str::to_owned), ..PodSelector::default() };
    if let Some(component) = select.opt_text("component") {
        selector.labels.insert("component".to_owned(), component.to_owned());
    }
    for (key, value) in select.get("labels").and_then(Arg::entries).into_iter().flatten() {
        selector.labels.insert(key.clone(), value.as_text().unwrap_or_default().to_owned());
    }
    Ok(selector)
}

async fn control(context: &Context, args: &Arg) -> Result<(), Failure> {
    match args.text("what")? {
        "restart" => {
            context.world.crash_operators();
            restart(context)
        }
        _ => {
            let name = args.opt_text("of");
            context.world.faults.clear(name);
            context.world.network.clear(name);
            if name.is_none_or(|name| name == "pod") {
                context.world.cluster.pods().lift_all();
                if let Some(faults) = &context.world.pod_faults {
                    faults.lift_all().await;
                }
            }
            Ok(())
        }
    }
}
