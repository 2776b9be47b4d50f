//! The random numbers of a training.

use pipe_random::Random;

/// A reproducible stream of random numbers, named by a seed, a purpose and counters.
pub struct Stream(pipe_random::Stream);

impl Random for Stream {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Stream {
    /// The stream of `purpose` (for example `shuffle` or a parameter's name) at `counters` (epoch, step, layer).
    pub fn new(seed: u64, purpose: &str, counters: &[u64]) -> Self {
        let mut name = blake3::Hasher::new_derive_key("pipe-lm training 2026-11 random stream");
        name.update(&seed.to_le_bytes());
        name.update(&(purpose.len() as u64).to_le_bytes());
        name.update(purpose.as_bytes());
        for counter in counters {
            name.update(&counter.to_le_bytes());
        }
        Self(pipe_random::Stream::new(&name))
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
    }
}
