//! A quick hash for ids and paths, for maps that are asked several times per event. SipHash took a sixth of what a checkpoint
//! costs. Not made against keys that somebody chooses to collide: a map of them grows slow, not wrong, and the ids of
//! a simulated cluster are bounded by its jobs.

use std::hash::{BuildHasherDefault, Hasher};

pub type QuickHash = BuildHasherDefault<Quick>;

#[derive(Clone, Debug, Default)]
pub struct Quick(u64);

/// Odd, with bits all over: 2^64 over the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Quick {
    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
        // Zero would swallow what follows.
        self.0 = self.0.wrapping_add(FACTOR);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(word) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn ids_that_are_alike_are_spread() {
        let hash = |text: String| QuickHash::default().hash_one(text);
        let path = |n: u32| format!("s3://bucket/checkpoints/0123456789abcdef0123456789abcdef/chk-{n}");
        let hashes: Vec<u64> = (0..20_000)
            .map(|n| hash(path(n)))
            .chain((0..20_000).map(|n| hash(format!("{n:032x}"))))
            .collect();
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), hashes.len());
        // What a table looks at: low bits for the place, the highest seven for the tag.
        for (shift, bits) in [(0, 10), (57, 7)] {
            let mut seen = vec![0_u32; 1 << bits];
            hashes.iter().for_each(|hash| seen[(hash >> shift) as usize & ((1 << bits) - 1)] += 1);
            let mean = hashes.len() as u32 / (1 << bits);
            assert!(seen.iter().all(|n| *n < 3 * mean + 20), "{shift}: {:?} of {mean}", seen.iter().max());
        }
        assert_ne!(hash("a".to_owned()), hash("a\0".to_owned()));
    }
}
