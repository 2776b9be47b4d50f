//! Exact nearest neighbours by inner product. The vectors come from whatever embedder the caller has.
//!
//! Passages are compared in panels of sixteen, several queries at a time, so that a vector is read from memory once for
//! many queries. Each product is summed component by component, from the first to the last: its bits depend on the two
//! vectors alone.

use rayon::prelude::*;

use crate::top::{Best, Hit};

/// Passages side by side in a panel.
const PANEL: usize = 16;
/// Queries that go through a panel together.
const QUERIES: usize = 4;
/// Passages that a thread compares with all queries before their best are put together.
const PORTION: usize = 4096;

/// Passage vectors, scaled to length 1, so that the inner product is the cosine.
#[derive(Default)]
pub struct DenseIndex {
    dimension: usize,
    vectors: Vec<f32>,
}

/// Vectors that do not fit together.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DenseError {
    /// Two vectors of different length.
    #[error("vector {row} has {found} components, the others have {expected}")]
    Dimension {
        /// Position of the vector.
        row: usize,
        /// Its length.
        found: usize,
        /// The length of the first.
        expected: usize,
    },
    /// A NaN, an infinity, or nothing but zeros: no direction.
    #[error("vector {row} has no direction (it is zero or not finite)")]
    NoDirection {
        /// Position of the vector.
        row: usize,
    },
}

/// Appends a vector, scaled to length 1.
fn normalized(row: usize, vector: &[f32], to: &mut Vec<f32>) -> Result<(), DenseError> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(DenseError::NoDirection { row });
    }
    to.extend(vector.iter().map(|v| v / length));
    Ok(())
}

impl DenseIndex {
    /// An index of nothing yet, with room for some vectors.
    pub fn with_capacity(vectors: usize, dimension: usize) -> Self {
        Self { dimension, vectors: Vec::with_capacity(vectors * dimension) }
    }

    /// Takes the passages' vectors, in corpus order.
    ///
    /// # Errors
    /// They do not fit together, or one has no direction.
    pub fn new<V: AsRef<[f32]>>(passages: &[V]) -> Result<Self, DenseError> {
        let mut this = Self::with_capacity(passages.len(), passages.first().map_or(0, |first| first.as_ref().len()));
        passages.iter().try_for_each(|passage| this.push(passage.as_ref()))?;
        Ok(this)
    }

    /// Takes the next passage's vector.
    ///
    /// # Errors
    /// It is not as long as the others, or has no direction.
    pub fn push(&mut self, vector: &[f32]) -> Result<(), DenseError> {
        let row = self.len();
        if vector.len() != self.dimension {
            return Err(DenseError::Dimension { row, found: vector.len(), expected: self.dimension });
        }
        normalized(row, vector, &mut self.vectors)
    }

    /// The number of passages.
    pub fn len(&self) -> usize {
        self.vectors.len() / self.dimension.max(1)
    }

    /// Whether there are no passages.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }

    /// The `k` passages of the largest cosine for each query, best first.
    ///
    /// # Errors
    /// A query is not as long as the passages, or has no direction.
    pub fn search_all<V: AsRef<[f32]>>(&self, queries: &[V], k: usize) -> Result<Vec<Vec<Hit>>, DenseError> {
        if self.is_empty() {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let mut rows = Vec::with_capacity(queries.len() * self.dimension);
        for (row, query) in queries.iter().enumerate() {
            let query = query.as_ref();
            if query.len() != self.dimension {
                return Err(DenseError::Dimension { row, found: query.len(), expected: self.dimension });
            }
            normalized(row, query, &mut rows)?;
        }
        let groups: Vec<Vec<f32>> =
            rows.chunks(QUERIES * self.dimension).map(|rows| by_component(rows, self.dimension, QUERIES)).collect();
        let mut best: Vec<Best> = queries.iter().map(|_| Best::new(k)).collect();
        let size = PORTION.min(self.len().div_ceil(rayon::current_num_threads()).next_multiple_of(PANEL));
        let portions: Vec<(usize, &[f32])> = self.vectors.chunks(size * self.dimension).enumerate().collect();
        for round in portions.chunks(rayon::current_num_threads()) {
            let found: Vec<Vec<Best>> = round
                .par_iter()
                .map(|(number, vectors)| self.portion(number * size, vectors, &groups, &best, k))
                .collect();
            for portion in found {
                for (best, portion) in best.iter_mut().zip(portion) {
                    portion.into_hits().into_iter().for_each(|hit| best.offer(hit));
                }
            }
        }
        Ok(best.into_iter().map(Best::into_hits).collect())
    }

    /// The best of some passages for each query, as far as they may be among the best of all.
    fn portion(&self, first: usize, vectors: &[f32], groups: &[Vec<f32>], so_far: &[Best], k: usize) -> Vec<Best> {
        let mut best: Vec<Best> = so_far.iter().map(|_| Best::new(k)).collect();
        let least: Vec<f32> = so_far.iter().map(Best::least).collect();
        for (number, rows) in vectors.chunks(PANEL * self.dimension).enumerate() {
            let panel = by_component(rows, self.dimension, PANEL);
            let (start, count) = (first + number * PANEL, rows.len() / self.dimension);
            for (group, queries) in groups.iter().enumerate() {
                let scores = products(&panel, queries);
                let queries = group * QUERIES..best.len().min((group + 1) * QUERIES);
                for (query, scores) in queries.zip(&scores) {
                    let best = &mut best[query];
                    let least = least[query].max(best.least());
                    // Without a way out, which would keep it from being done several at a time. What equals the least
                    // is offered, too: it may stand before it in the corpus.
                    if scores.iter().map(|&score| u32::from(score >= least)).sum::<u32>() > 0 {
                        for (i, &score) in scores[..count].iter().enumerate() {
                            best.offer(Hit { document: start + i, score });
                        }
                    }
                }
            }
        }
        best
    }
}

/// Rows of `dimension` components turned so that the first components of `width` rows come first; what is missing is 0.
fn by_component(rows: &[f32], dimension: usize, width: usize) -> Vec<f32> {
    let mut turned = vec![0.0; dimension * width];
    for (at, row) in rows.chunks_exact(dimension).enumerate() {
        for (component, &value) in row.iter().enumerate() {
            turned[component * width + at] = value;
        }
    }
    turned
}

/// The inner products of a panel's passages with a group of queries.
fn products(panel: &[f32], queries: &[f32]) -> [[f32; PANEL]; QUERIES] {
    #[inline(always)]
    fn body(panel: &[f32], queries: &[f32]) -> [[f32; PANEL]; QUERIES] {
        let mut sums = [[0.0_f32; PANEL]; QUERIES];
        let (passages, queries) = (panel.as_chunks::<PANEL>().0, queries.as_chunks::<QUERIES>().0);
        // Counted through: what iterators call is not always inlined into a function with further instructions, and
        // was nine tenths of the time.
        for step in 0..passages.len().min(queries.len()) {
            let (passages, queries) = (&passages[step], &queries[step]);
            for i in 0..QUERIES {
                for j in 0..PANEL {
                    // Rounded twice, as everywhere without fused instructions: the same bits on every machine.
                    sums[i][j] += passages[j] * queries[i];
                }
            }
        }
        sums
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn wide(panel: &[f32], queries: &[f32]) -> [[f32; PANEL]; QUERIES] {
            body(panel, queries)
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 was detected.
            return unsafe { wide(panel, queries) };
        }
    }
    body(panel, queries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::top_k;

    #[test]
    fn ranks_by_cosine_whatever_the_length() {
        let index = DenseIndex::new(&[vec![1.0, 0.0], vec![0.0, 5.0], vec![3.0, 3.0]]).unwrap();
        let hits = index.search_all(&[vec![0.1, 0.2]], 2).unwrap().remove(0);
        assert_eq!(hits.iter().map(|h| h.document).collect::<Vec<_>>(), [2, 1]);
        assert!((hits[0].score - 0.948_683).abs() < 1e-5);
    }

    /// With many ties, over several portions and groups, and by several threads: the bits of products one by one.
    #[test]
    fn panels_find_what_a_plain_loop_finds() {
        let mut state = 1_u64;
        let mut vector = |steps: u64| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 33) % steps) as f32 - steps as f32 / 2.0 + 0.25
            };
            (0..19).map(|_| next()).collect()
        };
        let passages: Vec<Vec<f32>> = (0..9001).map(|i| vector(if i % 2 == 0 { 2 } else { 1000 })).collect();
        let queries: Vec<Vec<f32>> = (0..7).map(|_| vector(3)).collect();
        let index = DenseIndex::new(&passages).unwrap();
        let unit = |vector: &[f32]| {
            let mut unit = Vec::new();
            normalized(0, vector, &mut unit).unwrap();
            unit
        };
        for k in [1, 10, 9001] {
            let found = index.search_all(&queries, k).unwrap();
            for (query, found) in queries.iter().zip(found) {
                let query = unit(query);
                let score = |passage: &[f32]| unit(passage).iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
                let hits = passages.iter().enumerate().map(|(document, p)| Hit { document, score: score(p) });
                assert_eq!(found, top_k(hits.collect(), k));
            }
        }
    }

    #[test]
    fn misfits_are_named() {
        assert_eq!(
            DenseIndex::new(&[vec![1.0], vec![1.0, 2.0]]).err(),
            Some(DenseError::Dimension { row: 1, found: 2, expected: 1 })
        );
        assert_eq!(DenseIndex::new(&[vec![0.0]]).err(), Some(DenseError::NoDirection { row: 0 }));
        let index = DenseIndex::new(&[vec![1.0, 0.0]]).unwrap();
        assert!(index.search_all(&[vec![1.0]], 1).is_err());
    }
}
