//! Deduplication of generated questions at ROUGE-L 0.7, up to a million: `cargo bench -p pipe-metrics`.

use pipe_metrics::RougeIndex;

fn main() {
    divan::main();
}

/// Questions of 5 to 20 words over a vocabulary like that of generated instructions: few frames, many names.
fn questions(n: usize) -> Vec<String> {
    let mut state = 7_u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % n
    };
    (0..n)
        .map(|_| {
            let words = 5 + below(16);
            let q: Vec<String> = (0..words)
                .map(|_| {
                    let (a, b) = (below(40), below(900));
                    format!("w{}", a * b)
                })
                .collect();
            q.join(" ")
        })
        .collect()
}

/// So many are compared with those before them, and those that repeat none are kept, as `generate` does.
fn kept(questions: &[String]) -> usize {
    let mut index = RougeIndex::new(0.7);
    questions.iter().filter(|q| index.insert_unless_found(q).is_none()).count()
}

#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 5, sample_size = 1)]
fn dedup_at_0_7(bencher: divan::Bencher, n: usize) {
    let questions = questions(n);
    bencher.bench(|| kept(&questions));
}

#[divan::bench(sample_count = 1, sample_size = 1)]
fn dedup_of_a_million(bencher: divan::Bencher) {
    let questions = questions(1_000_000);
    bencher.bench(|| kept(&questions));
}
