//! Exact nearest neighbours by inner product. The vectors come from whatever embedder the caller has.

use rayon::prelude::*;

use crate::top::{Hit, top_k};

/// Passage vectors, scaled to length 1, so that the inner product is the cosine.
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

fn normalized(row: usize, vector: &[f32]) -> Result<Vec<f32>, DenseError> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(DenseError::NoDirection { row });
    }
    Ok(vector.iter().map(|v| v / length).collect())
}

impl DenseIndex {
    /// Takes the passages' vectors, in corpus order.
    pub fn new(passages: &[Vec<f32>]) -> Result<Self, DenseError> {
        let dimension = passages.first().map_or(0, Vec::len);
        let mut vectors = Vec::with_capacity(dimension * passages.len());
        for (row, vector) in passages.iter().enumerate() {
            if vector.len() != dimension {
                return Err(DenseError::Dimension { row, found: vector.len(), expected: dimension });
            }
            vectors.extend(normalized(row, vector)?);
        }
        Ok(Self { dimension, vectors })
    }

    /// The `k` passages of the largest cosine for each query, best first.
    pub fn search_all(&self, queries: &[Vec<f32>], k: usize) -> Result<Vec<Vec<Hit>>, DenseError> {
        queries.par_iter().enumerate().map(|(row, query)| self.search(row, query, k)).collect()
    }

    fn search(&self, row: usize, query: &[f32], k: usize) -> Result<Vec<Hit>, DenseError> {
        if self.vectors.is_empty() {
            return Ok(Vec::new());
        }
        if query.len() != self.dimension {
            return Err(DenseError::Dimension { row, found: query.len(), expected: self.dimension });
        }
        let query = normalized(row, query)?;
        let score = |passage: &[f32]| passage.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let passages = self.vectors.chunks_exact(self.dimension).enumerate();
        Ok(top_k(passages.map(|(document, passage)| Hit { document, score: score(passage) }).collect(), k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_cosine_whatever_the_length() {
        let index = DenseIndex::new(&[vec![1.0, 0.0], vec![0.0, 5.0], vec![3.0, 3.0]]).unwrap();
        let hits = index.search_all(&[vec![0.1, 0.2]], 2).unwrap().remove(0);
        assert_eq!(hits.iter().map(|h| h.document).collect::<Vec<_>>(), [2, 1]);
        assert!((hits[0].score - 0.948_683).abs() < 1e-5);
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
