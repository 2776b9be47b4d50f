//! The corpus, indexed as the method wants it.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::embed::Embedder;
use pipe_retrieval::{Analyzer, Bm25, Bm25Params, DenseIndex, Hit, Lsa, reciprocal_rank};

use super::{Method, RetrieveParams};
use crate::{
    model::{model_error, model_files},
    prompts::Passage,
    rows::columns::{self, TextColumn},
};

const PORT: &str = "corpus";

/// The passages.
#[derive(Default)]
pub(crate) struct Corpus {
    ids: Vec<String>,
    /// Title and text.
    texts: Vec<String>,
    /// Rows without a text, which are left out.
    pub empty: usize,
}

impl Corpus {
    /// Reads a corpus.
    ///
    /// # Errors
    /// It is empty, or its texts are; a column is missing; an id occurs twice.
    pub(crate) fn read(batch: &RecordBatch) -> Result<Self, StageError> {
        let ids = columns::ids(batch, PORT)?;
        if ids.is_empty() {
            return Err(StageError::user_help(
                format!("the input `{PORT}` has no rows: there is nothing to retrieve"),
                "connect a corpus, or use `method: none`",
            ));
        }
        let title = TextColumn::optional(batch, PORT, "title")?;
        let text = TextColumn::required(batch, PORT, "text")?;
        let mut corpus = Self::default();
        for (row, id) in ids.into_iter().enumerate() {
            let text = text.or_empty(row).trim();
            if text.is_empty() {
                corpus.empty += 1;
                continue;
            }
            let title = title.as_ref().map_or("", |c| c.or_empty(row)).trim();
            corpus.texts.push(if title.is_empty() { text.to_owned() } else { format!("{title}: {text}") });
            corpus.ids.push(id);
        }
        if corpus.ids.is_empty() {
            return Err(StageError::user(format!("no row of the input `{PORT}` has a `text`")));
        }
        Ok(corpus)
    }

    /// A retrieved passage.
    pub(crate) fn passage(&self, hit: &Hit) -> Passage {
        Passage {
            id: self.ids[hit.document].clone(),
            text: self.texts[hit.document].clone(),
            score: f64::from(hit.score),
        }
    }
}

/// What makes vectors.
enum Vectors {
    Model(Box<Embedder>, String),
    Lsa(Lsa),
}

/// Vectors of those passages that have a direction.
struct Dense {
    vectors: Vectors,
    index: DenseIndex,
    /// The passage behind each vector of the index.
    documents: Vec<usize>,
}

/// The corpus, ready to be searched.
pub(crate) struct Index {
    method: Method,
    depth: usize,
    bm25: Option<Bm25>,
    dense: Option<Dense>,
}

/// Whether a vector can be compared with others. One that cannot is its text's own affair: it finds nothing and is not
/// found.
fn has_direction(vector: &[f32]) -> bool {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    length.is_finite() && length > 0.0
}

impl Vectors {
    fn of(&self, cx: &StageContext, texts: &[String], prefix: &str) -> Result<Vec<Vec<f32>>, StageError> {
        match self {
            Self::Lsa(lsa) => {
                use rayon::prelude::*;
                Ok(texts.par_iter().map(|text| lsa.embed(text)).collect())
            }
            Self::Model(embedder, _) => {
                let prefixed: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
                let token = cx.cancel_token();
                let vectors = embedder.embed_all(&prefixed, || token.reason().is_none()).map_err(model_error)?;
                vectors.ok_or(StageError::Cancelled)
            }
        }
    }
}

impl Dense {
    fn build(params: &RetrieveParams, cx: &StageContext, corpus: &Corpus) -> Result<Self, StageError> {
        let vectors = match &params.embedder {
            Some(_) if cx.optional_files("embedder")?.is_some() => {
                return Err(StageError::user_help(
                    "the embedder is given twice: as the parameter `embedder` and as the input `embedder`",
                    "leave one of them out",
                ));
            }
            None => Self::open(params, cx.files("embedder")?)?,
            Some(named) => match named.model().map_err(StageError::user)? {
                Some(model) => Self::open(params, model_files(cx, &model)?)?,
                None => Vectors::Lsa(Lsa::new(&corpus.texts, analyzer(params), params.dimensions)),
            },
        };
        let all = vectors.of(cx, &corpus.texts, &params.passage_prefix)?;
        let documents: Vec<usize> = (0..all.len()).filter(|&i| has_direction(&all[i])).collect();
        let kept: Vec<Vec<f32>> = all.into_iter().filter(|v| has_direction(v)).collect();
        let index = DenseIndex::new(&kept).map_err(|e| StageError::other("index the passages' vectors", e))?;
        Ok(Self { vectors, index, documents })
    }

    fn open(params: &RetrieveParams, dir: PathBuf) -> Result<Vectors, StageError> {
        let embedder = Embedder::open(&dir, params.pooling).map_err(model_error)?;
        Ok(Vectors::Model(Box::new(embedder), params.query_prefix.clone()))
    }

    fn search(&self, cx: &StageContext, queries: &[String], k: usize) -> Result<Vec<Vec<Hit>>, StageError> {
        let prefix = match &self.vectors {
            Vectors::Model(_, prefix) => prefix.as_str(),
            Vectors::Lsa(_) => "",
        };
        let vectors = self.vectors.of(cx, queries, prefix)?;
        // A query that shares no term with the corpus has no direction, and finds nothing.
        let known: Vec<usize> = (0..vectors.len()).filter(|&i| has_direction(&vectors[i])).collect();
        let asked: Vec<Vec<f32>> = vectors.into_iter().filter(|v| has_direction(v)).collect();
        let hits =
            self.index.search_all(&asked, k).map_err(|e| StageError::other("search the passages' vectors", e))?;
        let mut found = vec![Vec::new(); queries.len()];
        for (query, hits) in known.into_iter().zip(hits) {
            found[query] = hits.into_iter().map(|h| Hit { document: self.documents[h.document], ..h }).collect();
        }
        Ok(found)
    }
}

fn analyzer(params: &RetrieveParams) -> Analyzer {
    Analyzer { stemmer: params.stemmer, stop_words: params.stop_words }
}

impl Index {
    /// Indexes the corpus.
    ///
    /// # Errors
    /// The embedder cannot be used.
    pub(crate) fn build(params: &RetrieveParams, cx: &StageContext, corpus: &Corpus) -> Result<Self, StageError> {
        let bm25 = matches!(params.method, Method::Bm25 | Method::Hybrid).then(|| {
            let weights = Bm25Params { k1: params.k1 as f32, b: params.b as f32 };
            Bm25::new(&corpus.texts, analyzer(params), weights)
        });
        let dense = if params.is_dense() { Some(Dense::build(params, cx, corpus)?) } else { None };
        Ok(Self { method: params.method, depth: params.depth.max(params.top_k), bm25, dense })
    }

    /// The best `k` passages of each query.
    ///
    /// # Errors
    /// The embedder fails.
    pub(crate) fn search(&self, cx: &StageContext, queries: &[String], k: usize) -> Result<Vec<Vec<Hit>>, StageError> {
        let depth = if self.method == Method::Hybrid { self.depth } else { k };
        let words = self.bm25.as_ref().map(|bm25| bm25.search_all(queries, depth));
        let vectors = self.dense.as_ref().map(|dense| dense.search(cx, queries, depth)).transpose()?;
        Ok(match (words, vectors) {
            (Some(words), Some(vectors)) => {
                words.into_iter().zip(vectors).map(|(w, v)| reciprocal_rank(&[w, v], k)).collect()
            }
            (Some(hits), None) | (None, Some(hits)) => hits,
            (None, None) => vec![Vec::new(); queries.len()],
        })
    }
}
