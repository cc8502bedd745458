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
            out.push_str(&format!("{:016x}", self.rng.next_u64()));
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

/// The first 32 digits of a hex id in lower case, as the REST layer reads ids: longer ones are cut, shorter refused.
pub fn parse_hex32(text: &str) -> Option<String> {
    let digits = text.get(..32)?;
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| digits.to_ascii_lowercase())
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}
