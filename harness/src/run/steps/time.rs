//! Letting scenario time pass.

use std::time::Duration;

use drey_language::scenario::{ArgValue, Step};

use super::super::context::{Condition, Context};
use super::super::failure::Failure;
use super::{settle, unknown};

pub async fn run(context: &Context, step: &Step) -> Result<(), Failure> {
    match (step.name.as_str(), &step.args.value) {
        ("advance", ArgValue::Duration(span)) => advance(context, *span).await,
        ("advanceUntil", _) => {
            let within = step.args.duration("max")?;
            super::checks::wait_for(
                context,
                step.args.opt_object_ref("of"),
                &Condition::of(&step.args)?,
                within,
            )
            .await
        }
        _ => Err(unknown(step)),
    }
}

/// Judges look in between, so that a breach is told when it happens and not an hour later.
const STRIDE: Duration = Duration::from_secs(1);

pub async fn advance(context: &Context, span: Duration) -> Result<(), Failure> {
    let end = context.world.clock.elapsed() + span;
    loop {
        let left = end.saturating_sub(context.world.clock.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        context.world.clock.sleep(left.min(STRIDE)).await;
        settle(context).await?;
    }
}
