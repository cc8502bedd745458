//! An accumulator's value: an `OptionalFailure` around the number. Real clusters send it so, without the
//! `SerializedValue` that the classes name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::classes::{INTEGER, OPTIONAL_FAILURE};
use super::stream::Stream;

/// The value of an `IntCounter`, in Base64; what is beyond an `int` wraps as it does there.
pub fn int_accumulator(value: u64) -> String {
    let mut stream = Stream::new();
    stream.object(&OPTIONAL_FAILURE);
    stream.null();
    stream.object(&INTEGER);
    stream.int(value as u32);
    stream.end_of_block();
    STANDARD.encode(stream.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_for_byte_as_the_real_classes_write() {
        // Written with the SerializedValue around it, at the end of which it stands.
        let recorded = include_str!("recorded.txt").lines().find_map(|line| line.strip_prefix("Integer "));
        let around = STANDARD.decode(recorded.unwrap()).unwrap();
        assert!(around.ends_with(&STANDARD.decode(int_accumulator(7)).unwrap()));
    }
}
