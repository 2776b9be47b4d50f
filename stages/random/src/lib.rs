//! Random numbers that depend on names and counters alone, never on a global generator or on what ran before.
//!
//! What draws says where its bits come from: a [`Stream`] of a digest, a [`RowRandom`], a generator of its own. What is
//! made of the bits is defined once, in [`Random`]: artifacts depend on it, so it is spelled out here and not taken
//! from a crate whose distributions may change between versions.

mod row;
mod stream;

pub use row::RowRandom;
pub use stream::Stream;

/// 53 random bits as a number in `[0, 1)`.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// What 64 random bits are below `n`; `None` of those few that would be too many for some number.
///
/// # Panics
/// If `n` is 0.
fn below(bits: u64, n: usize) -> Option<usize> {
    assert!(n > 0, "an empty range has no element");
    let n = n as u64;
    let product = u128::from(bits) * u128::from(n);
    let low = product as u64;
    (low >= n || low >= n.wrapping_neg() % n).then_some((product >> 64) as usize)
}

/// Draws from a sequence of random bits.
pub trait Random {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;

    /// Uniform in `0..n` without bias (Lemire 2019, arXiv:1805.10941).
    ///
    /// # Panics
    /// If `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        loop {
            if let Some(number) = below(self.next_u64(), n) {
                return number;
            }
        }
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    fn unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// Shuffles in place (Fisher and Yates).
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u64);

    impl Random for Counting {
        fn next_u64(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0
        }
    }

    #[test]
    fn numbers_lie_where_they_should() {
        let mut random = Counting(1);
        let mut seen = [0; 3];
        (0..3000).for_each(|_| seen[random.below(3)] += 1);
        assert!(seen.iter().all(|n| (900..1100).contains(n)), "{seen:?}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
        assert_eq!((unit(0), unit(u64::MAX) < 1.0), (0.0, true));
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.into_iter().eq(0..50));
    }
}
