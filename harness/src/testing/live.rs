//! What a closure of a scenario holds: the running world, seen as a user sees it, and handles to what is in it. Waiting
//! here lets scenario time pass, and the judges look meanwhile.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use drey_language::duration;
use drey_language::events::{Kind, Lane};
use drey_language::files::Memory;
use drey_language::scenario::parse_with;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::flink::Flink;
use super::scenario::dedented;
use crate::run::{Context, Failure, play_steps, settle, vocabulary};
use crate::world::hands::{PatchStyle, Reply};
use crate::world::kinds::{self, KindInfo};

/// What a closure answers. Any error can be passed on with `?`.
pub type HookResult<T = ()> = Result<T, HookError>;

/// Why a closure ends the scenario.
pub struct HookError(Box<Failure>);

impl HookError {
    /// A reason of one's own.
    pub fn new(text: impl Into<String>) -> HookError {
        HookError(Box::new(Failure::new(text)))
    }

    pub(super) fn of(failure: Failure) -> HookError {
        HookError(Box::new(failure))
    }

    pub(super) fn failure(self) -> Failure {
        *self.0
    }
}

/// As `anyhow` has it: this type is no `Error` itself, so that every error can become one.
impl<E: std::error::Error> From<E> for HookError {
    fn from(error: E) -> HookError {
        HookError::new(error.to_string())
    }
}

impl fmt::Debug for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.expected)?;
        self.0.lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// The running world.
pub struct Live<'w> {
    context: &'w Context,
}

impl<'w> Live<'w> {
    pub(super) fn new(context: &'w Context) -> Live<'w> {
        Live { context }
    }

    /// Scenario time since the scenario began.
    pub fn elapsed(&self) -> Duration {
        self.context.world.clock.elapsed()
    }

    /// Lets scenario time pass.
    pub async fn advance(&self, span: Duration) -> HookResult {
        self.step(&format!("advance: {}", json!(duration::format(span)))).await
    }

    /// Carries out a step of the scenario language: `crashOperator: {}`.
    pub async fn step(&self, yaml: &str) -> HookResult {
        // Read as a scenario of its own, so that it is checked like any other.
        let steps: String = dedented(yaml).lines().map(|line| format!("    {line}\n")).collect();
        let steps = steps.replacen("    ", "  - ", 1);
        let head = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: step}\n";
        let files = Memory::default().with("step", format!("{head}steps:\n{steps}"));
        let scenario = parse_with("step".as_ref(), &vocabulary(), &files);
        let scenario = scenario.map_err(|problems| HookError::new(problems.to_string()))?;
        let steps = scenario.cases.iter().flat_map(|case| &case.steps).cloned().collect::<Vec<_>>();
        play_steps(self.context, &steps).await.map_err(|mut failure| {
            // Its place is the closure's.
            failure.span = None;
            HookError::of(failure)
        })
    }

    /// An object of a Rust type, of that kind: `live.typed::<FlinkDeployment>("clicks")`. A name may carry its
    /// namespace: `other/clicks`.
    pub fn typed<T: kube::Resource<DynamicType = ()> + DeserializeOwned>(&self, name: &str) -> Object<'w, T> {
        self.handle(&T::kind(&()), name)
    }

    /// An object by kind and name, as JSON: `live.object("ConfigMap/settings")`.
    pub fn object(&self, kind_and_name: &str) -> Object<'w, Value> {
        let (kind, name) = kind_and_name.split_once('/').unwrap_or((kind_and_name, ""));
        self.handle(kind, name)
    }

    fn handle<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Object<'w, T> {
        let own = self.context.world.hands.namespace.as_str();
        let (namespace, name) = name.split_once('/').unwrap_or((own, name));
        Object {
            context: self.context,
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            of: PhantomData,
        }
    }

    /// The Flink cluster of a FlinkDeployment: what is true inside it, and what may break.
    pub fn flink(&self, name: &str) -> Flink<'w> {
        Flink::new(self.context, self.context.cluster(name))
    }

    /// A line in the transcript.
    pub fn note(&self, text: impl Into<String>) {
        self.context.journal(Lane::User, Kind::Note, None, text);
    }
}

/// An object on the server, there or not.
pub struct Object<'w, T> {
    context: &'w Context,
    kind: String,
    namespace: String,
    name: String,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Object<'_, T> {
    fn info(&self) -> HookResult<&'static KindInfo> {
        let unknown = || HookError::new(format!("kind {} is not known to the harness", self.kind));
        kinds::find(&self.kind).ok_or_else(unknown)
    }

    fn read(&self, value: Value) -> HookResult<T> {
        serde_json::from_value(value)
            .map_err(|error| HookError::new(format!("read {self} as the type that was asked for: {error}")))
    }

    fn answered(&self, deed: &str, reply: Reply) -> HookResult<Value> {
        match reply.is_success() {
            true => Ok(reply.body),
            false => Err(HookError::new(format!("{deed} {self}: {}", reply.refusal()))),
        }
    }

    /// As it is now; `None` when it does not exist.
    pub async fn find(&self) -> HookResult<Option<T>> {
        let found = self.context.world.hands.get(self.info()?, &self.namespace, &self.name).await?;
        found.map(|value| self.read(value)).transpose()
    }

    /// As it is now; an error when it does not exist.
    pub async fn get(&self) -> HookResult<T> {
        self.find().await?.ok_or_else(|| HookError::new(format!("{self} does not exist")))
    }

    /// A merge patch, as a user; answers the object after it.
    pub async fn patch(&self, merge: Value) -> HookResult<T> {
        self.send_patch(None, merge).await
    }

    /// A merge patch of the status, as somebody who has no business there.
    pub async fn patch_status(&self, merge: Value) -> HookResult<T> {
        self.send_patch(Some("status"), merge).await
    }

    async fn send_patch(&self, subresource: Option<&str>, merge: Value) -> HookResult<T> {
        let hands = &self.context.world.hands;
        let reply = hands
            .patch(self.info()?, &self.namespace, &self.name, subresource, PatchStyle::Merge, &merge)
            .await?;
        self.read(self.answered("patch", reply)?)
    }

    pub async fn delete(&self) -> HookResult {
        let hands = &self.context.world.hands;
        let reply = hands.delete(self.info()?, &self.namespace, &self.name, &json!({})).await?;
        self.answered("delete", reply).map(drop)
    }

    /// Waits until the object is there and fits, and answers it.
    pub async fn eventually(&self, within: Duration, fits: impl Fn(&T) -> bool) -> HookResult<T> {
        let deadline = self.context.deadline(within);
        loop {
            let found = self.find().await?;
            if let Some(object) = found.filter(|object| fits(object)) {
                return Ok(object);
            }
            let left = deadline.saturating_sub(self.context.world.clock.elapsed());
            if left.is_zero() {
                return Err(self.too_late(within).await?);
            }
            self.context.wait_for_change(left).await;
            settle(self.context).await.map_err(HookError::of)?;
        }
    }

    async fn too_late(&self, within: Duration) -> HookResult<HookError> {
        let last = self.context.world.hands.get(self.info()?, &self.namespace, &self.name).await?;
        let last = match last {
            Some(object) => format!("its status is {}", object["status"]),
            None => "it does not exist".to_owned(),
        };
        let failure = Failure {
            object: Some(self.to_string()),
            within: Some(within),
            ..Failure::new("it fits what the closure asks for")
        };
        Ok(HookError::of(failure.line(last)))
    }

    /// Waits until it does not exist any more.
    pub async fn gone(&self, within: Duration) -> HookResult {
        let deadline = self.context.deadline(within);
        while self.context.world.hands.get(self.info()?, &self.namespace, &self.name).await?.is_some() {
            let left = deadline.saturating_sub(self.context.world.clock.elapsed());
            if left.is_zero() {
                let failure =
                    Failure { within: Some(within), ..Failure::new(format!("{self} does not exist")) };
                return Err(HookError::of(failure));
            }
            self.context.wait_for_change(left).await;
            settle(self.context).await.map_err(HookError::of)?;
        }
        Ok(())
    }

    /// Every state it was given so far, oldest first: what a test that looks now and then would miss.
    pub fn history(&self) -> HookResult<Vec<T>> {
        let states = self.context.records.all_states(self.info()?, &self.namespace, &self.name);
        states.into_iter().map(|state| self.read(state.as_ref().clone())).collect()
    }
}

/// `FlinkDeployment/clicks`.
impl<T> fmt::Display for Object<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
