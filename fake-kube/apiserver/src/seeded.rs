//! Names, uids and jitter from one seed, so that a run can be replayed.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(crate) struct Seeded(ChaCha8Rng);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Seeded {
        Seeded(ChaCha8Rng::seed_from_u64(seed))
    }

    /// How far the sequence has been used.
    pub(crate) fn position(&self) -> u128 {
        self.0.get_word_pos()
    }

    /// The sequence of `seed` from a position on.
    pub(crate) fn from_position(seed: u64, position: u128) -> Seeded {
        let mut seeded = Seeded::new(seed);
        seeded.0.set_word_pos(position);
        seeded
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let mut b = [0u8; 16];
        self.0.fill_bytes(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let mut text = Vec::with_capacity(36);
        for (at, byte) in b.into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push(b'-');
            }
            text.extend([byte >> 4, byte & 0xf].map(|half| DIGITS[usize::from(half)]));
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// What `generateName` appends.
    pub(crate) fn suffix(&mut self) -> String {
        (0..5).map(|_| LETTERS[self.below(LETTERS.len() as u64) as usize] as char).collect()
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // The bias of a plain remainder is below 2^-50 for the small ranges used here.
        self.0.next_u64() % n.max(1)
    }
}
