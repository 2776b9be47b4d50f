//! Vectors of texts: `cargo bench -p pipe-lm --bench embed -- MODEL TEXTS [ROUNDS]`, MODEL the folder of an embedding
//! model, TEXTS a file with a text on each line. Prints seconds, the least of the rounds, and processor seconds.

#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::{path::Path, time::Instant};

use pipe_lm::embed::Embedder;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Test runners start benchmarks too, without a model.
    let [model, texts, rounds @ ..] = &arguments[..] else { return };
    let text = std::fs::read_to_string(texts).unwrap();
    let texts: Vec<&str> = text.lines().collect();
    let start = Instant::now();
    let embedder = Embedder::open(Path::new(model), None).unwrap();
    println!("opened in {:.3} s", start.elapsed().as_secs_f64());
    let rounds: u32 = rounds.first().map_or(3, |rounds| rounds.parse().unwrap());
    let cpu = cpu_seconds();
    let least = (0..rounds).map(|_| {
        let start = Instant::now();
        let vectors = embedder.embed_all(&texts, || true).unwrap().unwrap();
        assert_eq!(vectors.len(), texts.len());
        start.elapsed().as_secs_f64()
    });
    let least = least.fold(f64::INFINITY, f64::min);
    println!("{} texts in {least:.3} s, CPU {:.3}", texts.len(), (cpu_seconds() - cpu) / f64::from(rounds));
}

/// What this process has used so far, of all its threads; 0 where `/proc` does not say.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
