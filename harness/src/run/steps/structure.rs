//! Steps around steps: groups, repetition, fragments.

use drey_language::scenario::{Arg, Step};

use super::super::context::Context;
use super::super::failure::Failure;
use super::{Since, run_all, unknown};

pub async fn run(context: &Context, step: &Step, since: &mut Since) -> Result<(), Failure> {
    match step.name.as_str() {
        "group" | "use" => {
            let result = run_all(context, step.steps("steps"), since).await;
            if result.is_err() {
                // The failure stays; what `catch` finds is only for the journal.
                let _ = run_all(context, step.steps("catch"), since).await;
            }
            result
        }
        "repeat" => {
            for _ in 0..step.args.int("n")? {
                run_all(context, step.steps("steps"), since).await?;
            }
            Ok(())
        }
        "at" => {
            context.beside.borrow_mut().push(step.clone());
            context.beside_added.notify_one();
            Ok(())
        }
        _ => Err(unknown(step)),
    }
}

/// The steps below an `at`, from its time on; at once when that has passed. The sequence goes on meanwhile.
pub async fn run_at(context: &Context, step: Step) -> Result<(), Failure> {
    let at = step.args.get("time").map(Arg::to_json).unwrap_or_default();
    let at =
        step.args.clock_time("time").map_err(|_| Failure::new(format!("`at` needs a time, not {at}")))?;
    let left = at.saturating_sub(context.world.clock.elapsed());
    super::time::advance(context, left).await?;
    let mut since = Since::start(context);
    run_all(context, step.steps("steps"), &mut since).await
}
