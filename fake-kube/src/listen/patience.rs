//! How long the listener waits for its clients: for a request on a connection, and for the body of one. What trickles in
//! byte by byte is no request. Leaves out the TLS handshake, which has a bound of its own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Sleep;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A connection without a request under way is closed after this.
    pub idle: Duration,
    /// A body must be whole by then.
    pub body: Duration,
}

impl Default for Patience {
    /// kube-apiserver closes idle connections after 90 seconds (pkg/server/secure_serving.go) and gives a request a
    /// minute (`--request-timeout`).
    fn default() -> Patience {
        Patience { idle: Duration::from_secs(90), body: Duration::from_secs(60) }
    }
}

/// The requests under way on one connection.
#[derive(Clone)]
pub(super) struct Activity(watch::Sender<usize>);

/// One of them: from its head to the last byte of its answer.
pub(super) struct UnderWay(Activity);

impl Activity {
    pub(super) fn new() -> Activity {
        Activity(watch::channel(0).0)
    }

    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_modify(|n| *n += 1);
        UnderWay(self.clone())
    }

    /// Completes when nothing has been under way for so long.
    pub(super) async fn idle(&self, max: Option<Duration>) {
        let Some(max) = max else { return std::future::pending().await };
        let mut known = self.0.subscribe();
        loop {
            let is_idle = *known.borrow_and_update() == 0;
            tokio::select! {
                () = tokio::time::sleep(max), if is_idle => return,
                // The sender lives in `self`.
                _ = known.changed() => {}
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|n| *n -= 1);
    }
}

/// The body of an answer, and the request it belongs to.
pub(super) struct Answering<B> {
    pub(super) body: B,
    pub(super) _request: UnderWay,
}

impl<B: http_body::Body + Unpin> http_body::Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, which must come in time.
pub(super) struct Timely<B> {
    body: B,
    late: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub(super) fn new(body: B, max: Option<Duration>) -> Timely<B> {
        Timely { body, late: max.map(|max| Box::pin(tokio::time::sleep(max))) }
    }
}

impl<B> http_body::Body for Timely<B>
where
    B: http_body::Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        match self.late.as_mut().map(|late| late.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Some(Err("i/o timeout".into()))),
            _ => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
