//! BM25 and dense search over synthetic documents.
//!
//!     cargo bench -p pipe-retrieval --bench million -- make COUNT FILE      # one document a line
//!     cargo bench -p pipe-retrieval --bench million -- bm25 FILE QUERIES INDEX
//!     cargo bench -p pipe-retrieval --bench million -- dense COUNT QUERIES
//!
//! Words are drawn as in Zipf's law from 200,000. `peers/bm25.py` does the same with bm25s.
#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    time::Instant,
};

use pipe_retrieval::{Analyzer, Bm25, Bm25Builder, Bm25Params, DenseIndex, FileWords};

/// Texts that are handed over at a time.
const PORTION: usize = 1 << 16;
const WORDS: f64 = 200_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", count, file] => make(count.parse().unwrap(), Path::new(file)),
        ["bm25", file, queries, index] => bm25(Path::new(file), Path::new(queries), Path::new(index)),
        ["dense", count, queries] => dense(count.parse().unwrap(), queries.parse().unwrap()),
        // Test runners start benchmarks too, without arguments.
        _ => {}
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The word of a rank: syllables, fewer for the frequent ones.
fn word(mut rank: u64, to: &mut String) {
    const SYLLABLES: [&str; 25] = [
        "ka", "ro", "min", "tel", "su", "ve", "lor", "pa", "dis", "en", "gra", "ho", "ti", "bus", "na", "qui", "fer",
        "mo", "sta", "lin", "co", "pre", "ja", "wex", "zu",
    ];
    loop {
        to.push_str(SYLLABLES[(rank % 25) as usize]);
        rank /= 25;
        if rank == 0 {
            return;
        }
    }
}

fn text(words: usize, random: &mut Random) -> String {
    let mut text = String::new();
    for at in 0..words {
        if at > 0 {
            text.push(' ');
        }
        word((random.next() * WORDS.ln()).exp() as u64, &mut text);
    }
    text
}

fn make(count: usize, file: &Path) {
    let mut random = Random(count as u64);
    let mut out = BufWriter::new(File::create(file).unwrap());
    for _ in 0..count {
        let words = if file.ends_with("queries.txt") { 4 } else { 60 + (random.next() * 80.0) as usize };
        writeln!(out, "{}", text(words, &mut random)).unwrap();
    }
    out.flush().unwrap();
}

fn bm25(file: &Path, queries: &Path, index: &Path) {
    let begin = Instant::now();
    let mut builder = Bm25Builder::new(Analyzer::default());
    let mut lines = BufReader::new(File::open(file).unwrap()).lines().map(Result::unwrap);
    loop {
        let texts: Vec<String> = lines.by_ref().take(PORTION).collect();
        if texts.is_empty() {
            break;
        }
        builder.add(&texts);
    }
    let documents = builder.documents();
    builder.write(Bm25Params::default(), FileWords::create(index).unwrap()).unwrap();
    report(&format!("built over {documents} documents"), begin);
    let begin = Instant::now();
    let index = Bm25::open(index, Analyzer::default()).unwrap();
    report(&format!("opened, {} terms", index.terms()), begin);
    let queries: Vec<String> = BufReader::new(File::open(queries).unwrap()).lines().map(Result::unwrap).collect();
    for _ in 0..2 {
        let begin = Instant::now();
        let hits: usize = index.search_all(&queries, 10).iter().map(Vec::len).sum();
        report(&format!("{} queries, {hits} hits", queries.len()), begin);
    }
}

fn dense(count: usize, queries: usize) {
    const DIMENSION: usize = 384;
    let mut random = Random(7);
    let mut vector = || -> Vec<f32> { (0..DIMENSION).map(|_| (random.next() - 0.5) as f32).collect() };
    let mut index = DenseIndex::with_capacity(count, DIMENSION);
    for _ in 0..count {
        index.push(&vector()).unwrap();
    }
    let queries: Vec<Vec<f32>> = (0..queries).map(|_| vector()).collect();
    let begin = Instant::now();
    let hits: usize = index.search_all(&queries, 10).unwrap().iter().map(Vec::len).sum();
    report(&format!("{count} vectors, {} queries, {hits} hits", queries.len()), begin);
}

/// Seconds since `begin`; processor seconds and the peak of memory so far, where `/proc` says them.
fn report(what: &str, begin: Instant) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let cpu = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!("{what}: {:.2} s, CPU so far {cpu:.2} s, peak so far {peak}", begin.elapsed().as_secs_f64());
}
