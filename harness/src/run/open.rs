//! A case that is played up to a step and then left open for somebody to look around in. The judges go on watching.

use std::cell::Cell;
use std::time::Duration;

use drey_language::failure::Failure as Reported;
use drey_language::scenario::{Case, Step};
use drey_language::vocabulary::Vocabulary;

use super::case::{CaseRun, prepare};
use super::context::Context;
use super::failure::Failure;
use super::steps;
use crate::world::World;

/// Real time for which a busy machine may keep threads waiting.
const HICCUPS: Duration = Duration::from_secs(3);

/// A case in a world of its own, its steps still to be played.
pub struct OpenCase {
    context: Context,
    case: Case,
    next: Cell<usize>,
}

impl OpenCase {
    /// Boots the world and starts the operator; plays nothing yet. The case has no limit of time: a person decides.
    /// `scale` scenario seconds pass per second of the runtime's clock.
    pub async fn open(
        case: &Case,
        vocabulary: &Vocabulary,
        run: &CaseRun,
        scale: f64,
    ) -> anyhow::Result<OpenCase> {
        let mut context = prepare(case, vocabulary, run, scale).await?;
        context.limit = Duration::MAX;
        context.hiccups = context.world.clock.scenario(HICCUPS);
        steps::declare(&context, &case.monitors);
        Ok(OpenCase { context, case: case.clone(), next: Cell::new(0) })
    }

    pub fn world(&self) -> &World {
        &self.context.world
    }

    /// Plays the steps before the one of this index (from 0); all of them without one.
    pub async fn play(&self, before: Option<usize>) -> Result<(), Reported> {
        let end = before.unwrap_or(self.case.steps.len()).min(self.case.steps.len());
        while self.next.get() < end {
            let step = std::slice::from_ref(&self.case.steps[self.next.get()]);
            self.next.set(self.next.get() + 1);
            let result = steps::run_sequence(&self.context, step).await;
            result.map_err(|failure| self.report(&failure))?;
        }
        Ok(())
    }

    pub fn case(&self) -> &Case {
        &self.case
    }

    /// How many steps were begun.
    pub fn played(&self) -> usize {
        self.next.get()
    }

    /// One step that somebody thought of just now. What else happens meanwhile is not its failure.
    pub async fn by_hand(&self, step: &Step) -> Result<(), Reported> {
        steps::run_by_hand(&self.context, step).await.map_err(|failure| self.report(&failure))
    }

    /// Keeps the world alive: revives crashed operators, asks the judges. Call it a few times per second.
    pub async fn tick(&self) -> Result<(), Reported> {
        steps::settle(&self.context).await.map_err(|failure| self.report(&failure))
    }

    /// Ends what runs, the operator first.
    pub async fn close(self) {
        self.context.world.close().await;
    }

    fn report(&self, failure: &Failure) -> Reported {
        failure.report(self.context.world.clock.now())
    }
}
