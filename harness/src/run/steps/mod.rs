//! Carries out one step. The word decides the file; the language has checked the arguments.

mod checks;
mod faults;
mod flink;
mod objects;
mod structure;
mod time;

use drey_language::events::{Kind, Lane};
use drey_language::report::SkippedStep;
use drey_language::scenario::{Arg, Step};
use drey_language::vocabulary::StepKind;
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;

use super::context::Context;
use super::failure::Failure;
use super::hooks;
use super::records::Mark;

/// Runs the steps of a scenario: one after another, and beside them those that start by themselves (`at`). Ends when
/// all have, or with the first failure.
pub async fn run_sequence(context: &Context, steps: &[Step]) -> Result<(), Failure> {
    let mut since = Since::start(context);
    let mut running = FuturesUnordered::new();
    running.push(run_all(context, steps, &mut since));
    loop {
        for step in context.beside.take() {
            running.push(Box::pin(structure::run_at(context, step)));
        }
        tokio::select! {
            ended = running.next() => match ended {
                Some(result) => result?,
                None => return Ok(()),
            },
            () = context.beside_added.notified() => {}
        }
    }
}

/// What `since: previousStep` means in a sequence: the moment at which the step before this one began.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    previous: Mark,
    current: Mark,
}

impl Since {
    pub fn start(context: &Context) -> Since {
        Since { previous: context.mark(), current: context.mark() }
    }

    fn next(&mut self, context: &Context) {
        *self = Since { previous: self.current, current: context.mark() };
    }

    /// Where a check begins to look.
    fn of(&self, args: &Arg) -> Mark {
        if args.opt_text("since") == Some("previousStep") { self.previous } else { Mark::default() }
    }
}

/// Runs a list of steps, one after another, and stops at the first failure.
fn run_all<'a>(
    context: &'a Context,
    steps: &'a [Step],
    since: &'a mut Since,
) -> LocalBoxFuture<'a, Result<(), Failure>> {
    Box::pin(async move {
        for step in steps {
            if let Some(reason) = context.place.skip_reason(step, context.world.reach()) {
                leave_out(context, step, reason);
                continue;
            }
            context.done.set(context.done.get() + 1);
            run_one(context, step, since).await.map_err(|failure| failure.in_step(step))?;
            // A breach that shows between two steps is told at the one that was carried out.
            settle(context).await.map_err(|failure| failure.at(&step.span))?;
        }
        Ok(())
    })
}

/// One step by itself. Steps around steps belong into files.
pub async fn run_by_hand(context: &Context, step: &Step) -> Result<(), Failure> {
    if step.kind == StepKind::Structure {
        let text = format!("`{}` holds steps; here they are done one by one", step.name);
        return Err(Failure::new(text).in_step(step));
    }
    if step.args.opt_flag("everyWrite") == Some(true) {
        let text = "`everyWrite` is one run per write; here there is one run: say `on: {write: {}}`";
        return Err(Failure::new(text).in_step(step));
    }
    if let Some(reason) = context.place.skip_reason(step, context.world.reach()) {
        return Err(Failure::new(format!("`{}` cannot be done here: {reason}", step.name)).in_step(step));
    }
    let mut since = Since::start(context);
    run_one(context, step, &mut since).await.map_err(|failure| failure.in_step(step))
}

/// The monitors of the whole case, from its start on.
pub fn declare(context: &Context, monitors: &[Step]) {
    for step in monitors {
        match context.place.skip_reason(step, context.world.reach()) {
            Some(reason) => leave_out(context, step, reason),
            None => context.monitors.add(step),
        }
    }
}

/// A monitor that may hear later begins to listen all the same.
fn leave_out(context: &Context, step: &Step, reason: &'static str) {
    if !context.place.may_hear_later(step, context.world.reach()) {
        return skip(context, step, reason);
    }
    context.monitors.add(step);
    context.unheard.borrow_mut().push((step.clone(), reason));
}

/// At the end: a monitor that never could hear anything has judged nothing.
pub fn skip_the_deaf(context: &Context) {
    let reach = context.world.reach();
    for (step, reason) in context.unheard.take() {
        if context.place.skip_reason(&step, reach).is_some() {
            skip(context, &step, reason);
        }
    }
}

/// Told in the report and in the stream of events, never silently dropped.
fn skip(context: &Context, step: &Step, reason: &str) {
    let at = step.span.to_string();
    context.journal(Lane::Check, Kind::Note, None, format!("skipped {}: {reason}", step.title()));
    context.skipped.borrow_mut().push(SkippedStep { step: step.title(), at, reason: reason.to_owned() });
}

/// Lets everything that is due now happen, then asks the judges.
pub async fn settle(context: &Context) -> Result<(), Failure> {
    tokio::task::yield_now().await;
    context.revive_operators();
    let passes = context.passes.count();
    context.world.network.with_calls(|calls| context.monitors.tick(calls, passes));
    context.breach().map_or(Ok(()), Err)
}

async fn run_one(context: &Context, step: &Step, since: &mut Since) -> Result<(), Failure> {
    if step.kind != StepKind::Structure {
        since.next(context);
    }
    announce(context, step);
    if step.name == hooks::WORD {
        return hooks::run(context, step).await;
    }
    match step.kind {
        StepKind::Action => objects::run(context, step).await,
        StepKind::Time => time::run(context, step).await,
        StepKind::Check => checks::run(context, step, since).await,
        StepKind::Monitor => {
            context.monitors.add(step);
            Ok(())
        }
        StepKind::Fault => faults::run(context, step).await,
        StepKind::Structure => structure::run(context, step, since).await,
    }?;
    if step.kind == StepKind::Check {
        context.journal(Lane::Check, Kind::CheckPassed, None, step.title());
    }
    Ok(())
}

/// What the user does and what breaks is part of the story; checks tell when they are done.
fn announce(context: &Context, step: &Step) {
    let (lane, kind) = match step.kind {
        StepKind::Action | StepKind::Time => (Lane::User, Kind::Step),
        StepKind::Fault => (Lane::Fault, Kind::FaultStarted),
        StepKind::Check | StepKind::Monitor | StepKind::Structure => return,
    };
    let arguments = step.args.to_json();
    let detail = serde_json::json!({"step": step.name, "at": step.span.to_string(), "name": step.name});
    let text = match arguments.is_object() && step.label.is_none() && step.kind == StepKind::Fault {
        true => format!("{} {arguments}", step.name),
        false => step.title(),
    };
    let event = context.world.journal.event(lane, kind, text).detail(detail);
    context.world.journal.push(event);
}

/// A word of the vocabulary that no file here knows: a defect of the harness.
fn unknown(step: &Step) -> Failure {
    Failure::new(format!("`{}` is in the vocabulary, but this runner does not carry it out", step.name))
}
