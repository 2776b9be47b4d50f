//! Latent semantic analysis: dense vectors from the corpus alone (Deerwester et al. 1990).
//!
//! Texts become tf-idf vectors of length 1 (`(1 + ln tf) · ln((1 + N)/(1 + df)) + 1`-weighted, as scikit-learn's smooth
//! idf with sublinear tf), projected onto the space of the corpus's largest right singular vectors. That space is found
//! by subspace iteration from a fixed pseudo-random start (Halko et al. 2011, arXiv:0909.4061); cosines within it do
//! not depend on the choice of its basis, so none is computed.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::analyzer::Analyzer;

/// Rounds of subspace iteration; the error falls with the square of the ratio of singular values in each.
const ROUNDS: usize = 6;

/// A projection learnt from a corpus.
pub struct Lsa {
    analyzer: Analyzer,
    terms: HashMap<String, u32>,
    idf: Vec<f32>,
    /// `[terms, dimensions]`, orthonormal columns.
    basis: Vec<f32>,
    dimensions: usize,
}

type Sparse = Vec<(u32, f32)>;

/// A number in (-1, 1) that depends on its place alone (splitmix64).
fn noise(place: u64) -> f32 {
    let mut z = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

impl Lsa {
    /// Learns at most `dimensions` directions; fewer where the corpus has fewer texts or terms.
    pub fn new<S: AsRef<str> + Sync>(corpus: &[S], analyzer: Analyzer, dimensions: usize) -> Self {
        let words: Vec<Vec<String>> = corpus.par_iter().map(|text| analyzer.terms(text.as_ref())).collect();
        let mut terms: HashMap<String, u32> = HashMap::new();
        let mut frequency: Vec<f32> = Vec::new();
        let mut last_seen: Vec<usize> = Vec::new();
        for (document, words) in words.iter().enumerate() {
            for word in words {
                let next = frequency.len() as u32;
                let term = *terms.entry(word.clone()).or_insert(next) as usize;
                if term == frequency.len() {
                    frequency.push(0.0);
                    last_seen.push(usize::MAX);
                }
                if last_seen[term] != document {
                    last_seen[term] = document;
                    frequency[term] += 1.0;
                }
            }
        }
        let n = corpus.len() as f32;
        let idf: Vec<f32> = frequency.iter().map(|df| ((1.0 + n) / (1.0 + df)).ln() + 1.0).collect();
        let dimensions = dimensions.min(idf.len()).min(corpus.len());
        let mut this = Self { analyzer, terms, idf, basis: Vec::new(), dimensions };
        let rows: Vec<Sparse> = words.par_iter().map(|words| this.weigh(words)).collect();
        this.basis = this.iterate(&rows);
        this
    }

    /// The number of components of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vector of a text; all zero where it shares no term with the corpus.
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0; self.dimensions];
        for (term, weight) in self.weigh(&self.analyzer.terms(text)) {
            let row = &self.basis[term as usize * self.dimensions..][..self.dimensions];
            for (v, b) in vector.iter_mut().zip(row) {
                *v += weight * b;
            }
        }
        vector
    }

    /// The tf-idf vector of some words, of length 1, by ascending term.
    fn weigh(&self, words: &[String]) -> Sparse {
        let mut known: Vec<u32> = words.iter().filter_map(|word| self.terms.get(word).copied()).collect();
        known.sort_unstable();
        let mut sparse: Sparse = Vec::new();
        for term in known {
            match sparse.last_mut() {
                Some((last, tf)) if *last == term => *tf += 1.0,
                _ => sparse.push((term, 1.0)),
            }
        }
        for (term, weight) in &mut sparse {
            *weight = (1.0 + weight.ln()) * self.idf[*term as usize];
        }
        let length = sparse.iter().map(|(_, w)| w * w).sum::<f32>().sqrt();
        for (_, weight) in &mut sparse {
            *weight /= length;
        }
        sparse
    }

    /// An orthonormal basis of the dominant right singular space of `rows`.
    fn iterate(&self, rows: &[Sparse]) -> Vec<f32> {
        let (k, terms) = (self.dimensions, self.idf.len());
        let mut basis: Vec<f32> = (0..terms * k).map(|i| noise(i as u64)).collect();
        if k == 0 {
            return basis;
        }
        // By term, so that both products are sums in a fixed order, whatever the number of threads.
        let mut columns: Vec<Vec<(u32, f32)>> = vec![Vec::new(); terms];
        for (document, row) in rows.iter().enumerate() {
            for &(term, weight) in row {
                columns[term as usize].push((document as u32, weight));
            }
        }
        orthonormalise(&mut basis, k);
        for _ in 0..ROUNDS {
            let projected = multiply(rows, &basis, k);
            basis = multiply(&columns, &projected, k);
            orthonormalise(&mut basis, k);
        }
        basis
    }
}

/// The product of a sparse matrix, given by rows, with a dense one of `k` columns.
fn multiply(rows: &[Sparse], dense: &[f32], k: usize) -> Vec<f32> {
    let mut product = vec![0.0; rows.len() * k];
    product.par_chunks_exact_mut(k).zip(rows).for_each(|(out, row)| {
        for &(index, weight) in row {
            let line = &dense[index as usize * k..][..k];
            for (o, d) in out.iter_mut().zip(line) {
                *o += weight * d;
            }
        }
    });
    product
}

/// Makes the `k` columns of a row-major matrix orthonormal (modified Gram-Schmidt, in f64). Columns that depend on
/// earlier ones become zero.
fn orthonormalise(matrix: &mut [f32], k: usize) {
    let rows = matrix.len() / k;
    let mut columns: Vec<Vec<f64>> =
        (0..k).map(|c| (0..rows).map(|r| f64::from(matrix[r * k + c])).collect()).collect();
    for c in 0..k {
        let (current, later) = columns[c..].split_first_mut().expect("c is below k");
        let length = dot(current, current).sqrt();
        let scale = if length > 1e-9 { 1.0 / length } else { 0.0 };
        for value in &mut *current {
            *value *= scale;
        }
        later.par_iter_mut().for_each(|other| {
            let overlap = dot(current, other);
            for (o, v) in other.iter_mut().zip(current.iter()) {
                *o -= overlap * v;
            }
        });
    }
    for (c, column) in columns.iter().enumerate() {
        for (r, value) in column.iter().enumerate() {
            matrix[r * k + c] = *value as f32;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: [&str; 6] = [
        "the liver makes enzymes and bile",
        "bile is made by the liver",
        "bile and enzymes digest fat",
        "the heart pumps blood through arteries",
        "arteries carry blood from the heart",
        "blood returns through veins to the heart",
    ];

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn texts_of_one_subject_are_close_without_sharing_a_term() {
        let lsa = Lsa::new(&CORPUS, Analyzer::default(), 2);
        let (enzymes, fat, veins) = (lsa.embed("enzymes"), lsa.embed("fat"), lsa.embed("veins"));
        assert!(cosine(&enzymes, &fat) > 0.9 && cosine(&enzymes, &veins) < 0.3, "{enzymes:?} {fat:?} {veins:?}");
        assert_eq!(lsa.embed("zebra"), [0.0, 0.0]);
    }

    #[test]
    fn the_basis_spans_what_a_full_decomposition_keeps() {
        // With as many directions as texts nothing of the corpus is lost: cosines are those of the tf-idf vectors.
        let lsa = Lsa::new(&CORPUS, Analyzer::default(), 99);
        assert_eq!(lsa.dimensions(), 6);
        let rows: Vec<Sparse> = CORPUS.iter().map(|text| lsa.weigh(&lsa.analyzer.terms(text))).collect();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let exact: f32 =
                    a.iter().flat_map(|(t, x)| b.iter().filter(move |(u, _)| u == t).map(move |(_, y)| x * y)).sum();
                let found = cosine(&lsa.embed(CORPUS[i]), &lsa.embed(CORPUS[j]));
                assert!((exact - found).abs() < 1e-3, "{i} {j}: {exact} {found}");
            }
        }
    }

    #[test]
    fn an_empty_corpus_has_no_directions() {
        assert!(Lsa::new::<&str>(&[], Analyzer::default(), 8).embed("x").is_empty());
    }
}
