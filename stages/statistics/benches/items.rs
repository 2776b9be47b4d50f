//! One question over items, as `compare` asks it for every arm and metric: `cargo bench -p pipe-statistics`.

use pipe_statistics::{Bootstrap, over_items};

fn main() {
    divan::main();
}

#[divan::bench(args = [40, 660, 10_000])]
fn over_items_with_10_000_resamples(bencher: divan::Bencher, items: u32) {
    let differences: Vec<f64> = (0..items).map(|i| f64::from(i * 7 % 11) / 10.0 - 0.45).collect();
    bencher.bench(|| over_items(&differences, None, &Bootstrap::default(), "bench"));
}
