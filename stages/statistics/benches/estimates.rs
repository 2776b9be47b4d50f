//! The intervals of three metrics, as `evaluate` asks for them: `cargo bench -p pipe-statistics --bench estimates`.

use pipe_statistics::estimates;

fn main() {
    divan::main();
}

/// Right or wrong, a share of some words, and a share that is another for nearly every item where `digits` are many.
fn columns(items: usize, digits: u32) -> [Vec<f64>; 3] {
    let of = |modulus: u64| (0..items as u64).map(move |i| (i * 0x9e37_79b9 % modulus) as f64 / (modulus - 1) as f64);
    [of(2).collect(), of(31).collect(), of(10_u64.pow(digits)).collect()]
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 5)]
fn of_few_scores_20_resamples(bencher: divan::Bencher, items: usize) {
    let columns = columns(items, 1);
    bencher.bench(|| estimates(&columns.each_ref().map(Vec::as_slice), 0.95, 20, 0));
}

#[divan::bench(args = [10_000, 100_000, 1_000_000], sample_count = 5)]
fn of_scores_that_are_all_different_20_resamples(bencher: divan::Bencher, items: usize) {
    let columns = columns(items, 9);
    bencher.bench(|| estimates(&columns.each_ref().map(Vec::as_slice), 0.95, 20, 0));
}
