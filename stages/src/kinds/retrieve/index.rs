//! The corpus, indexed as the method wants it.

use std::{collections::HashMap, path::PathBuf};

use pipe_engine::{
    context::{StageContext, TableInput},
    kind::StageError,
};
use pipe_lm::embed::{Embedder, Ranker, Role};
use pipe_retrieval::{Analyzer, Bm25, Bm25Params, DenseIndex, Hit, Lsa, reciprocal_rank};

use super::{Method, Rerank, RetrieveParams};
use crate::{
    kinds::{embed, index},
    model::{embedder, model_error, model_files},
    prompts::Passage,
    rows::{
        columns::Ids,
        corpus::{Fingerprint, each_passage},
    },
};

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
    pub(crate) fn read(table: &TableInput) -> Result<Self, StageError> {
        let (mut ids, mut texts) = (Vec::new(), Vec::new());
        let empty = each_passage(table, |id, text| {
            ids.push(id);
            texts.push(text);
            Ok(())
        })?;
        Ok(Self { ids, texts, empty })
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
    Model { embedder: Box<Embedder>, dir: PathBuf },
    Lsa(Lsa),
}

/// Vectors of those passages that have a direction.
struct Dense {
    vectors: Vectors,
    query_prefix: String,
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
    weights: [f32; 2],
    rerank: Option<(Box<Ranker>, usize)>,
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
            Self::Model { embedder, .. } => embedder::vectors(cx, embedder, texts, prefix),
        }
    }
}

/// Passages that are embedded at a time.
const PORTION: usize = 1 << 14;

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
        let prefix = |given: &str, role: Role| match &vectors {
            Vectors::Model { dir, .. } => params.prompts.prefix(cx, dir, given, role),
            Vectors::Lsa(_) => Ok(String::new()),
        };
        let query_prefix = prefix(&params.query_prefix, Role::Query)?;
        if let Some(table) = cx.optional_table("vectors")? {
            if !params.passage_prefix.is_empty() {
                cx.warn("`passage_prefix` changes nothing of the input `vectors`: give it to `embed`, as `prefix`");
            }
            let (index, documents) = given(params, &vectors, &table, corpus)?;
            return Ok(Self { vectors, query_prefix, index, documents });
        }
        let passage_prefix = prefix(&params.passage_prefix, Role::Document)?;
        let (mut index, mut documents) = (None, Vec::new());
        for (portion, texts) in corpus.texts.chunks(PORTION).enumerate() {
            for (at, vector) in vectors.of(cx, texts, &passage_prefix)?.into_iter().enumerate() {
                if has_direction(&vector) {
                    let index =
                        index.get_or_insert_with(|| DenseIndex::with_capacity(corpus.texts.len(), vector.len()));
                    index.push(&vector).map_err(unindexed)?;
                    documents.push(portion * PORTION + at);
                }
            }
        }
        if let Vectors::Model { embedder, .. } = &vectors {
            embedder::warn_of_cut(cx, embedder);
        }
        Ok(Self { vectors, query_prefix, index: index.unwrap_or_default(), documents })
    }

    fn open(params: &RetrieveParams, dir: PathBuf) -> Result<Vectors, StageError> {
        let embedder = Embedder::open(&dir, params.pooling).map_err(model_error)?;
        Ok(Vectors::Model { embedder: Box::new(embedder), dir })
    }

    fn search(&self, cx: &StageContext, queries: &[String], k: usize) -> Result<Vec<Vec<Hit>>, StageError> {
        let vectors = self.vectors.of(cx, queries, &self.query_prefix)?;
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

fn unindexed(error: pipe_retrieval::DenseError) -> StageError {
    StageError::other("index the passages' vectors", error)
}

/// The corpus's vectors out of a table, and the passage behind each.
fn given(
    params: &RetrieveParams,
    vectors: &Vectors,
    table: &TableInput,
    corpus: &Corpus,
) -> Result<(DenseIndex, Vec<usize>), StageError> {
    const PORT: &str = "vectors";
    let misfit = |what: String| {
        let help = "connect the output of an `embed` stage over the rows of `corpus`, with the embedder of this stage";
        StageError::user_help(what, help)
    };
    let Vectors::Model { embedder, dir } = vectors else {
        return Err(misfit(format!("`lsa` makes its own vectors, and takes no input `{PORT}`")));
    };
    // Of vectors that other programs made, nothing is known but their length.
    let made_by = table.schema().field_with_name("vector").ok().and_then(|field| field.metadata().get(embed::EMBEDDER));
    if let Some(made_by) = made_by
        && *made_by != embedder::identity(dir, params.pooling)?.to_string()
    {
        return Err(misfit(format!(
            "the vectors of the input `{PORT}` were made by another embedder than this stage's"
        )));
    }
    let mut places: HashMap<&str, usize> = corpus.ids.iter().enumerate().map(|(at, id)| (&**id, at)).collect();
    let (mut found, mut ids) = (Vec::with_capacity(corpus.ids.len()), Ids::default());
    let mut rows = vec![f32::NAN; corpus.ids.len() * embedder.dimensions()];
    for batch in table.batches() {
        let batch = batch?;
        for (id, vector) in embed::read(&batch, PORT, &mut ids)? {
            let Some(place) = places.remove(&*id) else { continue };
            let Some(vector) = vector else { continue };
            if vector.len() != embedder.dimensions() {
                let (has, wants) = (vector.len(), embedder.dimensions());
                return Err(misfit(format!("the vectors of the input `{PORT}` have {has} components, not {wants}")));
            }
            rows[place * vector.len()..][..vector.len()].copy_from_slice(vector);
        }
    }
    if let Some((id, _)) = places.into_iter().min_by_key(|&(_, place)| place) {
        return Err(misfit(format!("the input `{PORT}` has no row for the passage `{id}` of `corpus`")));
    }
    let mut index = DenseIndex::with_capacity(corpus.ids.len(), embedder.dimensions());
    for (place, vector) in rows.chunks_exact(embedder.dimensions()).enumerate() {
        if has_direction(vector) {
            index.push(vector).map_err(unindexed)?;
            found.push(place);
        }
    }
    Ok((index, found))
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
        let bm25 = if matches!(params.method, Method::Bm25 | Method::Hybrid) {
            Some(if let Some(dir) = cx.optional_files("index")? {
                let mut print = Fingerprint::default();
                for (id, text) in corpus.ids.iter().zip(&corpus.texts) {
                    print.add(id, text);
                }
                index::open(&dir, &params.words(), &print)?
            } else {
                let weights = Bm25Params { k1: params.k1 as f32, b: params.b as f32 };
                Bm25::new(&corpus.texts, analyzer(params), weights)
            })
        } else {
            None
        };
        let dense = if params.is_dense() { Some(Dense::build(params, cx, corpus)?) } else { None };
        let rerank = params.rerank.as_ref().filter(|_| params.method != Method::None);
        Ok(Self {
            method: params.method,
            depth: params.depth.max(params.top_k),
            bm25,
            dense,
            weights: [params.weights.bm25 as f32, params.weights.dense as f32],
            rerank: rerank.map(|rerank| ranker(rerank, cx)).transpose()?,
        })
    }

    /// The best `k` passages of each query.
    ///
    /// # Errors
    /// A model fails.
    pub(crate) fn search(
        &self,
        cx: &StageContext,
        corpus: &Corpus,
        queries: &[String],
        k: usize,
    ) -> Result<Vec<Vec<Hit>>, StageError> {
        let Some((ranker, read)) = &self.rerank else { return self.ranked(cx, queries, k) };
        let first = self.ranked(cx, queries, k.max(*read))?;
        let pairs: Vec<(&str, &str)> = (first.iter().zip(queries))
            .flat_map(|(hits, query)| hits.iter().map(|hit| (&**query, &*corpus.texts[hit.document])))
            .collect();
        let token = cx.cancel_token();
        let scores = ranker.score_all(&pairs, || token.reason().is_none()).map_err(model_error)?;
        let mut scores = scores.ok_or(StageError::Cancelled)?.into_iter();
        let again = |hits: Vec<Hit>| {
            let mut hits: Vec<Hit> =
                hits.into_iter().zip(&mut scores).map(|(hit, score)| Hit { score, ..hit }).collect();
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document)));
            hits.truncate(k);
            hits
        };
        Ok(first.into_iter().map(again).collect())
    }

    fn ranked(&self, cx: &StageContext, queries: &[String], k: usize) -> Result<Vec<Vec<Hit>>, StageError> {
        let depth = if self.method == Method::Hybrid { self.depth.max(k) } else { k };
        let words = self.bm25.as_ref().map(|bm25| bm25.search_all(queries, depth));
        let vectors = self.dense.as_ref().map(|dense| dense.search(cx, queries, depth)).transpose()?;
        Ok(match (words, vectors) {
            (Some(words), Some(vectors)) => {
                words.into_iter().zip(vectors).map(|(w, v)| reciprocal_rank(&[w, v], &self.weights, k)).collect()
            }
            (Some(hits), None) | (None, Some(hits)) => hits,
            (None, None) => vec![Vec::new(); queries.len()],
        })
    }
}

fn ranker(rerank: &Rerank, cx: &StageContext) -> Result<(Box<Ranker>, usize), StageError> {
    let model = rerank.model.model().map_err(StageError::user)?;
    let model = model.ok_or_else(|| StageError::user("`lsa` reads no pairs"))?;
    let ranker = Ranker::open(&model_files(cx, &model)?).map_err(model_error)?;
    Ok((Box::new(ranker), rerank.depth))
}
