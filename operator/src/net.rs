//! Reads from the error chain of an HTTP client why no answer came.

use std::error::Error;
use std::io::ErrorKind;

use crate::flink::Unanswered;

/// The kind given by the outermost cause that says something; HTTP clients wrap what the socket said.
pub(crate) fn classify(error: &(dyn Error + 'static)) -> Unanswered {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && let Some(why) = classify_io(io.kind())
        {
            return why;
        }
        if let Some(h) = e.downcast_ref::<hyper::Error>() {
            if h.is_timeout() {
                return Unanswered::Timeout;
            }
            if h.is_incomplete_message() || h.is_canceled() || h.is_closed() {
                return Unanswered::Reset;
            }
        }
        // The connector's own error type is private; its text for a failed look-up is fixed.
        if e.to_string().starts_with("dns error") {
            return Unanswered::Dns;
        }
        cause = e.source();
    }
    Unanswered::Protocol
}

fn classify_io(kind: ErrorKind) -> Option<Unanswered> {
    match kind {
        ErrorKind::ConnectionRefused => Some(Unanswered::Refused),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Some(Unanswered::Reset),
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Some(Unanswered::Timeout)
        }
        _ => None,
    }
}

/// The text of the innermost cause.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut e = error;
    while let Some(source) = e.source() {
        e = source;
    }
    e.to_string()
}
