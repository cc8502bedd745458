//! An accumulator's value: a `SerializedValue` around an `OptionalFailure` around the number.

use base64::Engine as _;

use super::classes::{INTEGER, OPTIONAL_FAILURE, SERIALIZED_VALUE};
use super::stream::Stream;

/// The value of an `IntCounter`, in Base64; what is beyond an `int` wraps as it does there.
pub fn int_accumulator(value: u64) -> String {
    let mut inner = Stream::new();
    inner.object(&OPTIONAL_FAILURE);
    inner.null();
    inner.object(&INTEGER);
    inner.int(value as u32);
    inner.end_of_block();
    let mut outer = Stream::new();
    outer.object(&SERIALIZED_VALUE);
    outer.byte_array(&inner.into_bytes());
    base64::engine::general_purpose::STANDARD.encode(outer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_for_byte_as_the_real_classes_write() {
        let recorded = include_str!("recorded.txt").lines().find_map(|line| line.strip_prefix("Integer "));
        assert_eq!(Some(int_accumulator(7).as_str()), recorded);
    }
}
