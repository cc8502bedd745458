//! Job ids and trigger ids: 32 hex digits derived from what they stand for, never random, so that a plan computed
//! twice from the same observation is the same plan. 128-bit FNV-1a; spread matters here, secrecy does not.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// An id for these parts. Parts are separated, so `["ab", "c"]` and `["a", "bc"]` differ.
pub fn derive(parts: &[&str]) -> String {
    let mut hash = OFFSET;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::derive;

    #[test]
    fn ids_are_32_hex_digits_and_depend_on_every_part() {
        let id = derive(&["uid", "stop", "3"]);
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(id, derive(&["uid", "stop", "3"]));
        assert_ne!(id, derive(&["uid", "stop", "4"]));
        assert_ne!(derive(&["ab", "c"]), derive(&["a", "bc"]));
    }
}
