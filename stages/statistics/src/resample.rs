//! Resampling with replacement, from random numbers that have a name.

use pipe_random::{Random, Stream};
use rayon::prelude::*;

use crate::pool::Pool;

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
    /// A number below `n`, without bias, from half of the bits (as [`Random::below`] has it from all of them).
    fn half_below(&mut self, half: u64, n: u32) -> usize {
        let product = half * u64::from(n);
        let low = product as u32;
        if low < n && low < n.wrapping_neg() % n { self.below(n as usize) } else { (product >> 32) as usize }
    }

    fn two_below(&mut self, n: u32) -> [usize; 2] {
        let bits = self.next_u64();
        [self.half_below(bits >> 32, n), self.half_below(bits & 0xffff_ffff, n)]
    }

    /// The sum of `n` values, drawn with replacement from as many; in two parts, which need not wait for each other.
    fn sum_of_drawn(&mut self, values: &Pool<'_, f64>, n: usize) -> f64 {
        let mut sum = [0.0; 2];
        values.each((0..n / 2).map(|_| self.two_below(n as u32)), |[one, other]| {
            sum[0] += one;
            sum[1] += other;
        });
        let mut last = 0.0;
        values.each((0..n % 2).map(|_| [self.below(n)]), |[one]| last = one);
        sum[0] + sum[1] + last
    }

    /// The same of clusters: the sum of drawn sums over the sum of their sizes.
    fn ratio_of_drawn(&mut self, clusters: &Pool<'_, (f64, f64)>, n: usize) -> f64 {
        let (mut sum, mut size) = (0.0, 0.0);
        clusters.each((0..n).map(|_| [self.below(n)]), |[cluster]| {
            sum += cluster.0;
            size += cluster.1;
        });
        sum / size
    }
}

/// Means of `resamples` samples of the clusters, sorted. A cluster has the sum of its items' values and, unless all
/// have one item, the number of these: the mean is over items, however many a sample has.
pub(crate) fn resampled_means(sums: &[f64], sizes: Option<&[f64]>, resamples: usize, source: Source) -> Vec<f64> {
    let k = sums.len();
    let Some(sizes) = sizes else {
        let pool = Pool::of(sums, |sum| sum.to_bits());
        return drawn(resamples, source, |random| random.sum_of_drawn(&pool, k) / k as f64);
    };
    let clusters: Vec<(f64, f64)> = sums.iter().copied().zip(sizes.iter().copied()).collect();
    let pool = Pool::of(&clusters, |(sum, size)| (sum.to_bits(), size.to_bits()));
    drawn(resamples, source, |random| random.ratio_of_drawn(&pool, k))
}

/// What `one` makes of the random numbers of each resample, sorted.
fn drawn(resamples: usize, source: Source, one: impl Fn(&mut Generator) -> f64 + Sync) -> Vec<f64> {
    let mut means = vec![0.0; resamples];
    means.par_chunks_mut(BLOCK).enumerate().for_each(|(block, means)| {
        let mut stream = source.stream("resample", block);
        let mut random = Generator(std::array::from_fn(|_| stream.next_u64()));
        for mean in means {
            *mean = one(&mut random);
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

    /// Whether a value is drawn as it is, or by its place among the different ones.
    #[test]
    fn many_values_are_drawn_as_few_are() {
        let sums: Vec<f64> = (0..20_001).map(|i| f64::from(i * i % 97) / 7.0).collect();
        let sizes: Vec<f64> = (0..20_001).map(|i| f64::from(1 + i % 3)).collect();
        let clusters: Vec<(f64, f64)> = sums.iter().copied().zip(sizes.iter().copied()).collect();
        let source = Source { seed: 3, name: "a" };
        let plain = drawn(20, source, |random| random.sum_of_drawn(&Pool::Plain(&sums), 20_001) / 20_001.0);
        assert_eq!(resampled_means(&sums, None, 20, source), plain);
        let plain = drawn(20, source, |random| random.ratio_of_drawn(&Pool::Plain(&clusters), 20_001));
        assert_eq!(resampled_means(&sums, Some(&sizes), 20, source), plain);
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
