//! Faults of Flink and questions to its ground truth.

use std::time::Duration;

use drey_language::duration;
use drey_language::scenario::{Arg, Count, Step};
use fake_flink::model::api::SavepointFault;
use fake_flink::{Command, Throwable};
use fake_kube::PodSelector;
use http::Method;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::failure::Failure;
use super::faults::{budget, times, until};
use super::{settle, unknown};
use crate::modes::GroundTruth;
use crate::world::flink::ClusterKey;
use crate::world::hands::PatchStyle;
use crate::world::kinds;
use crate::world::network::{Effect, Rule};

pub async fn fault(context: &Context, step: &Step) -> Result<(), Failure> {
    let args = &step.args;
    if let Some(truth) = &context.world.truth
        && is_flinks_own(step)
    {
        return strike(truth, step).await;
    }
    match step.name.as_str() {
        "job" => job(context, args),
        "jobmanager" => jobmanager(context, args),
        "savepoint" => savepoint(context, args),
        "checkpoint" => checkpoint(context, args),
        "ha" => ha(context, args).await,
        "store" => store(context, args),
        "taskmanagers" => command(context, args, Command::LoseTaskManagers),
        _ => Err(unknown(step)),
    }
}

/// Done to Flink itself, rather than to what is around it.
fn is_flinks_own(step: &Step) -> bool {
    match step.name.as_str() {
        "ha" => false,
        "jobmanager" => !step.args.has("rest"),
        _ => true,
    }
}

/// On a cluster whose Flink is the simulated one: by its control endpoint, which knows the same words.
async fn strike(truth: &GroundTruth, step: &Step) -> Result<(), Failure> {
    let name = step.args.opt_text("name");
    let mut words = step.args.to_json();
    if let Some(words) = words.as_object_mut() {
        words.remove("name");
        // The language takes `1m30s`, Flink's own durations have one unit.
        for (key, value) in words.iter_mut() {
            if let Some(span) = step.args.opt_duration(key) {
                *value = format!("{}ms", span.as_millis()).into();
            }
        }
    }
    let struck = truth.strike(name, &json!({step.name.to_lowercase(): words})).await;
    struck.map_err(|why| Failure::new(format!("{}: {why}", step.title())))
}

/// Path and progress of the snapshots that can be read.
async fn snapshots(context: &Context, key: &ClusterKey) -> Result<Vec<(String, u64)>, Failure> {
    if let Some(truth) = &context.world.truth {
        let all = truth.snapshots(&key.name).await;
        let all = all.ok_or_else(|| {
            Failure::new(format!("no JobManager of {key} is alive to look into the storage"))
        })?;
        return Ok(all.into_iter().map(|completed| (completed.path, completed.progress)).collect());
    }
    let all = context.world.flink.storage.snapshots().into_iter();
    Ok(all.map(|(path, snapshot)| (path, snapshot.progress)).collect())
}

/// What is left to a user whose deployment refuses to start: the newest snapshot they can find, by name.
pub async fn redeploy(context: &Context, args: &Arg) -> Result<(), Failure> {
    let key = context.cluster(args.text("name")?);
    let snapshots = snapshots(context, &key).await?;
    let found = match args.text("from")? {
        "oldest" => snapshots.iter().min_by_key(|(_, progress)| *progress),
        _ => snapshots.iter().max_by_key(|(_, progress)| *progress),
    };
    let Some((path, _)) = found else {
        return Err(Failure::new("the storage holds no snapshot that can be read"));
    };
    let info = kinds::find("FlinkDeployment").ok_or_else(|| Failure::new("unknown kind FlinkDeployment"))?;
    let object = context.world.hands.get(info, &key.namespace, &key.name).await?.unwrap_or_default();
    let nonce = object["spec"]["job"]["savepointRedeployNonce"].as_i64().unwrap_or_default() + 1;
    let patch = json!({"spec": {"job": {"initialSavepointPath": path, "savepointRedeployNonce": nonce}}});
    let reply =
        context.world.hands.patch(info, &key.namespace, &key.name, None, PatchStyle::Merge, &patch).await?;
    match reply.is_success() {
        true => Ok(()),
        false => Err(Failure::new(format!("redeploy {key} from {path}")).line(reply.refusal())),
    }
}

fn command(context: &Context, args: &Arg, command: Command) -> Result<(), Failure> {
    let key = context.cluster(args.text("name")?);
    match context.world.command(&key, &command) {
        true => Ok(()),
        false => Err(Failure::new(format!("no JobManager of {key} is alive to take this"))),
    }
}

const EXCEPTION: &str = "java.lang.RuntimeException";

fn job(context: &Context, args: &Arg) -> Result<(), Failure> {
    let cause = Throwable::new(EXCEPTION, args.opt_text("cause").unwrap_or("injected by the scenario"));
    let command_ = match args.text("set")? {
        "FAILED" => Command::FailJob { job: None, cause, times: None },
        "RESTARTING" => Command::FailJob { job: None, cause, times: Some(times(args).unwrap_or(1)) },
        _ => Command::FinishJob { job: None },
    };
    command(context, args, command_)
}

fn jobmanager(context: &Context, args: &Arg) -> Result<(), Failure> {
    let key = context.cluster(args.text("name")?);
    match args.opt_text("do") {
        Some("hang") => return command(context, args, Command::Hang { on: true }),
        Some("resume") => return command(context, args, Command::Hang { on: false }),
        Some(_) => {
            let selector = PodSelector::labels([("app", key.name.as_str()), ("component", "jobmanager")]);
            return match context.world.cluster.pods().kill(&selector, 137) {
                0 => Err(Failure::new(format!("no JobManager pod of {key} runs"))),
                _ => Ok(()),
            };
        }
        None => {}
    }
    let rest = args.get("rest").ok_or_else(|| Failure::new("`jobmanager` says not what happens"))?;
    let rule = Rule {
        cluster: key.to_string(),
        path: rest.opt_text("path").unwrap_or_default().to_owned(),
        method: rest.opt_text("method").and_then(|method| Method::from_bytes(method.as_bytes()).ok()),
        effect: effect(rest),
    };
    context.world.network.add(budget(context, "jobmanager", times(rest), until(context, rest)), rule);
    Ok(())
}

fn effect(rest: &Arg) -> Effect {
    if let Some(slow) = rest.opt_duration("slow") {
        Effect::Slow(slow)
    } else if rest.opt_flag("hang") == Some(true) {
        Effect::Hang
    } else if rest.opt_flag("loseReply") == Some(true) {
        Effect::LoseReply
    } else if let Some(code) = rest.opt_int("code") {
        let text = rest.opt_text("body").unwrap_or("injected by the scenario");
        Effect::Respond {
            code: u16::try_from(code).unwrap_or(500),
            body: json!({"errors": [text]}).to_string(),
        }
    } else {
        Effect::Refuse
    }
}

/// What `slow` takes unless the step says otherwise: longer than Flink's own default timeout of ten minutes.
const SLOW: Duration = Duration::from_secs(15 * 60);

fn savepoint(context: &Context, args: &Arg) -> Result<(), Failure> {
    let fault = match args.text("next")? {
        "fail" => SavepointFault::Fails,
        "hang" => SavepointFault::Hangs,
        "slow" => SavepointFault::Slow(args.opt_duration("by").unwrap_or(SLOW)),
        _ => SavepointFault::ReplyLost,
    };
    command(context, args, Command::NextSavepoint(fault))
}

fn checkpoint(context: &Context, args: &Arg) -> Result<(), Failure> {
    match (args.opt_flag("stall"), args.opt_int("fail")) {
        (Some(on), _) => command(context, args, Command::StallCheckpoints { on }),
        (None, fail) => {
            let times = fail.map_or(1, |times| u32::try_from(times).unwrap_or(u32::MAX));
            command(context, args, Command::FailCheckpoints { times })
        }
    }
}

/// Deletes ConfigMaps, or keys inside them, as an administrator's accident does.
async fn ha(context: &Context, args: &Arg) -> Result<(), Failure> {
    let key = context.cluster(args.text("name")?);
    let what = args.text("delete")?;
    let info = kinds::find("ConfigMap").ok_or_else(|| Failure::new("unknown kind ConfigMap"))?;
    let maps = context.world.hands.list(info, &key.namespace).await?;
    let mut hit = 0;
    for map in maps.iter().filter(|map| is_wanted(map, &key, what)) {
        let name = map["metadata"]["name"].as_str().unwrap_or_default();
        let reply = if what == "checkpoints" {
            let patch = without_checkpoints(map);
            context.world.hands.patch(info, &key.namespace, name, None, PatchStyle::Merge, &patch).await?
        } else {
            context.world.hands.delete(info, &key.namespace, name, &json!({})).await?
        };
        if !reply.is_success() {
            return Err(Failure::new(format!("lose HA metadata of {key}")).line(reply.refusal()));
        }
        hit += 1;
    }
    match hit {
        0 => Err(Failure::new(format!("{key} has no HA metadata to lose"))),
        _ => Ok(()),
    }
}

fn is_wanted(map: &Value, key: &ClusterKey, what: &str) -> bool {
    let name = map["metadata"]["name"].as_str().unwrap_or_default();
    let is_ha = map["metadata"]["labels"]["app"] == *key.name && name.ends_with("-config-map");
    let is_cluster_map = name.ends_with("-cluster-config-map");
    is_ha
        && match what {
            "clusterMap" => is_cluster_map,
            "jobMaps" | "checkpoints" => !is_cluster_map,
            _ => true,
        }
}

fn without_checkpoints(map: &Value) -> Value {
    let keys = map["data"].as_object().into_iter().flatten().map(|(key, _)| key);
    let nulls = keys.filter(|key| key.starts_with("checkpointID-")).map(|key| (key.clone(), Value::Null));
    json!({"data": nulls.collect::<serde_json::Map<_, _>>()})
}

fn store(context: &Context, args: &Arg) -> Result<(), Failure> {
    let storage = context.world.flink.storage.clone();
    if let Some(prefix) = args.opt_text("unreachable") {
        storage.set_reachable(prefix, false);
        if let Some(span) = args.opt_duration("for") {
            let (clock, prefix) = (context.world.clock, prefix.to_owned());
            tokio::spawn(async move {
                clock.sleep(span).await;
                storage.set_reachable(&prefix, true);
            });
        }
        return Ok(());
    }
    let (part, is_loss) = match (args.opt_text("lose"), args.opt_text("corrupt")) {
        (Some(part), _) => (part, true),
        (None, part) => (part.unwrap_or_default(), false),
    };
    let paths: Vec<String> = storage.snapshots().into_keys().filter(|path| path.contains(part)).collect();
    if paths.is_empty() {
        return Err(Failure::new(format!("no snapshot has {part:?} in its path")));
    }
    for path in &paths {
        if is_loss {
            storage.lose(path)
        } else {
            storage.corrupt(path)
        };
    }
    Ok(())
}

pub async fn check(context: &Context, step: &Step) -> Result<(), Failure> {
    match step.name.as_str() {
        "restoredFrom" => restored_from(context, &step.args).await,
        "job-is" => job_is(context, &step.args).await,
        "starts" => starts(context, &step.args).await,
        _ => Err(unknown(step)),
    }
}

async fn restored_from(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (key, is) = (context.cluster(args.text("name")?), args.text("is")?);
    let starts = context.starts(&key).await;
    let Some(start) = starts.last() else {
        return Err(Failure::new(format!("the job of {key} was never started")));
    };
    let path = start.restored_from.as_deref();
    let is_right = match is {
        "nothing" => path.is_none(),
        "newest" => {
            path.is_some() && start.newest.as_ref().is_none_or(|(_, progress)| start.progress >= *progress)
        }
        "savepoint" => path.is_some_and(|path| path.contains("savepoint-")),
        _ => path.is_some_and(|path| path.contains("chk-")),
    };
    let has_path = args.opt_text("path").is_none_or(|part| path.is_some_and(|path| path.contains(part)));
    if is_right && has_path {
        return Ok(());
    }
    let newest = start
        .newest
        .as_ref()
        .map_or("nothing".to_owned(), |(path, progress)| format!("{path} (progress {progress})"));
    Err(Failure::new(format!("the job of {key} was not restored from {is}"))
        .line(format!("it was started from {} (progress {})", path.unwrap_or("empty state"), start.progress))
        .line(format!("the newest state then was {newest}")))
}

async fn job_is(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (key, state) = (context.cluster(args.text("name")?), args.text("state")?);
    let within = args.opt_duration("within").unwrap_or_default();
    let deadline = context.deadline(within);
    loop {
        let states = context.job_states(&key).await;
        if states.iter().any(|found| found == state) {
            return Ok(());
        }
        let left = deadline.saturating_sub(context.world.clock.elapsed());
        if left.is_zero() {
            let found = if states.is_empty() { "no job".to_owned() } else { states.join(", ") };
            return Err(Failure::new(format!(
                "the job of {key} is not {state} within {}",
                duration::format(within)
            ))
            .line(format!("found {found}")));
        }
        context.wait_for_change(left).await;
        settle(context).await?;
    }
}

async fn starts(context: &Context, args: &Arg) -> Result<(), Failure> {
    let key = context.cluster(args.text("name")?);
    let count: Count = args.count("count")?;
    let is_counted = |from: &Option<String>| match args.opt_text("from") {
        Some("nothing") => from.is_none(),
        Some(_) => from.is_some(),
        None => true,
    };
    let starts = context.starts(&key).await;
    let found = starts.iter().filter(|start| is_counted(&start.restored_from)).count() as u64;
    if count.accepts(found) {
        return Ok(());
    }
    let seen = starts
        .iter()
        .map(|start| format!("from {}", start.restored_from.as_deref().unwrap_or("empty state")));
    Err(Failure::new(format!("the job of {key} was started {found} times, expected {count}")).lines(seen))
}
