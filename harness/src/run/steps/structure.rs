//! Steps around steps: groups, repetition, fragments.

use drey_language::scenario::{Arg, Step};

use super::super::context::Context;
use super::super::failure::Failure;
use super::{run_all, unknown};

pub async fn run(context: &mut Context, step: &Step) -> Result<(), Failure> {
    match step.name.as_str() {
        "group" | "use" => {
            let result = run_all(context, step.steps("steps")).await;
            if result.is_err() {
                // The failure stays; what `catch` finds is only for the journal.
                let _ = run_all(context, step.steps("catch")).await;
            }
            result
        }
        "repeat" => {
            for _ in 0..step.args.int("n")? {
                run_all(context, step.steps("steps")).await?;
            }
            Ok(())
        }
        "at" => {
            let at = step.args.get("time").map(Arg::to_json).unwrap_or_default();
            let at = step
                .args
                .clock_time("time")
                .map_err(|_| Failure::new(format!("`at` needs a time, not {at}")))?;
            let left = at.saturating_sub(context.world.clock.elapsed());
            super::time::advance(context, left).await?;
            run_all(context, step.steps("steps")).await
        }
        _ => Err(unknown(step)),
    }
}
