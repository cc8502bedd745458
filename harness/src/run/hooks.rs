//! What a test does between the steps of a scenario: async closures, carried out on the scenario's thread as steps of
//! their own. Leaves out: what a closure may do with the world; that is `testing::live`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_language::scenario::Step;
use drey_language::vocabulary::{StepKind, StepSchema, Type};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::context::Context;
use super::failure::Failure;

/// The word by which a scenario that a program wrote names a closure. No file can say it.
pub(crate) const WORD: &str = "hook";

pub(crate) type Hook = Box<dyn for<'c> FnOnce(&'c Context) -> LocalBoxFuture<'c, Result<(), Failure>> + Send>;

/// The closures of a scenario by name, each to be called once. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Arc<Mutex<BTreeMap<String, Hook>>>);

impl Hooks {
    pub fn add(&self, name: String, hook: Hook) {
        self.lock().insert(name, hook);
    }

    fn take(&self, name: &str) -> Option<Hook> {
        self.lock().remove(name)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Hook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn word() -> StepSchema {
    let doc = "A closure of the test that made this scenario.";
    StepSchema::new(StepKind::Action, WORD, Type::Text, doc, "hook: look around")
}

/// Calls the closure. One that panics has failed; one that never ends fails when the scenario's time is up.
pub(super) async fn run(context: &Context, step: &Step) -> Result<(), Failure> {
    let name = step.args.as_text().unwrap_or_default();
    let Some(hook) = context.hooks.take(name) else {
        return Err(Failure::new(format!("the hook `{name}` is called once")));
    };
    let left = context.limit.saturating_sub(context.world.clock.elapsed());
    tokio::select! {
        // In this order, so that a run is the same each time.
        biased;
        ended = AssertUnwindSafe(hook(context)).catch_unwind() => {
            ended.unwrap_or_else(|panic| Err(Failure::new(text_of(panic.as_ref()))))
        }
        () = context.world.clock.sleep(left) => {
            Err(Failure::new(format!("the hook `{name}` ends before the scenario's time is up")))
        }
    }
}

/// What a panic said.
pub(crate) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
