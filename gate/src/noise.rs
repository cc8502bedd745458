//! How sure a ratio is, from the spread of its repeated samples. The band is an order-statistics interval of the median:
//! it assumes nothing about how times are distributed, needs no chance, and one wild sample does not move it.

use std::fmt;

/// Fewer pairs than this say nothing: of four, even the widest band misses the median one time in eight.
pub const PAIRS_MIN: usize = 5;
/// More than this is a file of something else.
pub const PAIRS_MAX: usize = 1000;
/// How often the band holds the true median, at least.
const CONFIDENCE: f64 = 0.9;

/// A ratio with the band in which it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

impl Band {
    /// Of the ratios of pairs; `None` for fewer than [`PAIRS_MIN`].
    pub fn of(ratios: &[f64]) -> Option<Band> {
        if ratios.len() < PAIRS_MIN {
            return None;
        }
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (count, outside) = (sorted.len(), outside(sorted.len()));
        let middle = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        Some(Band { low: sorted[outside], middle, high: sorted[count - 1 - outside] })
    }

    /// The width of the band, as a part of the ratio.
    pub fn width(&self) -> f64 {
        (self.high - self.low) / self.middle
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.middle, self.low, self.high)
    }
}

/// How many samples may lie outside on each side. The median of `count` samples lies left of the k-th with the chance of
/// fewer than k heads in `count` tosses.
fn outside(count: usize) -> usize {
    let tosses = i32::try_from(count.min(PAIRS_MAX)).unwrap_or(i32::MAX);
    let mut term = 0.5_f64.powi(tosses);
    let (mut tail, mut outside) = (term, 0);
    for heads in 1..count / 2 {
        term *= (count + 1 - heads) as f64 / heads as f64;
        tail += term;
        if 2.0 * tail > 1.0 - CONFIDENCE {
            break;
        }
        outside = heads;
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the tables of the sign test: two-sided 90 % or better.
    #[test]
    fn the_band_is_that_of_the_sign_test() {
        for (count, expected) in [(5, 0), (7, 0), (8, 1), (10, 1), (11, 2), (20, 5), (25, 7), (50, 18)] {
            assert_eq!(outside(count), expected, "{count} samples");
        }
        assert!(outside(PAIRS_MAX) > 400 && outside(PAIRS_MAX) < 500);
    }

    #[test]
    fn a_wild_sample_does_not_move_it() {
        let calm: Vec<f64> = (0..11).map(|n| 1.0 + f64::from(n) / 100.0).collect();
        let mut wild = calm.clone();
        wild[10] = 90.0;
        assert_eq!(Band::of(&calm), Band::of(&wild));
        assert_eq!(Band::of(&[1.0; 4]), None);
        let band = Band::of(&[1.0, 1.1, 0.9, 1.2, 1.0, 1.05]).expect("enough samples");
        assert_eq!((band.low, band.high), (0.9, 1.2));
        assert!((band.middle - 1.025).abs() < 1e-9);
    }
}
