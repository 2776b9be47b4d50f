//! What the matrix products of a step of SmolLM2-135M reach by themselves, in GFLOP/s: the limit that generation and
//! prompts are held against.
//!
//!     cargo bench -p pipe-lm --bench products -- [rows [seconds]]
//!
//! `repeated`: one layer's seven weights over and over, which then lie in the caches; `streamed`: the weights of all 30
//! layers and of the head in turn, each time from memory, as a step of generation reads them. One thread, then all.
#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::time::{Duration, Instant};

use pipe_lm::ops::{
    Crew, Team, WeightTile,
    gemm::{Lhs, PackedWeight, Product, Rhs, Store},
};

const HIDDEN: usize = 576;
const LAYERS: usize = 30;
/// Outputs and inputs of a layer's weights: queries, keys, values, what gathers the heads, gate, up and down.
const LAYER: [(usize, usize); 7] =
    [(576, HIDDEN), (192, HIDDEN), (192, HIDDEN), (HIDDEN, 576), (1536, HIDDEN), (1536, HIDDEN), (HIDDEN, 1536)];
const VOCABULARY: usize = 49_152;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // Test runners start benchmarks too, without arguments.
    let Some(rows) = arguments.first().map(|rows| rows.parse().expect("a number of rows")) else { return };
    let seconds: f64 = arguments.get(1).map_or(2.0, |s| s.parse().expect("seconds"));
    let layer = || LAYER.iter().map(|&(n, k)| packed(n, k)).collect::<Vec<_>>();
    let layers: Vec<PackedWeight> = (0..LAYERS).flat_map(|_| layer()).chain([packed(VOCABULARY, HIDDEN)]).collect();
    let x = vec![0.01; rows * 1536];
    let mut out = vec![0.0; rows * VOCABULARY];
    for (what, weights) in [("repeated", &layers[..LAYER.len()]), ("streamed", &layers[..])] {
        for threads in [1, rayon::current_num_threads()] {
            Team::gather(threads, |crew| {
                let crew = if threads == 1 { Crew::Alone } else { crew };
                let (begin, mut passes) = (Instant::now(), 0);
                while begin.elapsed() < Duration::from_secs_f64(seconds) {
                    for w in weights {
                        let (n, k) = (w.out_features(), w.in_features());
                        let product = Product {
                            m: rows,
                            n,
                            k,
                            a: Lhs::Rows(&x[..rows * k]),
                            b: Rhs::Packed(w),
                            store: Store::Overwrite,
                        };
                        product.by(crew, &mut out[..rows * n]);
                    }
                    passes += 1;
                }
                let values: usize = weights.iter().map(|w| w.out_features() * w.in_features()).sum();
                let rate = (2 * values * rows * passes) as f64 / begin.elapsed().as_secs_f64() / 1e9;
                println!(
                    "{{\"weights\": \"{what}\", \"threads\": {threads}, \"rows\": {rows}, \"gflops\": {rate:.0}}}"
                );
            });
        }
    }
}

fn packed(n: usize, k: usize) -> PackedWeight {
    let weight: Vec<f32> = (0..n * k).map(|i| ((i * 31) % 17) as f32 * 0.01 - 0.08).collect();
    PackedWeight::pack(&weight, n, k)
}
