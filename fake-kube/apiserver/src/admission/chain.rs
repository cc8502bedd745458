//! The walk of one write through the webhooks: mutating ones in order, again where they asked for it, validating ones
//! last (apiserver, pkg/admission/plugin/webhook/{mutating,validating}).

use std::collections::BTreeSet;
use std::sync::Arc;

use fake_kube_schema::patch;
use jiff::Timestamp;
use serde_json::Value;

use super::asking::{Answered, Question};
use super::hooks::Hook;
use super::matching::{converted, is_exempt};
use super::review::{self, Verdict};
use crate::resource::Definition;
use crate::server::State;
use crate::status::{Result, Status};
use crate::write::Call;

/// Questions one request may raise: beyond it the state changes faster than webhooks answer.
const QUESTIONS_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }

    /// None: it has no options beside what it is about.
    pub(crate) fn options_kind(self) -> Option<&'static str> {
        match self {
            Operation::Create => Some("CreateOptions"),
            Operation::Update => Some("UpdateOptions"),
            Operation::Delete => Some("DeleteOptions"),
            Operation::Connect => None,
        }
    }
}

/// What webhooks are asked about.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) operation: Operation,
    pub(crate) object: Option<&'a Value>,
    pub(crate) old: Option<&'a Value>,
}

/// What a write was told so far, and what it made up: it makes up the same when it runs again.
#[derive(Default)]
pub(crate) struct Reviews {
    /// Webhook, what it was asked about, its answer.
    answers: Vec<(Known, Option<Answered>)>,
    used: usize,
    raised: usize,
    pub(crate) question: Option<Question>,
    drawn: Vec<String>,
    drawn_used: usize,
    /// The time of the first run: that of all.
    began: Option<Timestamp>,
}

/// Which question an answer is to.
#[derive(PartialEq)]
struct Known {
    hook: String,
    round: u8,
    uid: String,
    review: Value,
}

impl Reviews {
    /// The answer to the question that was raised last.
    pub(crate) fn answered(&mut self, answer: Answered) {
        if let Some((_, last)) = self.answers.last_mut() {
            *last = Some(answer);
        }
    }

    /// The write begins or runs again, at this time.
    pub(crate) fn begin(&mut self, now: Timestamp) -> Timestamp {
        (self.used, self.drawn_used, self.question) = (0, 0, None);
        *self.began.get_or_insert(now)
    }

    /// A value the first run draws and later runs repeat.
    pub(crate) fn draw(&mut self, make: impl FnOnce() -> String) -> String {
        if self.drawn_used == self.drawn.len() {
            self.drawn.push(make());
        }
        self.drawn_used += 1;
        self.drawn[self.drawn_used - 1].clone()
    }
}

/// One round of mutating webhooks.
struct Round<'a> {
    number: u8,
    /// In the second round only these are called.
    only: Option<&'a BTreeSet<String>>,
}

impl State {
    /// Mutating webhooks: the object as they leave it. `settle` makes a mutated object whole again: pruned, defaulted.
    pub(crate) fn mutate(
        &mut self,
        call: &mut Call,
        operation: Operation,
        object: Value,
        old: Option<&Value>,
        settle: impl Fn(&mut Value),
    ) -> Result<Value> {
        let hooks = self.hooks();
        if hooks.mutating.is_empty() || is_exempt(call) {
            return Ok(object);
        }
        let first = Round { number: 0, only: None };
        let (object, again) =
            self.mutate_once(call, &hooks.mutating, operation, object, old, &settle, first)?;
        if again.is_empty() {
            return Ok(object);
        }
        let second = Round { number: 1, only: Some(&again) };
        Ok(self.mutate_once(call, &hooks.mutating, operation, object, old, &settle, second)?.0)
    }

    /// The object, and the webhooks that want to see it again since others changed it after them.
    #[expect(clippy::too_many_arguments, reason = "one call of a private step")]
    fn mutate_once(
        &mut self,
        call: &mut Call,
        hooks: &[Hook],
        operation: Operation,
        mut object: Value,
        old: Option<&Value>,
        settle: &impl Fn(&mut Value),
        round: Round<'_>,
    ) -> Result<(Value, BTreeSet<String>)> {
        let (mut seen, mut again) = (BTreeSet::new(), BTreeSet::new());
        for hook in hooks.iter().filter(|h| round.only.is_none_or(|only| only.contains(&h.id))) {
            let asked = Asked { operation, object: Some(&object), old };
            let Some((def, patch)) = self.call_hook(call, hook, &asked, round.number, true)? else {
                continue;
            };
            if patch.as_array().is_some_and(|operations| !operations.is_empty()) {
                let shown = converted(&object, &call.def, &def);
                let patched = patch::json(&shown, &patch).map_err(Status::internal)?;
                if !patched.get("metadata").is_some_and(Value::is_object) {
                    return Err(Status::internal("the patched object has no metadata"));
                }
                let mut patched = converted(&patched, &def, &call.def);
                settle(&mut patched);
                if patched != object {
                    again.extend(std::mem::take(&mut seen));
                    object = patched;
                }
            }
            if hook.reinvoke {
                seen.insert(hook.id.clone());
            }
        }
        Ok((object, again))
    }

    /// Whether any webhook is configured: what does not concern the many servers without must cost them nothing.
    pub(crate) fn has_hooks(&mut self) -> bool {
        !self.hooks().is_empty()
    }

    /// A uid, the same one when the write runs again.
    pub(crate) fn new_uid(&mut self, call: &mut Call) -> String {
        if self.has_hooks() { call.reviews.draw(|| self.seeded.uid()) } else { self.seeded.uid() }
    }

    /// What `generateName` appends, the same when the write runs again.
    pub(crate) fn new_suffix(&mut self, call: &mut Call) -> String {
        if self.has_hooks() { call.reviews.draw(|| self.seeded.suffix()) } else { self.seeded.suffix() }
    }

    /// Webhooks that can only refuse, for an operation of any kind. Those that mutate are asked too when there is
    /// nothing to mutate (`with_mutating`): a delete, a subresource.
    pub(crate) fn review_only(
        &mut self,
        call: &mut Call,
        asked: &Asked<'_>,
        with_mutating: bool,
    ) -> Result<()> {
        let hooks = self.hooks();
        if hooks.is_empty() || is_exempt(call) {
            return Ok(());
        }
        for hook in hooks.mutating.iter().filter(|_| with_mutating) {
            let answered = self.call_hook(call, hook, asked, 0, true)?;
            let is_patched = answered.is_some_and(|(_, p)| p.as_array().is_some_and(|o| !o.is_empty()));
            if is_patched && asked.object.is_none() {
                return Err(Status::internal(format!(
                    "admission webhook \"{}\" attempted to modify the object, which is not supported for this operation",
                    hook.name
                )));
            }
        }
        self.check_policies(call, &hooks.policies, asked)?;
        // The real server calls them at once and reports the first that refuses; here the first is the first in order.
        for hook in &hooks.validating {
            self.call_hook(call, hook, asked, 0, false)?;
        }
        Ok(())
    }

    /// Asks one webhook. None: it is not concerned, or its failure is ignored; otherwise the version it was shown and its
    /// patch, null without one.
    fn call_hook(
        &mut self,
        call: &mut Call,
        hook: &Hook,
        asked: &Asked<'_>,
        round: u8,
        mutating: bool,
    ) -> Result<Option<(Arc<Definition>, Value)>> {
        let Some(invocation) = self.invocation(call, hook, asked)? else { return Ok(None) };
        if call.options.dry_run && !hook.dry_run {
            return Err(Status::bad_request(format!(
                "admission webhook \"{}\" does not support dry run",
                hook.name
            )));
        }
        let Some(version) = hook.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return failed(hook, why);
        };
        let uid = call.reviews.draw(|| self.seeded.uid());
        let question = review::question(call, hook, version, &invocation, asked, &uid);
        let Some(answer) = call.reviews.answer(hook, round, uid.clone(), question)? else {
            return Err(Status::internal("a webhook is being asked"));
        };
        match review::verdict(&answer, &uid, version, mutating) {
            Verdict::Allowed { patch, warnings } => {
                call.warnings.extend(warnings);
                Ok(Some((invocation.def, patch.unwrap_or_default())))
            }
            Verdict::Denied { status, warnings } => {
                call.warnings.extend(warnings);
                Err(denied(&hook.name, &status))
            }
            Verdict::Failed(why) => failed(hook, &why),
        }
    }
}

impl Reviews {
    /// The answer to a question; None once the question is raised instead.
    fn answer(
        &mut self,
        hook: &Hook,
        round: u8,
        uid: String,
        question: Question,
    ) -> Result<Option<Answered>> {
        let known = Known { hook: hook.id.clone(), round, uid, review: question.review.clone() };
        match self.answers.get(self.used) {
            Some((k, Some(answer))) if *k == known => {
                self.used += 1;
                return Ok(Some(answer.clone()));
            }
            // Overtaken: from here on things are different.
            Some(_) => self.answers.truncate(self.used),
            None => {}
        }
        self.raised += 1;
        if self.raised > QUESTIONS_MAX {
            return Err(Status::internal("the object changes faster than webhooks can be asked about it"));
        }
        self.answers.push((known, None));
        self.question = Some(question);
        Ok(None)
    }
}

fn failed<T>(hook: &Hook, why: &str) -> Result<Option<T>> {
    if hook.ignore_failures {
        return Ok(None);
    }
    let text = format!("failed calling webhook \"{}\": {why}", hook.name);
    Err(Status::internal(text))
}

/// A denial keeps what the webhook's status says; code and message are made presentable.
fn denied(name: &str, status: &Value) -> Status {
    let text = |key: &str| status[key].as_str().unwrap_or("");
    let by = format!("admission webhook \"{name}\" denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = status["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(0).max(400);
    let out = Status::new(code, text("reason"), message);
    match status.get("details") {
        Some(details) if details.is_object() => out.details(details.clone()),
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn denials_are_made_presentable() {
        let check = |status: Value, expected: (u16, &str)| {
            let got = denied("w", &status);
            assert_eq!((got.code, got.message.as_str()), expected, "{status}");
        };
        check(Value::Null, (400, "admission webhook \"w\" denied the request without explanation"));
        check(json!({"message": "no", "code": 200}), (400, "admission webhook \"w\" denied the request: no"));
        check(
            json!({"reason": "Forbidden", "code": 403}),
            (403, "admission webhook \"w\" denied the request: Forbidden"),
        );
    }

    #[test]
    fn what_was_drawn_is_drawn_again() {
        let mut reviews = Reviews::default();
        let mut n = 0;
        let mut next = || {
            n += 1;
            n.to_string()
        };
        assert_eq!((reviews.draw(&mut next), reviews.draw(&mut next)), ("1".to_owned(), "2".to_owned()));
        reviews.begin(Timestamp::UNIX_EPOCH);
        assert_eq!(reviews.draw(&mut next), "1");
        assert_eq!(reviews.draw(&mut next), "2");
        assert_eq!(reviews.draw(&mut next), "3");
    }
}
