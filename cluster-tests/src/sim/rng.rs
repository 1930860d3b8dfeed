//! The one source of chance: splitmix64, a number in, a stream of numbers out.
//!
//! A run draws from a few named streams of one seed: options, faults, and the world. So a fault that is dropped while a
//! seed is shortened leaves the options and the other faults as they were.

/// A stream of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this name.
    #[must_use]
    pub fn new(seed: u64, name: u64) -> Rng {
        let mut rng = Rng(seed ^ name.wrapping_mul(0xd6e8_feb8_6659_fd93));
        rng.any();
        rng
    }

    /// The next 64 bits.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in this many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Mostly close to `low`, seldom up to `high`: what queues and disks do.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let spread = high.saturating_sub(low);
        let part = self.below(1 << 20);
        low + ((u128::from(spread) * u128::from(part) * u128::from(part) * u128::from(part)) >> 60) as u64
    }

    /// The index of one of these weights, each as likely as it is heavy.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}

/// Spreads every bit of a number over all bits of the result.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
