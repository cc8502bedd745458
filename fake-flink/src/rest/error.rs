//! Error answers: one string for 4xx, two for 500, and the texts that start with exception classes.

use super::json_response;
use crate::throwable::{Throwable, class};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::json;

#[derive(Debug)]
pub(crate) enum RestError {
    /// Expected trouble: the trace of a RestHandlerException or NotFoundException.
    Handler { status: StatusCode, cause: Throwable },
    /// Unexpected trouble, 500.
    Server(Throwable),
    /// Router errors carry no class name.
    Plain { status: StatusCode, message: String },
    /// Nor do those of files and uploads, and no header that lets other origins read them.
    Bare { status: StatusCode, message: String },
}

impl RestError {
    pub fn plain(status: StatusCode, message: impl Into<String>) -> RestError {
        RestError::Plain { status, message: message.into() }
    }

    pub fn bare(status: StatusCode, message: impl Into<String>) -> RestError {
        RestError::Bare { status, message: message.into() }
    }

    pub fn into_response(self) -> Response<Bytes> {
        match self {
            RestError::Handler { status, cause } => {
                json_response(status, &json!({"errors": [cause.trace()]}))
            }
            RestError::Plain { status, message } => json_response(status, &json!({"errors": [message]})),
            RestError::Bare { status, message } => {
                let mut response = json_response(status, &json!({"errors": [message]}));
                response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                response
            }
            RestError::Server(cause) => {
                let text = format!(
                    "<Exception on server side:\n{}\nEnd of exception on server side>",
                    cause.trace()
                );
                json_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &json!({"errors": ["Internal server error.", text]}),
                )
            }
        }
    }
}

pub(crate) fn rest(status: StatusCode, message: impl Into<String>) -> RestError {
    RestError::Handler { status, cause: Throwable::new(class::REST_HANDLER, message) }
}

pub(crate) fn rest_caused(status: StatusCode, message: impl Into<String>, by: Throwable) -> RestError {
    RestError::Handler { status, cause: Throwable::new(class::REST_HANDLER, message).caused_by(by) }
}

pub(crate) fn not_found(message: impl Into<String>) -> RestError {
    RestError::Handler { status: StatusCode::NOT_FOUND, cause: Throwable::new(class::NOT_FOUND, message) }
}

/// `Cannot resolve path parameter (jobid) from value "abc".`
pub(crate) fn bad_parameter(place: &str, name: &str, value: &str) -> RestError {
    let text = format!("Cannot resolve {place} parameter ({name}) from value \"{value}\".");
    let cause = Throwable::new(class::HANDLER_REQUEST, text.clone());
    rest_caused(StatusCode::BAD_REQUEST, format!("Bad request, could not parse parameters: {text}"), cause)
}

pub(crate) fn job_missing(job: &str) -> RestError {
    let cause = Throwable::new(class::NOT_FOUND, format!("Job {job} not found"))
        .caused_by(crate::throwable::job_not_found(job));
    RestError::Handler { status: StatusCode::NOT_FOUND, cause }
}
