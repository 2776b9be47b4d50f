//! The parameters of `retrieve`.

use pipe_lm::embed::Pooling;
use pipe_retrieval::{Stemmer, StopWords};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::again::{Rerank, Weights};
use crate::{
    kinds::index::IndexParams,
    model::embedder::{EmbedderRef, ModelPrompts},
};

/// Adds to each row the passages of a corpus that fit it best.
///
/// BM25 is Lucene's form with Anserini's defaults. Dense retrieval compares vectors, exactly, by cosine: those of an
/// embedding model (see `embed`), or of a latent semantic analysis of the corpus, which needs no model. `hybrid` fuses
/// both rankings by reciprocal rank (Cormack et al. 2009). `rerank` has a cross-encoder read the best of them (Nogueira
/// and Cho 2019). Passages with equal scores stand in corpus order.
///
/// A large corpus is analysed once by a stage `index`, and embedded once by a stage `embed`: their results are the
/// inputs `index` and `vectors`, and what is found is the same.
///
/// `none` adds empty lists: the ablation without retrieval. A row without a query, or on which `query_template` fails,
/// finds nothing.
///
/// BM25: Robertson and Zaragoza 2009; which form is whose: Kamphuis et al. 2020. LSA: Deerwester et al. 1990.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrieveParams {
    /// How passages are found.
    #[serde(default)]
    pub method: Method,
    /// Passages per row; fewer where fewer fit at all.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub top_k: usize,
    /// BM25: saturation of the term frequency.
    #[serde(default = "k1")]
    #[schemars(range(min = 0.0))]
    pub k1: f64,
    /// BM25: share of length normalisation.
    #[serde(default = "b")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub b: f64,
    /// BM25 and `lsa`: what happens to word endings.
    #[serde(default)]
    pub stemmer: Stemmer,
    /// BM25 and `lsa`: which words are left out.
    #[serde(default)]
    pub stop_words: StopWords,
    /// The columns that make the query, joined by spaces; missing ones and empty values are skipped, but one must be
    /// there.
    #[serde(default = "query_columns")]
    pub query_columns: Vec<String>,
    /// A minijinja template for the query over the row's text columns, in place of `query_columns`.
    #[serde(default)]
    #[schemars(extend("x-variables" = [{ "name": "COLUMN", "about": "A column of texts of `queries`, by name." }]))]
    pub query_template: Option<String>,
    /// Dense: `lsa`, or an embedding model (a Hugging Face directory relative to the file that names it, or
    /// `hf:org/name@revision`). Its content is part of the key, its place is not. Not needed with the input `embedder`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub embedder: Option<EmbedderRef>,
    /// Dense, embedding models: how a text's token vectors become one; as the model's own files say when left out, else
    /// their mean.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// Dense, embedding models: written in front of queries (E5 wants `query: `).
    #[serde(default)]
    pub query_prefix: String,
    /// Dense, embedding models: written in front of passages (E5 wants `passage: `).
    #[serde(default)]
    pub passage_prefix: String,
    /// Dense, `lsa`: dimensions that are kept.
    #[serde(default = "dimensions")]
    #[schemars(range(min = 1))]
    pub dimensions: usize,
    /// Hybrid: passages of each ranking that are fused.
    #[serde(default = "depth")]
    #[schemars(range(min = 1))]
    pub depth: usize,
    /// Hybrid: what a place in each ranking counts, 1 in both when left out.
    #[serde(default, skip_serializing_if = "Weights::is_usual")]
    pub weights: Weights,
    /// Dense, embedding models: whether the model's own prompts stand in front of queries and passages where no prefix
    /// is given.
    #[serde(default, skip_serializing_if = "ModelPrompts::is_usual")]
    pub prompts: ModelPrompts,
    /// A model that reads each query with each of the best passages, and puts these in order once more; their scores
    /// are then its logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Rerank>,
}

fn three() -> usize {
    3
}

fn k1() -> f64 {
    0.9
}

fn b() -> f64 {
    0.4
}

pub(super) fn query_columns() -> Vec<String> {
    vec!["instruction".into(), "input".into()]
}

fn dimensions() -> usize {
    128
}

fn depth() -> usize {
    100
}

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Not at all.
    None,
    /// By words in common.
    #[default]
    Bm25,
    /// By the cosine of vectors.
    Dense,
    /// Both, fused by reciprocal rank.
    Hybrid,
}

impl RetrieveParams {
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.method, Method::Dense | Method::Hybrid)
    }

    /// What an index by words must have been made with.
    pub(super) fn words(&self) -> IndexParams {
        IndexParams { k1: self.k1, b: self.b, stemmer: self.stemmer, stop_words: self.stop_words }
    }
}
