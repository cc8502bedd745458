//! What a handler answers, before it is rendered, and the body type of the HTTP face.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use serde_json::Value;

use crate::pages::Pages;
use crate::pods::LogStream;
use crate::resource::Definition;
use crate::service::ConnectionCut;
use crate::store::Stored;
use crate::watch::WatchStream;

/// An object on its way out: a stored one (whose JSON is cached) or one that was never stored.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Stored(Arc<Stored>),
    Loose(Arc<Value>),
}

impl Shown {
    pub(crate) fn value(&self) -> Arc<Value> {
        match self {
            Shown::Stored(s) => s.value(),
            Shown::Loose(v) => v.clone(),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Shown>,
    pub(crate) revision: u64,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

pub(crate) enum Answer {
    Object {
        code: u16,
        def: Arc<Definition>,
        object: Shown,
    },
    /// JSON of another kind than the resource asked: Status, Scale, TokenRequest, reviews.
    Value {
        code: u16,
        value: Value,
    },
    List {
        def: Arc<Definition>,
        page: Page,
    },
}

/// The body of an answer.
pub struct ApiBody(Kind);

enum Kind {
    Full(Option<Bytes>),
    Watch(Box<WatchStream>),
    Log(LogStream),
    Pages(Box<Pages>),
}

impl ApiBody {
    pub(crate) fn pages(pages: Pages) -> ApiBody {
        ApiBody(Kind::Pages(Box::new(pages)))
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> ApiBody {
        let bytes = bytes.into();
        ApiBody(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }

    pub(crate) fn watch(stream: Box<WatchStream>) -> ApiBody {
        ApiBody(Kind::Watch(stream))
    }

    pub(crate) fn log(stream: LogStream) -> ApiBody {
        ApiBody(Kind::Log(stream))
    }
}

impl http_body::Body for ApiBody {
    type Data = Bytes;
    type Error = ConnectionCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionCut>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Kind::Watch(stream) => stream.poll_chunk(cx).map(|c| c.map(|r| r.map(Frame::data))),
            Kind::Log(stream) => stream.as_mut().poll_next(cx).map(|c| c.map(|b| Ok(Frame::data(b)))),
            Kind::Pages(pages) => Poll::Ready(pages.next().map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Pages(pages) => pages.is_done(),
            Kind::Watch(_) | Kind::Log(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Pages(pages) => SizeHint::with_exact(pages.left() as u64),
            Kind::Watch(_) | Kind::Log(_) => SizeHint::default(),
        }
    }
}
