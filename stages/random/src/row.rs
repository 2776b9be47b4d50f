//! Randomness of a row: a function of the seed, the row's id and the position, and of nothing else.

use crate::unit;

/// The random numbers of one row.
#[derive(Debug, Clone)]
pub struct RowRandom {
    key: [u8; 32],
}

impl RowRandom {
    /// Numbers for row `id` under `seed`.
    pub fn new(seed: &[u8; 32], id: &str) -> Self {
        Self { key: *blake3::keyed_hash(seed, id.as_bytes()).as_bytes() }
    }

    /// A number in `[0, 1)` with 53 random bits, for generated token number `position`.
    pub fn uniform(&self, position: usize) -> f64 {
        unit(self.bits(position))
    }

    /// The row's seed for a server that takes one; 31 bits, which every server accepts.
    pub fn server_seed(&self) -> u32 {
        (self.bits(usize::MAX) >> 33) as u32
    }

    /// `count` distinct numbers below `n`, in random order: the beginning of a shuffle (Fisher and Yates), so that a
    /// larger `count` begins with the same ones. All of them, shuffled, where there are fewer.
    pub fn choose(&self, count: usize, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        let count = count.min(n);
        for i in 0..count {
            let left = n - i;
            order.swap(i, i + ((self.uniform(i) * left as f64) as usize).min(left - 1));
        }
        order.truncate(count);
        order
    }

    fn bits(&self, position: usize) -> u64 {
        let digest = blake3::keyed_hash(&self.key, &(position as u64).to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_positions_and_seeds_differ_and_repeat() {
        let draw = |seed: u8, id: &str, position| RowRandom::new(&[seed; 32], id).uniform(position).to_bits();
        let all = [draw(1, "a", 0), draw(1, "a", 1), draw(1, "b", 0), draw(2, "a", 0)];
        for (i, x) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|y| x != y));
        }
        assert_eq!(all[0], draw(1, "a", 0));
    }

    #[test]
    fn numbers_are_uniform() {
        let row = RowRandom::new(&[7; 32], "row");
        let draws: Vec<f64> = (0..20_000).map(|i| row.uniform(i)).collect();
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|u| (u - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        // Four standard errors of the mean, and of the variance.
        assert!((mean - 0.5).abs() < 4.0 * (1.0f64 / 12.0 / 20_000.0).sqrt(), "{mean}");
        assert!((variance - 1.0 / 12.0).abs() < 4.0 * (1.0f64 / 180.0 / 20_000.0).sqrt(), "{variance}");
    }

    #[test]
    fn what_is_chosen_begins_what_is_chosen_of_more() {
        let row = RowRandom::new(&[3; 32], "row");
        let mut all = row.choose(9, 6);
        assert_eq!((all.len(), row.choose(4, 6)), (6, all[..4].to_vec()));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert!(row.choose(3, 0).is_empty());
    }
}
