//! What the user does to objects: apply, create, patch, replace, delete, and small writes.

use std::time::Duration;

use drey_language::scenario::{Arg, ArgValue, ObjectRef, Step};
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::failure::Failure;
use super::{flink, unknown};
use crate::world::hands::{PatchStyle, Reply};

pub async fn run(context: &Context, step: &Step) -> Result<(), Failure> {
    let args = &step.args;
    match step.name.as_str() {
        "apply" => each(context, args, Deed::Apply).await,
        "create" => each(context, args, Deed::Create).await,
        "patch" => patch(context, args).await,
        "replace" => replace(context, args).await,
        "delete" => delete(context, args).await,
        "annotate" => small(context, args, &json!({"metadata": {"annotations": json_of(args, "set")}})).await,
        "label" => small(context, args, &json!({"metadata": {"labels": json_of(args, "set")}})).await,
        "scale" => scale(context, args).await,
        "externalWrite" => external_write(context, args).await,
        "removeFinalizer" => remove_finalizer(context, args).await,
        "snapshot" => snapshot(context, step).await,
        "redeploy" => flink::redeploy(context, args).await,
        _ => Err(unknown(step)),
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Apply,
    Create,
}

async fn each(context: &Context, args: &Arg, deed: Deed) -> Result<(), Failure> {
    for object in args.objects() {
        let reply = match deed {
            Deed::Apply => context.world.hands.apply(object).await?,
            Deed::Create => context.world.hands.create(object).await?,
        };
        judge(args.get("expect"), &reply, &name_of(object))?;
    }
    Ok(())
}

/// Success unless a refusal is expected; then that refusal.
fn judge(expect: Option<&Arg>, reply: &Reply, what: &str) -> Result<(), Failure> {
    let Some(expect) = expect else {
        return match reply.is_success() {
            true => Ok(()),
            false => Err(Failure::new(format!("the server refused {what}")).line(reply.refusal())),
        };
    };
    let wanted = expect.to_json();
    if reply.is_success() {
        return Err(
            Failure::new(format!("the server took {what}, a refusal was expected")).line(wanted.to_string())
        );
    }
    let text = |key: &str| reply.body[key].as_str().unwrap_or_default();
    let mut missing = Vec::new();
    if expect.opt_int("code").is_some_and(|code| code != i64::from(reply.code)) {
        missing.push(format!("code {}", wanted["code"]));
    }
    if expect.opt_text("reason").is_some_and(|reason| reason != text("reason")) {
        missing.push(format!("reason {}", wanted["reason"]));
    }
    for part in expect.get("messageContains").map(Arg::texts).unwrap_or_default() {
        if !text("message").contains(part) {
            missing.push(format!("message with {part:?}"));
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("the refusal of {what} is not the expected one"))
            .line(format!("expected {}", missing.join(", ")))
            .line(format!("got {}", reply.refusal()))),
    }
}

async fn patch(context: &Context, args: &Arg) -> Result<(), Failure> {
    let of = args.object_ref("of")?;
    let styles =
        [("merge", PatchStyle::Merge), ("json", PatchStyle::Json), ("strategic", PatchStyle::Strategic)];
    let (body, style) = styles
        .into_iter()
        .find_map(|(key, style)| Some((args.get(key)?.to_json(), style)))
        .ok_or_else(|| Failure::new("no patch is given"))?;
    let reply = send_patch(context, of, args.opt_text("subresource"), style, &body).await?;
    judge(args.get("expect"), &reply, &of.to_string())
}

async fn send_patch(
    context: &Context,
    of: &ObjectRef,
    subresource: Option<&str>,
    style: PatchStyle,
    body: &Value,
) -> Result<Reply, Failure> {
    let (info, namespace) = (context.kind(&of.kind)?, context.namespace_of(of));
    Ok(context.world.hands.patch(info, namespace, &of.name, subresource, style, body).await?)
}

async fn small(context: &Context, args: &Arg, body: &Value) -> Result<(), Failure> {
    let of = args.object_ref("of")?;
    let reply = send_patch(context, of, None, PatchStyle::Merge, body).await?;
    judge(None, &reply, &of.to_string())
}

async fn scale(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (of, body) = (args.object_ref("of")?, json!({"spec": {"replicas": args.int("replicas")?}}));
    let reply = send_patch(context, of, Some("scale"), PatchStyle::Merge, &body).await?;
    judge(None, &reply, &of.to_string())
}

async fn external_write(context: &Context, args: &Arg) -> Result<(), Failure> {
    let of = args.object_ref("of")?;
    let mut body = json!({});
    for key in ["spec", "metadata", "data"] {
        if args.has(key) {
            body[key] = json_of(args, key);
        }
    }
    if body != json!({}) {
        judge(None, &send_patch(context, of, None, PatchStyle::Merge, &body).await?, &of.to_string())?;
    }
    if args.has("status") {
        let body = json!({"status": json_of(args, "status")});
        judge(
            None,
            &send_patch(context, of, Some("status"), PatchStyle::Merge, &body).await?,
            &of.to_string(),
        )?;
    }
    Ok(())
}

async fn remove_finalizer(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (of, name) = (args.object_ref("of")?, args.text("name")?);
    let object = context.get(of).await?.ok_or_else(|| Failure::new(format!("{of} does not exist")))?;
    let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let left: Vec<&Value> = finalizers.iter().filter(|other| *other != name).collect();
    small(context, args, &json!({"metadata": {"finalizers": left}})).await
}

async fn replace(context: &Context, args: &Arg) -> Result<(), Failure> {
    let of = args.object_ref("of")?;
    let live = context.get(of).await?.ok_or_else(|| Failure::new(format!("{of} does not exist")))?;
    let mut object = args.object("object")?.clone();
    object["apiVersion"] = live["apiVersion"].clone();
    object["kind"] = live["kind"].clone();
    for key in ["name", "namespace"] {
        object["metadata"][key] = live["metadata"][key].clone();
    }
    object["metadata"]["resourceVersion"] = match args.opt_text("resourceVersion") {
        None | Some("current") => live["metadata"]["resourceVersion"].clone(),
        // Version 1 is the store's first: older than any object of a scenario.
        Some("stale") => json!("1"),
        Some(version) => json!(version),
    };
    judge(args.get("expect"), &context.world.hands.replace(&object).await?, &of.to_string())
}

/// How long `wait: true` waits: deletion of a whole cluster takes seconds, a stuck one is a failure.
const DELETE_WAIT: Duration = Duration::from_secs(600);

async fn delete(context: &Context, args: &Arg) -> Result<(), Failure> {
    let of = args.object_ref("of")?;
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    if let Some(propagation) = args.opt_text("propagation") {
        options["propagationPolicy"] = json!(propagation);
    }
    if let Some(grace) = args.opt_duration("gracePeriod") {
        options["gracePeriodSeconds"] = json!(grace.as_secs());
    }
    let (info, namespace) = (context.kind(&of.kind)?, context.namespace_of(of));
    let reply = context.world.hands.delete(info, namespace, &of.name, &options).await?;
    judge(args.get("expect"), &reply, &of.to_string())?;
    let wait = match args.get("wait").map(|arg| &arg.value) {
        Some(ArgValue::Duration(wait)) => *wait,
        Some(ArgValue::Bool(true)) => DELETE_WAIT,
        _ => return Ok(()),
    };
    super::checks::wait_until_absent(context, of, wait).await
}

/// Compares with a golden file; `DREY_BLESS=1` writes it.
async fn snapshot(context: &Context, step: &Step) -> Result<(), Failure> {
    let (of, file) = (step.args.object_ref("of")?, step.args.file("file")?);
    let mut object = context.get(of).await?.ok_or_else(|| Failure::new(format!("{of} does not exist")))?;
    for field in step.args.get("ignore").map(Arg::texts).unwrap_or_default() {
        remove_field(&mut object, field);
    }
    let text = serde_saphyr::to_string(&object).map_err(|error| Failure::new(error.to_string()))?;
    if std::env::var_os("DREY_BLESS").is_some() {
        return std::fs::write(file, text)
            .map_err(|error| Failure::new(format!("write {}: {error}", file.display())));
    }
    let golden = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(format!("read {}: {error}; run with DREY_BLESS=1 to write it", file.display()))
    })?;
    match golden == text {
        true => Ok(()),
        false => Err(Failure::new(format!("{of} differs from {}", file.display()))
            .lines(text.lines().map(str::to_owned))),
    }
}

fn remove_field(object: &mut Value, path: &str) {
    let pointer: Vec<&str> = path.split('.').collect();
    let Some((last, parents)) = pointer.split_last() else { return };
    let parent = parents.iter().try_fold(object, |value, key| value.get_mut(*key));
    if let Some(map) = parent.and_then(Value::as_object_mut) {
        map.shift_remove(*last);
    }
}

fn json_of(args: &Arg, key: &str) -> Value {
    args.get(key).map(Arg::to_json).unwrap_or_default()
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}
