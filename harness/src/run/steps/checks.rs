//! Questions to the world: now, or within a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use drey_language::duration;
use drey_language::matching::{Mismatch, path};
use drey_language::scenario::{Arg, Count, ObjectRef, Step};
use serde_json::Value;

use super::super::context::{Condition, Context};
use super::super::failure::Failure;
use super::super::monitors::{api_call_fits, flink_call_fits};
use super::super::records::{Mark, Write};
use super::super::sight::Sight;
use super::{Since, flink, settle, unknown};
use crate::world::gate::OPERATOR_USER;

pub async fn run(context: &Context, step: &Step, since: &Since) -> Result<(), Failure> {
    let args = &step.args;
    match step.name.as_str() {
        "assert" => assert(context, args).await,
        "eventually" => {
            wait_for(context, args.opt_object_ref("of"), &Condition::of(args)?, args.duration("within")?)
                .await
        }
        "converge" => converge(context, args).await,
        "sequence" => sequence(context, args, since.of(args)),
        "absent" => {
            wait_until_absent(
                context,
                args.object_ref("of")?,
                args.opt_duration("within").unwrap_or_default(),
            )
            .await
        }
        "events" => events(context, args).await,
        "calls" => calls(context, args, since.of(args)),
        "writes" => writes(context, args, since.of(args)),
        "restoredFrom" | "job-is" | "starts" => flink::check(context, step).await,
        _ => Err(unknown(step)),
    }
}

async fn assert(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (of, condition) = (args.opt_object_ref("of"), Condition::of(args)?);
    let object = look(context, of).await?;
    let mismatches = context.test(&condition, object.as_ref())?;
    if mismatches.is_empty() {
        return Ok(());
    }
    let object = of.map(|of| format!("{}/{}", of.kind, of.name));
    Err(Failure { object, mismatches, fields: condition.fields(), ..Failure::new(condition.text()) })
}

async fn look(context: &Context, of: Option<&ObjectRef>) -> Result<Option<Value>, Failure> {
    match of {
        Some(of) => context.get(of).await,
        None => Ok(None),
    }
}

/// Waits until a condition holds; the failure shows how close it came.
pub async fn wait_for(
    context: &Context,
    of: Option<&ObjectRef>,
    condition: &Condition<'_>,
    within: Duration,
) -> Result<(), Failure> {
    let deadline = context.deadline(within);
    let mut sight = of.map(|of| context.sight(of)).transpose()?;
    loop {
        let object = match &mut sight {
            Some(sight) => sight.look(context).await?.first(),
            None => None,
        };
        let mismatches = context.test(condition, object)?;
        if mismatches.is_empty() {
            return Ok(());
        }
        let left = deadline.saturating_sub(context.world.clock.elapsed());
        if left.is_zero() {
            return Err(too_late(context, of, condition, within, mismatches));
        }
        context.wait_for_change(left).await;
        settle(context).await?;
    }
}

fn too_late(
    context: &Context,
    of: Option<&ObjectRef>,
    condition: &Condition<'_>,
    within: Duration,
    mismatches: Vec<Mismatch>,
) -> Failure {
    let failure = Failure {
        object: of.map(|of| format!("{}/{}", of.kind, of.name)),
        within: Some(within),
        mismatches,
        fields: condition.fields(),
        ..Failure::new(condition.text())
    };
    match context.passes.last() {
        Some(pass) => failure
            .lines(pass.trace.iter().map(|step| format!("last pass ({}): {step}", pass.number)))
            .line(format!("last pass ({}): then {}", pass.number, pass.next)),
        None if context.place.is_command() => failure.lines(context.last_words()),
        None => failure.line("the operator has made no pass"),
    }
}

pub async fn wait_until_absent(context: &Context, of: &ObjectRef, within: Duration) -> Result<(), Failure> {
    let deadline = context.deadline(within);
    let mut sight = Sight::of_all(context.kind(&of.kind)?, context.namespace_of(of));
    loop {
        let names: Vec<String> = sight
            .look(context)
            .await?
            .iter()
            .filter_map(|item| item["metadata"]["name"].as_str())
            .filter(|name| of.name_fits(name))
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let left = deadline.saturating_sub(context.world.clock.elapsed());
        if left.is_zero() {
            let text = format!("{of} is still there after {}", duration::format(within));
            return Err(Failure::new(text).line(names.join(", ")));
        }
        context.wait_for_change(left).await;
        settle(context).await?;
    }
}

/// No write of the operator for this long is peace, unless the step says otherwise.
const QUIET: Duration = Duration::from_secs(60);

async fn converge(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (within, quiet) = (args.duration("within")?, args.opt_duration("quietFor").unwrap_or(QUIET));
    let clock = context.world.clock;
    let deadline = context.deadline(within);
    let mut writes = context.world.faults.writes();
    let mut since = clock.elapsed();
    loop {
        if clock.elapsed() - since >= quiet {
            return Ok(());
        }
        if clock.elapsed() >= deadline + quiet {
            let text =
                format!("no {} without a write within {}", duration::format(quiet), duration::format(within));
            return Err(Failure::new(text));
        }
        super::time::advance(context, Duration::from_secs(1).min(quiet)).await?;
        let now = context.world.faults.writes();
        if now != writes {
            (writes, since) = (now, clock.elapsed());
        }
    }
}

/// Values of a field in order; `X*` may repeat or be missing.
fn sequence(context: &Context, args: &Arg, since: Mark) -> Result<(), Failure> {
    let (of, field) = (args.object_ref("of")?, path_text(args)?);
    let segments = path::parse(&field).map_err(Failure::new)?;
    let is_exact = args.opt_text("mode") == Some("exact");
    let mut seen: Vec<String> = Vec::new();
    for value in context.records.states(since, of, context.namespace_of(of)) {
        let Some(value) = path::get(&value, &segments).filter(|value| !value.is_null()) else { continue };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if seen.last() != Some(&text) {
            seen.push(text);
        }
    }
    let wanted: Vec<String> = args.list("expect")?.iter().map(|arg| text_of(&arg.to_json())).collect();
    match fits(&wanted, &seen, is_exact) {
        true => Ok(()),
        false => Err(Failure::new(format!("{of} {field} did not go through {}", wanted.join(", ")))
            .line(format!("seen: {}", seen.join(", ")))),
    }
}

fn path_text(args: &Arg) -> Result<String, Failure> {
    args.get("field")
        .map(|arg| text_of(&arg.to_json()))
        .ok_or_else(|| Failure::new("`sequence` names no field"))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn fits(wanted: &[String], seen: &[String], is_exact: bool) -> bool {
    match (wanted.split_first(), seen.split_first()) {
        (None, None) => true,
        (None, Some(_)) => !is_exact,
        (Some((first, rest)), _) if first.ends_with('*') => {
            let word = first.trim_end_matches('*');
            fits(rest, seen, is_exact)
                || seen.split_first().is_some_and(|(one, more)| one == word && fits(wanted, more, is_exact))
        }
        (Some(_), None) => false,
        (Some((first, rest)), Some((one, more))) => {
            (first == one && fits(rest, more, is_exact)) || (!is_exact && fits(wanted, more, is_exact))
        }
    }
}

async fn events(context: &Context, args: &Arg) -> Result<(), Failure> {
    let (tree, of) = (args.tree("contains")?, args.opt_object_ref("of"));
    let count = args.opt_count("count").unwrap_or(Count { min: 1, max: None });
    let within = args.opt_duration("within").unwrap_or_default();
    let deadline = context.deadline(within);
    let namespace = of.map_or(context.world.hands.namespace.as_str(), |of| context.namespace_of(of));
    let mut sight = Sight::of_all(context.kind("Event")?, namespace);
    loop {
        let all = sight.look(context).await?;
        let is_about = |event: &&Value| {
            of.is_none_or(|of| {
                let about = &event["involvedObject"];
                about["kind"] == *of.kind && about["name"].as_str().is_some_and(|name| of.name_fits(name))
            })
        };
        let found: u64 = all
            .iter()
            .filter(is_about)
            .filter(|event| tree.matches(Some(event)))
            .map(|event| event["count"].as_u64().unwrap_or(1).max(1))
            .sum();
        if count.accepts(found) {
            return Ok(());
        }
        let left = deadline.saturating_sub(context.world.clock.elapsed());
        if left.is_zero() {
            let written = all.iter().filter(is_about).map(|event| {
                format!(
                    "written: {} {} x{}: {}",
                    text_of(&event["type"]),
                    text_of(&event["reason"]),
                    event["count"],
                    text_of(&event["message"])
                )
            });
            let text = format!("expected {count} events like {}, found {found}", tree.to_json());
            return Err(Failure::new(text).lines(written));
        }
        context.wait_for_change(left).await;
        settle(context).await?;
    }
}

fn calls(context: &Context, args: &Arg, since: Mark) -> Result<(), Failure> {
    let wanted = args.get("match").ok_or_else(|| Failure::new("`calls` says not which"))?;
    let (to, count) = (args.text("to")?, args.count("count")?);
    let found = match to {
        "api" => context.records.count_calls(since, |call| {
            call.info.user.starts_with(OPERATOR_USER) && api_call_fits(wanted, &call.info, call.code)
        }),
        "flink" => context.world.network.with_calls(|calls| {
            let calls = calls.get(since.flink..).unwrap_or_default();
            calls.iter().filter(|call| flink_call_fits(wanted, call)).count() as u64
        }),
        other => {
            return Err(Failure::new(format!(
                "`to: {other}` is in the vocabulary, but nobody counts its calls"
            )));
        }
    };
    match count.accepts(found) {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "expected {count} calls to {to} like {}, found {found}",
            wanted.to_json()
        ))),
    }
}

fn writes(context: &Context, args: &Arg, since: Mark) -> Result<(), Failure> {
    let (of, verb, by) = (args.opt_object_ref("of"), args.opt_text("verb"), args.opt_text("by"));
    let kind = args.opt_text("kind").or(of.map(|of| of.kind.as_str()));
    let kind = kind.map(|kind| context.kind(kind)).transpose()?;
    let subresource = args.opt_text("subresource").map(|sub| if sub == "none" { "" } else { sub });
    let count = args.count("count")?;
    let found = context.records.writes(since, |write| {
        by.is_none_or(|by| write.actor.contains(by))
            && kind.is_none_or(|info| info.plural == write.resource && info.group == write.group)
            && of.is_none_or(|of| {
                of.name_fits(&write.name)
                    && (write.namespace.is_empty() || write.namespace == context.namespace_of(of))
            })
            && verb.is_none_or(|verb| verb == write.verb)
            && subresource.is_none_or(|sub| sub == write.subresource)
    });
    let seen = found.iter().map(|write| {
        let sub = if write.subresource.is_empty() { "" } else { "/" };
        let Write { actor, verb, resource, name, subresource, uid, .. } = write;
        format!("{verb} {resource} {name}{sub}{subresource} by {actor} ({uid})")
    });
    let wrong = |what: String| {
        Err(Failure::new(format!("{what}: {}", args.to_json())).lines(seen.clone().take(WRITES_SHOWN)))
    };
    if args.opt_flag("perUid") != Some(true) {
        let total = found.len() as u64;
        return if count.accepts(total) {
            Ok(())
        } else {
            wrong(format!("expected {count} writes, found {total}"))
        };
    }
    let mut per_uid: BTreeMap<&str, u64> = BTreeMap::new();
    found.iter().for_each(|write| *per_uid.entry(&write.uid).or_default() += 1);
    if per_uid.is_empty() && !count.accepts(0) {
        return wrong(format!("expected {count} writes of each object, found none of any"));
    }
    match per_uid.into_iter().find(|(_, found)| !count.accepts(*found)) {
        None => Ok(()),
        Some((uid, found)) => {
            wrong(format!("expected {count} writes of each object, found {found} of {uid}"))
        }
    }
}

/// Writes a failure lists.
const WRITES_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &str, seen: &str, is_exact: bool, expected: bool) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(fits(&words(wanted), &words(seen), is_exact), expected, "{wanted:?} on {seen:?}");
    }

    #[test]
    fn sequences() {
        check("A B", "A B", true, true);
        check("A B", "A X B Y", false, true);
        check("A B", "A X B", true, false);
        check("A F* B", "A F F B", true, true);
        check("A F* B", "A B", true, true);
        check("A B", "B A", false, false);
        check("A", "", false, false);
    }
}
