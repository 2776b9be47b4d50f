//! Resampling with replacement, from random numbers that have a name.

use pipe_random::{Random, Stream};
use rayon::prelude::*;

/// How many resamples one generator draws. Blocks, not threads, own their numbers.
const BLOCK: usize = 256;

/// Where the random numbers of one question come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub seed: u64,
    pub name: &'a str,
}

impl Source<'_> {
    /// The numbers of one block of what is drawn for `purpose`.
    pub(crate) fn stream(self, purpose: &str, block: usize) -> Stream {
        let mut name = blake3::Hasher::new();
        name.update(b"pipe.statistics.v1").update(&self.seed.to_le_bytes()).update(&(block as u64).to_le_bytes());
        name.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes()).update(self.name.as_bytes());
        Stream::new(&name)
    }
}

/// xoshiro256++ (Blackman and Vigna 2021, "Scrambled Linear Pseudorandom Number Generators"), begun by a stream: a
/// bootstrap draws millions of indices, and hashing for each of them is most of its time.
struct Generator([u64; 4]);

impl Random for Generator {
    fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let next = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        next
    }
}

impl Generator {
    /// Two numbers below `n`, without bias, each from half of the bits (as [`Random::below`] has it from all of them).
    fn two_below(&mut self, n: u32) -> [usize; 2] {
        let bits = self.next_u64();
        [bits >> 32, bits & 0xffff_ffff].map(|half| {
            let product = half * u64::from(n);
            let low = product as u32;
            if low < n && low < n.wrapping_neg() % n { self.below(n as usize) } else { (product >> 32) as usize }
        })
    }

    /// The sum of as many values as there are, drawn with replacement; in two parts, which need not wait for each
    /// other.
    fn sum_of_drawn(&mut self, values: &[f64]) -> f64 {
        let (n, mut sum) = (values.len() as u32, [0.0; 2]);
        for _ in 0..n / 2 {
            let [one, other] = self.two_below(n);
            sum[0] += values[one];
            sum[1] += values[other];
        }
        let last = if n % 2 == 1 { values[self.below(n as usize)] } else { 0.0 };
        sum[0] + sum[1] + last
    }

    /// The same of clusters: the sum of drawn sums over the sum of their sizes.
    fn ratio_of_drawn(&mut self, sums: &[f64], sizes: &[f64]) -> f64 {
        let (mut sum, mut size) = (0.0, 0.0);
        for _ in 0..sums.len() {
            let cluster = self.below(sums.len());
            sum += sums[cluster];
            size += sizes[cluster];
        }
        sum / size
    }
}

/// Means of `resamples` samples of the clusters, sorted. A cluster has the sum of its items' values and, unless all
/// have one item, the number of these: the mean is over items, however many a sample has.
pub(crate) fn resampled_means(sums: &[f64], sizes: Option<&[f64]>, resamples: usize, source: Source) -> Vec<f64> {
    let k = sums.len();
    let mut means = vec![0.0; resamples];
    means.par_chunks_mut(BLOCK).enumerate().for_each(|(block, means)| {
        let mut stream = source.stream("resample", block);
        let mut random = Generator(std::array::from_fn(|_| stream.next_u64()));
        for mean in means {
            *mean = match sizes {
                None => random.sum_of_drawn(sums) / k as f64,
                Some(sizes) => random.ratio_of_drawn(sums, sizes),
            };
        }
    });
    means.sort_unstable_by(f64::total_cmp);
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the authors' C from the state 1, 2, 3, 4.
    #[test]
    fn generator_is_the_published_one() {
        let mut generator = Generator([1, 2, 3, 4]);
        let first = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        assert_eq!(std::array::from_fn(|_| generator.next_u64()), first);
    }

    #[test]
    fn means_are_of_items_and_do_not_depend_on_threads() {
        let sums: Vec<f64> = (0..31).map(|i| f64::from(i % 7)).collect();
        let source = |name| Source { seed: 1, name };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let plain = resampled_means(&sums, None, 1000, source("a"));
        assert_eq!(one.install(|| resampled_means(&sums, None, 1000, source("a"))), plain);
        assert_ne!(resampled_means(&sums, None, 1000, source("b")), plain);
        assert!(plain.is_sorted() && plain[0] > 1.0 && plain[999] < 5.0);
        // A cluster of one item with value 3 beside one of three items with value 1 each.
        let means = resampled_means(&[3.0, 3.0], Some(&[1.0, 3.0]), 64, source("c"));
        assert!(means.iter().all(|mean| [1.0, 1.5, 3.0].contains(mean)), "{means:?}");
    }
}
