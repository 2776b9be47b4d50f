//! Randomness that depends on names and counters alone, never on a global generator or on what ran before.

/// A reproducible stream of random numbers, named by a seed, a purpose and counters.
pub struct Stream(blake3::OutputReader);

impl Stream {
    /// The stream of `purpose` (for example `shuffle` or a parameter's name) at `counters` (epoch, step, layer).
    pub fn new(seed: u64, purpose: &str, counters: &[u64]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("pipe-lm training 2026-11 random stream");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        for counter in counters {
            hasher.update(&counter.to_le_bytes());
        }
        Self(hasher.finalize_xof())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Uniform in `0..n` without bias (Lemire 2019, arXiv 1805.10941).
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no element");
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// `n` values uniform in `[-bound, bound)`.
    pub fn uniform(&mut self, n: usize, bound: f32) -> Vec<f32> {
        self.words(n).into_iter().map(|word| (unit(word) * 2.0 - 1.0) as f32 * bound).collect()
    }

    /// `n` values from a normal distribution of mean 0 (Box and Muller 1958).
    pub fn normal(&mut self, n: usize, std: f32) -> Vec<f32> {
        let words = self.words(n.next_multiple_of(2));
        let mut out = Vec::with_capacity(n + 1);
        for pair in words.chunks_exact(2) {
            // 1 - u is in (0, 1], where the logarithm is finite.
            let radius = (-2.0 * (1.0 - unit(pair[0])).ln()).sqrt();
            let angle = std::f64::consts::TAU * unit(pair[1]);
            out.extend([(radius * angle.cos()) as f32 * std, (radius * angle.sin()) as f32 * std]);
        }
        out.truncate(n);
        out
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    fn words(&mut self, n: usize) -> Vec<u32> {
        let mut bytes = vec![0; n * 4];
        self.0.fill(&mut bytes);
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
}

/// Uniform in [0, 1).
fn unit(word: u32) -> f64 {
    f64::from(word) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_and_reproducible() {
        let first = |seed, purpose, counters: &[u64]| Stream::new(seed, purpose, counters).next_u64();
        assert_eq!(first(17, "shuffle", &[0]), first(17, "shuffle", &[0]));
        let others = [first(18, "shuffle", &[0]), first(17, "dropout", &[0]), first(17, "shuffle", &[1])];
        assert!(!others.contains(&first(17, "shuffle", &[0])));
    }

    #[test]
    fn values_have_the_asked_distribution() {
        let n = 100_000;
        let moments = |values: &[f32]| {
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / f64::from(n);
            (mean, values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / f64::from(n))
        };
        let uniform = Stream::new(1, "u", &[]).uniform(n as usize, 0.5);
        assert!(uniform.iter().all(|x| (-0.5..0.5).contains(x)));
        let (mean, variance) = moments(&uniform);
        assert!(mean.abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.001, "{mean} {variance}");
        let (mean, variance) = moments(&Stream::new(1, "n", &[]).normal(n as usize, 2.0));
        assert!(mean.abs() < 0.03 && (variance - 4.0).abs() < 0.08, "{mean} {variance}");
        let mut stream = Stream::new(1, "b", &[]);
        let mut seen = [0; 3];
        (0..3000).for_each(|_| seen[stream.below(3) as usize] += 1);
        assert!(seen.iter().all(|n| (900..1100).contains(n)), "{seen:?}");
    }
}
