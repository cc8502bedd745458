//! JSON as serde_json writes it, in half the instructions: objects are written once each and mostly consist of short texts
//! that have nothing to escape, which is seen eight bytes at a time.

use serde_json::Value;

/// Appends the compact form, byte for byte that of `serde_json::to_writer`.
pub fn write_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            // Writing numbers into memory cannot fail.
            let _ = serde_json::to_writer(out, number);
        }
        Value::String(text) => write_json_text(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_json(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (place, (key, member)) in members.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_json_text(out, key);
                out.push(b':');
                write_json(out, member);
            }
            out.push(b'}');
        }
    }
}

/// The same for a text.
pub fn write_json_text(out: &mut Vec<u8>, text: &str) {
    if has_escapes(text.as_bytes()) {
        // As above.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether there are quotes, backslashes or control characters.
fn has_escapes(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // Where a byte is zero the top bit of its place is set; bytes above it may seem to be, which costs a second look.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let is_escaped = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let (chunks, rest) = text.as_chunks::<8>();
    let found = chunks.iter().fold(0, |found, chunk| {
        let word = u64::from_le_bytes(*chunk);
        let controls = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        found | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | controls
    });
    rest.iter().any(is_escaped) || found != 0 && text.iter().any(is_escaped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn check(value: &Value) {
        let mut out = Vec::new();
        write_json(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), value.to_string());
    }

    #[test]
    fn as_serde_writes_it() {
        check(
            &json!({"a": [], "b": {}, "c": [1, -2, 1.5, 1e300, u64::MAX, null, true, false, {"d": [["x"]]}]}),
        );
        check(&Value::Object(Map::new()));
        for text in
            ["", "plain", "\u{e9}\u{1f600}", "\u{7f}", "a\"b", "back\\slash", "tab\there", "\u{1f}", "\0"]
        {
            check(&json!(text));
            check(&json!({text: text}));
        }
    }

    #[test]
    fn every_byte_in_every_place() {
        for length in [1, 7, 8, 9, 16, 19] {
            for place in 0..length {
                for byte in 0..=0x7f_u8 {
                    let mut text = vec![b'!'; length];
                    text[place] = byte;
                    // What borrows from its neighbour must not hide or make one up.
                    if place > 0 {
                        text[place - 1] = [b'!', b'#', b']', b' '][usize::from(byte) % 4];
                    }
                    check(&Value::from(String::from_utf8(text).expect("ASCII")));
                }
            }
        }
    }
}
