//! Asking: who calls webhooks, with which time limit, and how writes wait for what they say.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use serde_json::Value;

use super::Reviews;
use crate::server::ApiServer;

/// What a webhook is to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// `clientConfig` of the webhook: `url` or `service`, and `caBundle`.
    pub client: Value,
    /// Path and query, `/validate?timeout=10s`.
    pub path: String,
    /// The whole address as error texts show it.
    pub url: String,
    /// The AdmissionReview.
    pub review: Value,
    pub timeout: Duration,
}

/// A webhook's answer before anybody looked at it: HTTP status and body, or why there is none, in the words of Go's
/// dialer: `dial tcp 127.0.0.1:1: connect: connection refused`.
pub type Answered = std::result::Result<(u16, Bytes), String>;

/// Carries questions to webhooks: an HTTPS client, or handlers in this process.
pub trait Webhooks: Send + Sync {
    /// The call. It is dropped when the time limit is over.
    fn call(&self, question: &Question) -> BoxFuture<'static, Answered>;
}

/// Calls that nobody waits for under way at once: those of clients that cannot wait.
const PENDING_MAX: usize = 256;

/// A write of a client that cannot wait, between the question and the answer.
pub(crate) struct Pending {
    /// Which write it is: the same client trying the same again goes on where it stopped.
    key: String,
    reviews: Reviews,
    call: Option<BoxFuture<'static, Answered>>,
}

impl ApiServer {
    /// Who calls webhooks. Without anybody every call fails, and failure policies decide.
    pub fn set_webhooks(&self, webhooks: Arc<dyn Webhooks>) {
        *self.shared.webhooks.write().unwrap_or_else(PoisonError::into_inner) = Some(webhooks);
    }

    /// Asks, within the time limit.
    pub(crate) fn ask(&self, question: &Question) -> BoxFuture<'static, Answered> {
        let webhooks = self.shared.webhooks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(webhooks) = webhooks else {
            return Box::pin(std::future::ready(Err(format!(
                "Post \"{}\": no webhook can be called from here",
                question.url
            ))));
        };
        let call = webhooks.call(question);
        let limit = jiff::SignedDuration::try_from(question.timeout).unwrap_or(jiff::SignedDuration::MAX);
        let until = self.now().checked_add(limit).unwrap_or(jiff::Timestamp::MAX);
        let clock = self.shared.clock.clone();
        let url = question.url.clone();
        Box::pin(async move {
            match select(call, clock.sleep_until(until)).await {
                Either::Left((answer, _)) => answer.map_err(|why| format!("Post \"{url}\": {why}")),
                Either::Right(_) => Err(format!("Post \"{url}\": context deadline exceeded")),
            }
        })
    }

    /// For a client that cannot wait: the answer if it is there at once. Otherwise the call goes on, in
    /// [`ApiServer::poll_webhooks`], and the write fails for now.
    pub(crate) fn ask_at_once(&self, key: &str, question: &Question, reviews: Reviews) -> Option<Reviews> {
        let mut call = self.ask(question);
        let mut reviews = reviews;
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                reviews.answered(answer);
                Some(reviews)
            }
            Poll::Pending => {
                let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
                pending.retain(|p| p.key != key);
                if pending.len() >= PENDING_MAX {
                    pending.remove(0);
                }
                pending.push(Pending { key: key.to_owned(), reviews, call: Some(call) });
                None
            }
        }
    }

    /// What is known already of a write that was tried before: None while its webhook has not answered.
    pub(crate) fn resume(&self, key: &str) -> Option<Reviews> {
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = pending.iter().position(|p| p.key == key) else { return Some(Reviews::default()) };
        if pending[at].call.is_some() {
            return None;
        }
        Some(pending.remove(at).reviews)
    }

    /// Drives the calls that clients in this process wait for without waiting. True when one of them ended: the write
    /// can be tried again.
    pub fn poll_webhooks(&self, cx: &mut Context<'_>) -> bool {
        let lock = || self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *lock());
        let mut ended = false;
        // Unlocked: a handler in this process may write, too.
        for p in &mut taken {
            let Some(call) = &mut p.call else { continue };
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                p.call = None;
                p.reviews.answered(answer);
                ended = true;
            }
        }
        let mut pending = lock();
        taken.append(&mut pending);
        *pending = taken;
        ended
    }
}
