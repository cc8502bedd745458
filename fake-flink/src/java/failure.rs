//! A failure as the REST API ships it: a `SerializedThrowable`, which carries the original exception as a stream within
//! the stream where every class of it is known here, and stands for it by its texts where one is not (as the real one
//! does for exceptions that cannot be serialized).

use base64::Engine as _;

use super::classes::{
    CHECKPOINT_FAILURE_REASON, CHECKPOINT_FAILURE_REASONS, Class, EMPTY_LIST, SERIALIZED_THROWABLE,
    STACK_TRACE, STACK_TRACE_ELEMENT,
};
use super::stream::Stream;
use crate::throwable::{Throwable, class};

/// The value of `serialized-throwable`, in Base64.
pub fn serialized_throwable(failure: &Throwable) -> String {
    let mut stream = Stream::new();
    write_serialized(&mut stream, failure);
    base64::engine::general_purpose::STANDARD.encode(stream.into_bytes())
}

fn write_serialized(stream: &mut Stream, failure: &Throwable) {
    stream.object(&SERIALIZED_THROWABLE);
    match &failure.cause {
        Some(cause) => write_serialized(stream, cause),
        None => stream.null(),
    }
    match failure.message {
        Some(_) => stream.text(&failure.headline()),
        // Without a message the headline is the name of the class, the very string.
        None => stream.shared_text(&failure.class),
    }
    write_frames_and_suppressed(stream);
    stream.text(&failure.trace());
    stream.shared_text(&failure.class);
    match original(failure) {
        Some(bytes) => stream.byte_array(&bytes),
        None => stream.null(),
    }
}

/// The exception itself as a stream of its own, when all its causes can be written too.
fn original(failure: &Throwable) -> Option<Vec<u8>> {
    let mut stream = Stream::new();
    write_original(&mut stream, failure)?;
    Some(stream.into_bytes())
}

fn write_original(stream: &mut Stream, failure: &Throwable) -> Option<()> {
    let reason = (failure.class == class::CHECKPOINT).then(|| failure_reason(failure));
    let this = stream.object(Class::of_throwable(&failure.class)?);
    match &failure.cause {
        Some(cause) => write_original(stream, cause)?,
        // A Throwable that was given no cause is its own.
        None => stream.reference(this),
    }
    match &failure.message {
        Some(message) => stream.text(message),
        None => stream.null(),
    }
    write_frames_and_suppressed(stream);
    if let Some(reason) = reason {
        stream.enumeration(&CHECKPOINT_FAILURE_REASON, reason?);
    }
    Some(())
}

/// `CheckpointException` ends its message with that of its reason.
fn failure_reason(failure: &Throwable) -> Option<&'static str> {
    let message = failure.message.as_deref()?;
    CHECKPOINT_FAILURE_REASONS.iter().find(|(text, _)| message.ends_with(text)).map(|(_, constant)| *constant)
}

/// The one frame that our traces show, `java.base/java.lang.Thread.run(Unknown Source)`, and nothing suppressed: with
/// them end the fields of `Throwable`.
fn write_frames_and_suppressed(stream: &mut Stream) {
    stream.array(&STACK_TRACE, 1);
    stream.object(&STACK_TRACE_ELEMENT);
    stream.byte(0);
    stream.int(u32::MAX);
    stream.null();
    stream.shared_text("java.lang.Thread");
    stream.null();
    stream.shared_text("run");
    stream.shared_text("java.base");
    stream.null();
    stream.singleton(&EMPTY_LIST);
    stream.end_of_block();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throwable::checkpoint_exception;

    /// What the real classes wrote for the same failures, one `name base64` a line.
    const RECORDED: &str = include_str!("recorded.txt");

    fn recorded(name: &str) -> &'static str {
        let line = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no recording {name}"))
    }

    #[test]
    fn byte_for_byte_as_the_real_classes_write() {
        let illegal = Throwable::bare(class::ILLEGAL_STATE);
        for (name, failure) in [
            ("plain", Throwable::new(class::FLINK, "Job failed.")),
            ("caused", checkpoint_exception("Not all required tasks are currently running.")),
            ("message", Throwable::new(class::FLINK, "Grüße \u{1f600} \0").caused_by(illegal)),
        ] {
            assert_eq!(serialized_throwable(&failure), recorded(name), "{name}");
        }
    }

    #[test]
    fn an_exception_nobody_here_knows_is_told_by_its_texts() {
        let failure = Throwable::new("com.example.MyException", "boom");
        assert_eq!(original(&failure), None);
        let bytes = base64::engine::general_purpose::STANDARD.decode(serialized_throwable(&failure)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("com.example.MyException: boom") && bytes.ends_with(&[0x70]));
    }
}
