//! Ids as a real JobManager makes them, drawn from one seed: the same calls give the same ids.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

#[derive(Clone, Debug)]
pub struct Ids {
    rng: ChaCha8Rng,
}

impl Ids {
    /// A stream of its own for `name`, so that drawing from one does not shift another.
    pub fn new(seed: u64, name: &str) -> Ids {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv(name.as_bytes()));
        Ids { rng }
    }

    pub fn hex(&mut self, digits: usize) -> String {
        let mut out = String::with_capacity(digits + 16);
        while out.len() < digits {
            let word = self.rng.next_u64();
            let digits = (0..16).rev().map(|place| b"0123456789abcdef"[(word >> (4 * place)) as usize & 15]);
            out.extend(digits.map(char::from));
        }
        out.truncate(digits);
        out
    }

    /// Job, trigger and slot-sharing-group ids: 32 hex digits.
    pub fn hex32(&mut self) -> String {
        self.hex(32)
    }

    pub fn uuid(&mut self) -> String {
        let h = self.hex32();
        format!("{}-{}-4{}-8{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32])
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// An id as the REST layer reads it (`StringUtils.hexStringToByte`): 16 pairs, each as Java parses a number, a sign
/// included; what stands alone after them is not looked at (recorded). In lower case.
pub fn parse_hex32(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut id = String::with_capacity(32);
    for _ in 0..16 {
        let byte = match (chars.next()?, chars.next()?.to_digit(16)? as u8) {
            ('+', low) => low,
            ('-', low) => low.wrapping_neg(),
            (high, low) => (high.to_digit(16)? as u8) << 4 | low,
        };
        id.push_str(&format!("{byte:02x}"));
    }
    (chars.count() <= 1).then_some(id)
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_java_reads_them() {
        let ones = "1".repeat(32);
        for (text, expected) in [
            (ones.clone(), Some(ones.clone())),
            (ones.replace('1', "A"), Some(ones.replace('1', "a"))),
            (format!("{ones}1"), Some(ones.clone())),
            (format!("{ones} "), Some(ones.clone())),
            (format!("{ones}é"), Some(ones.clone())),
            (format!("{ones}11"), None),
            (ones[1..].to_owned(), None),
            (format!("-1{}", &ones[2..]), Some(format!("ff{}", &ones[2..]))),
            (format!("+1{}", &ones[2..]), Some(format!("01{}", &ones[2..]))),
            (format!("1-{}", &ones[2..]), None),
            (format!("{}g1", &ones[2..]), None),
            (String::new(), None),
        ] {
            assert_eq!(parse_hex32(&text), expected, "{text:?}");
        }
    }
}
