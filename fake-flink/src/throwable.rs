//! Java exceptions as values: class, message, cause, and the texts the REST API makes of them.
//!
//! Traces carry the class and message lines exactly; below each stands one frame for the many a real trace has.

use crate::java;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub mod class {
    pub const REST_HANDLER: &str = "org.apache.flink.runtime.rest.handler.RestHandlerException";
    pub const HANDLER_REQUEST: &str = "org.apache.flink.runtime.rest.handler.HandlerRequestException";
    pub const NOT_FOUND: &str = "org.apache.flink.runtime.rest.NotFoundException";
    pub const JOB_NOT_FOUND: &str = "org.apache.flink.runtime.messages.FlinkJobNotFoundException";
    pub const COMPLETION: &str = "java.util.concurrent.CompletionException";
    pub const CHECKPOINT: &str = "org.apache.flink.runtime.checkpoint.CheckpointException";
    pub const FLINK: &str = "org.apache.flink.util.FlinkException";
    pub const FLINK_RUNTIME: &str = "org.apache.flink.util.FlinkRuntimeException";
    pub const JOB: &str = "org.apache.flink.runtime.JobException";
    pub const JOB_INITIALIZATION: &str = "org.apache.flink.runtime.client.JobInitializationException";
    pub const DUPLICATE_JOB: &str = "org.apache.flink.runtime.client.DuplicateJobSubmissionException";
    pub const PROGRAM_INVOCATION: &str = "org.apache.flink.client.program.ProgramInvocationException";
    pub const ILLEGAL_STATE: &str = "java.lang.IllegalStateException";
    pub const ILLEGAL_ARGUMENT: &str = "java.lang.IllegalArgumentException";
    pub const NULL_POINTER: &str = "java.lang.NullPointerException";
    pub const UNSUPPORTED: &str = "java.lang.UnsupportedOperationException";
    pub const RUNTIME: &str = "java.lang.RuntimeException";
    pub const IO: &str = "java.io.IOException";
    pub const FILE_NOT_FOUND: &str = "java.io.FileNotFoundException";
    pub const FS_SCHEME: &str = "org.apache.flink.core.fs.UnsupportedFileSystemSchemeException";
    pub const UNKNOWN_TASK_EXECUTOR: &str =
        "org.apache.flink.runtime.resourcemanager.exceptions.UnknownTaskExecutorException";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throwable {
    pub class: String,
    pub message: Option<String>,
    pub cause: Option<Box<Throwable>>,
}

impl Throwable {
    pub fn new(class: &str, message: impl Into<String>) -> Throwable {
        Throwable { class: class.to_owned(), message: Some(message.into()), cause: None }
    }

    pub fn bare(class: &str) -> Throwable {
        Throwable { class: class.to_owned(), message: None, cause: None }
    }

    pub fn caused_by(mut self, cause: Throwable) -> Throwable {
        self.cause = Some(Box::new(cause));
        self
    }

    /// `new X(cause)`: Java takes the cause's text as message.
    pub fn wrap(class: &str, cause: Throwable) -> Throwable {
        Throwable::new(class, cause.headline()).caused_by(cause)
    }

    /// Class and message, as `Throwable.toString()` gives them.
    pub fn headline(&self) -> String {
        match &self.message {
            Some(message) => format!("{}: {message}", self.class),
            None => self.class.clone(),
        }
    }

    pub fn root(&self) -> &Throwable {
        let mut at = self;
        while let Some(cause) = &at.cause {
            at = cause;
        }
        at
    }

    pub fn trace(&self) -> String {
        let mut out = String::new();
        let mut at = Some(self);
        let mut first = true;
        while let Some(t) = at {
            if !first {
                out.push_str("Caused by: ");
            }
            first = false;
            out.push_str(&t.headline());
            out.push_str("\n\tat java.base/java.lang.Thread.run(Unknown Source)\n");
            at = t.cause.as_deref();
        }
        out
    }

    /// The `failure-cause` object of operations and results.
    pub fn to_json(&self) -> Value {
        json!({
            "class": self.class, "stack-trace": self.trace(),
            "serialized-throwable": java::serialized_throwable(self)
        })
    }
}

pub fn job_not_found(job: &str) -> Throwable {
    Throwable::new(class::JOB_NOT_FOUND, format!("Could not find Flink job ({job})"))
}

pub fn checkpoint_exception(message: impl Into<String>) -> Throwable {
    Throwable::wrap(class::COMPLETION, Throwable::new(class::CHECKPOINT, message))
}

/// A `file` address with a host in it (recorded).
pub fn local_host(host: &str, path: &str) -> Throwable {
    let meant = path.replacen("file://", "file:///", 1);
    let text = format!(
        "Found local file path with authority '{host}' in path '{path}'. Hint: Did you forget a slash? (correct path would be '{meant}')"
    );
    Throwable::new(class::IO, text)
}

pub fn unknown_scheme(scheme: &str) -> Throwable {
    Throwable::new(
        class::FS_SCHEME,
        format!(
            "Could not find a file system implementation for scheme '{scheme}'. The scheme is not directly supported by \
             Flink and no Hadoop file system to support this scheme could be loaded. For a full list of supported file \
             systems, please see https://nightlies.apache.org/flink/flink-docs-stable/ops/filesystems/."
        ),
    )
    .caused_by(Throwable::new(class::FS_SCHEME, "Hadoop is not in the classpath/dependencies."))
}
