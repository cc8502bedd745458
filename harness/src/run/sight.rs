//! What a waiting step sees. It looks every fifth of a second of scenario time, so what cannot have changed since the
//! last look is not asked for again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::context::Context;
use super::failure::Failure;
use crate::modes::Mode;
use crate::world::World;
use crate::world::kinds::KindInfo;

/// How often objects of each kind have changed, by plural.
#[derive(Clone, Default)]
pub struct Changes(Arc<Mutex<BTreeMap<String, u64>>>);

impl Changes {
    pub fn watch(&self, world: &World) {
        let changes = self.clone();
        world.watcher.on_change(move |change| changes.count(&change.resource.plural));
    }

    fn count(&self, plural: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(plural) {
            Some(count) => *count += 1,
            None => drop(counts.insert(plural.to_owned(), 1)),
        }
    }

    fn of(&self, plural: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(plural).copied().unwrap_or_default()
    }
}

/// What is looked at, and what was seen.
pub struct Sight<'a> {
    info: &'static KindInfo,
    namespace: &'a str,
    name: Option<&'a str>,
    /// The count of changes before the look, and what the server answered.
    seen: Option<(u64, Vec<Value>)>,
}

impl<'a> Sight<'a> {
    pub fn of_one(info: &'static KindInfo, namespace: &'a str, name: &'a str) -> Sight<'a> {
        Sight { info, namespace, name: Some(name), seen: None }
    }

    pub fn of_all(info: &'static KindInfo, namespace: &'a str) -> Sight<'a> {
        Sight { info, namespace, name: None, seen: None }
    }

    /// The objects as they are now: one or none when one was named.
    pub async fn look(&mut self, context: &Context) -> Result<&[Value], Failure> {
        let count = context.changes.of(self.info.plural);
        if self.is_stale(context, count) {
            self.seen = Some((count, self.ask(context).await?));
        }
        Ok(self.seen.as_ref().map_or(&[], |(_, objects)| objects))
    }

    /// A real cluster tells its changes when it likes: there every look is a request.
    fn is_stale(&self, context: &Context, count: u64) -> bool {
        context.place.mode() == Mode::Cluster || self.seen.as_ref().is_none_or(|(seen, _)| *seen != count)
    }

    async fn ask(&self, context: &Context) -> Result<Vec<Value>, Failure> {
        let hands = &context.world.hands;
        Ok(match self.name {
            Some(name) => hands.get(self.info, self.namespace, name).await?.into_iter().collect(),
            None => hands.list(self.info, self.namespace).await?,
        })
    }
}
