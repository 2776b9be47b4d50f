//! A small seeded generator. Its streams are part of the world's definition, so it is spelled out here and not taken
//! from a crate whose distributions may change between versions.

use pipe_random::Random;

/// `SplitMix64` (Steele, Lea and Flood 2014), seeded from a label.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// An own stream for every (seed, label, index).
    pub fn new(seed: u64, label: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(b"pipe.world.v1")
            .update(&seed.to_le_bytes())
            .update(&index.to_le_bytes())
            .update(label.as_bytes());
        let bytes: [u8; 8] = hasher.finalize().as_bytes()[..8].try_into().expect("eight of 32 bytes");
        Self(u64::from_le_bytes(bytes))
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of the items.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// An index drawn in proportion to the weights.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (i, w) in weights.iter().enumerate() {
            left -= w;
            if left < 0.0 {
                return i;
            }
        }
        weights.len() - 1
    }

    /// `n` distinct items (all, shuffled, where there are fewer).
    pub fn sample<T: Clone>(&mut self, items: &[T], n: usize) -> Vec<T> {
        let mut all = items.to_vec();
        self.shuffle(&mut all);
        all.truncate(n);
        all
    }
}

impl Random for Rng {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
