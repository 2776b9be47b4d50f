//! `index`: a corpus, prepared for search by words.

use pipe_engine::{
    context::StageContext,
    kind::{Column, InputPort, OutputPort, PortType, Ports, Role, StageError, StageKind},
};
use pipe_retrieval::{Analyzer, Bm25, Bm25Builder, Bm25Params, FileWords, Stemmer, StopWords};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::{
    corpus::{self, Fingerprint, each_passage},
    ports,
};

/// Makes a BM25 index of a corpus, for the input `index` of `retrieve`: the corpus is then analysed once, whatever
/// number of stages and variants search it, and they map the index instead of holding it.
///
/// The corpus is read in portions; what is held is a fraction of its text. What is found is what `retrieve` finds
/// without an index, to the bit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexParams {
    /// Saturation of the term frequency.
    #[serde(default = "k1")]
    #[schemars(range(min = 0.0))]
    pub k1: f64,
    /// Share of length normalisation.
    #[serde(default = "b")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub b: f64,
    /// What happens to word endings.
    #[serde(default)]
    pub stemmer: Stemmer,
    /// Which words are left out.
    #[serde(default)]
    pub stop_words: StopWords,
}

pub(crate) fn k1() -> f64 {
    0.9
}

pub(crate) fn b() -> f64 {
    0.4
}

/// The kind.
pub struct Index;

/// What stands beside an index: of what it is, and how it was made.
#[derive(Debug, Serialize, Deserialize)]
struct Card {
    documents: usize,
    terms: usize,
    /// See [`Fingerprint`].
    corpus: String,
    params: IndexParams,
}

const FILE: &str = "bm25.index";
const CARD: &str = "index.json";
/// Documents that are analysed at a time.
const PORTION: usize = 1 << 15;

impl StageKind for Index {
    type Params = IndexParams;
    const NAME: &'static str = "index";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, _params: &IndexParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new(corpus::PORT, PortType::Table, true)
                    .role(Role::Documents)
                    .about("The passages that are to be found.")
                    .needs([Column::text("text", "The passage.")])
                    .takes([ports::id(), Column::text("title", "Put in front of the text.")]),
            ],
            open_inputs: false,
            outputs: vec![OutputPort::new("index", PortType::Files).about("The index, for `retrieve`.")],
        }
    }

    fn run(&self, params: &IndexParams, cx: &mut StageContext) -> Result<(), StageError> {
        let table = cx.table(corpus::PORT)?;
        let analyzer = Analyzer { stemmer: params.stemmer, stop_words: params.stop_words };
        let (mut builder, mut print) = (Bm25Builder::new(analyzer), Fingerprint::default());
        let mut waiting: Vec<String> = Vec::new();
        let (mut done, total) = (0, table.num_rows());
        let empty = each_passage(&table, |id, text| {
            print.add(&id, &text);
            waiting.push(text);
            if waiting.len() == PORTION {
                cx.check_cancelled()?;
                builder.add(&waiting);
                done += waiting.len() as u64;
                waiting.clear();
                cx.progress(done, Some(total), "passages");
            }
            Ok(())
        })?;
        builder.add(&waiting);
        drop(waiting);
        if empty > 0 {
            cx.counter("passages_empty", empty as u64);
            cx.warn(format!("{empty} rows of `corpus` have no text and were left out"));
        }
        let dir = cx.output_dir("index")?;
        let path = dir.join(FILE);
        let failed = |e| StageError::other("write the index", e);
        let weights = Bm25Params { k1: params.k1 as f32, b: params.b as f32 };
        builder.write(weights, FileWords::create(&path).map_err(failed)?).map_err(failed)?;
        let index = Bm25::open(&path, analyzer).map_err(failed)?;
        let card = Card {
            documents: index.documents(),
            terms: index.terms(),
            corpus: print.finish().to_string(),
            params: params.clone(),
        };
        let text = serde_json::to_string_pretty(&card).map_err(|e| StageError::other("describe the index", e))?;
        std::fs::write(dir.join(CARD), text + "\n").map_err(failed)
    }
}

/// Opens the index in a folder that this kind has made.
///
/// # Errors
/// It is none, or was made of another corpus or with other parameters.
pub(crate) fn open(dir: &std::path::Path, params: &IndexParams, print: &Fingerprint) -> Result<Bm25, StageError> {
    let place = dir.join(CARD);
    let other = |what: &str| {
        let help = "connect the output of an `index` stage over the same `corpus`, with the same parameters";
        StageError::user_help(format!("the input `index` {what}"), help)
    };
    let text = std::fs::read_to_string(&place).map_err(|e| other(&format!("has no {CARD} that can be read ({e})")))?;
    let card: Card = serde_json::from_str(&text).map_err(|e| other(&format!("has a {CARD} of another form ({e})")))?;
    if card.corpus != print.finish().to_string() {
        return Err(other("was made of another corpus than the input `corpus`"));
    }
    let said = |params: &IndexParams| serde_json::to_value(params).unwrap_or_default();
    let (made, wanted) = (said(&card.params), said(params));
    if let Some((name, value)) = wanted.as_object().and_then(|all| all.iter().find(|(name, v)| made[*name] != **v)) {
        return Err(other(&format!("was made with `{name}: {}`, and this stage says {value}", made[name])));
    }
    let analyzer = Analyzer { stemmer: params.stemmer, stop_words: params.stop_words };
    Bm25::open(&dir.join(FILE), analyzer).map_err(|e| StageError::other("open the index", e))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { corpus: embedded_world.cards }, params: {}",
    version: 1,
    outputs: &[("index", "d90a3700a8060725b3cfbb1994246b4d49dc53cc638b226c36b8aee1f08a658f")],
};
