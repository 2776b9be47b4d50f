//! How good a ranking of documents is, given judgements of what is relevant: the measures of trec_eval.
//!
//! A row of [`DEFINITIONS`] each. A document without a judgement is not relevant; one is relevant from 1 on; what is
//! gained by it is its relevance as it stands (not 2 to its power).

use std::{borrow::Cow, collections::HashMap, fmt, num::NonZeroUsize};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Puts scored documents into trec_eval's order: the largest score first, as numbers of 32 bits; of equal scores the
/// document first whose id is the greater text.
pub fn trec_order<T>(documents: &mut [T], of: impl Fn(&T) -> (f64, &str)) {
    documents.sort_by(|a, b| {
        let ((a, a_id), (b, b_id)) = (of(a), of(b));
        // Adding 0 makes 0 of -0, which is no less.
        (b as f32 + 0.0).total_cmp(&(a as f32 + 0.0)).then_with(|| b_id.cmp(a_id))
    });
}

/// A ranking in front of a measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The relevance of each document of the ranking, the best place first; 0 where it was not judged.
    ranked: Vec<i64>,
    /// The relevance of all relevant documents that there are, the largest first.
    relevant: Vec<i64>,
}

impl Judged {
    /// Looks up the documents of a ranking, which stand in order, among the judgements of its query.
    pub fn new<'a>(ranking: impl IntoIterator<Item = &'a str>, judgements: &HashMap<&str, i64>) -> Self {
        let ranked = ranking.into_iter().map(|id| judgements.get(id).copied().unwrap_or(0)).collect();
        let mut relevant: Vec<i64> = judgements.values().copied().filter(|relevance| *relevance > 0).collect();
        relevant.sort_unstable_by(|a, b| b.cmp(a));
        Self { ranked, relevant }
    }

    /// How many documents are relevant, and how many of them stand in the ranking.
    pub fn relevant(&self) -> (usize, usize) {
        (self.relevant.len(), self.found(self.ranked.len()))
    }

    fn cut(&self, k: usize) -> &[i64] {
        &self.ranked[..k.min(self.ranked.len())]
    }

    fn found(&self, k: usize) -> usize {
        self.cut(k).iter().filter(|relevance| **relevance > 0).count()
    }

    fn share_of_relevant(&self, sum: f64) -> f64 {
        if self.relevant.is_empty() { 0.0 } else { sum / self.relevant.len() as f64 }
    }
}

fn dcg(gains: &[i64]) -> f64 {
    let gain = |(place, gain): (usize, &i64)| (*gain).max(0) as f64 / ((place + 2) as f64).log2();
    gains.iter().enumerate().map(gain).sum()
}

/// One measure; `k` is `usize::MAX` where nothing is cut.
struct Definition {
    name: &'static str,
    heading: &'static str,
    doc: &'static str,
    /// Its name in trec_eval: cut, and not cut.
    trec_eval: [&'static str; 2],
    score: fn(&Judged, usize) -> f64,
}

const DEFINITIONS: [Definition; 6] = [
    Definition {
        name: "ndcg",
        heading: "nDCG",
        doc: "Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002): what is gained by the documents, \
              divided by log2(place + 1), of the most that could be.",
        trec_eval: ["ndcg_cut", "ndcg"],
        score: |judged, k| {
            let ideal = dcg(&judged.relevant[..k.min(judged.relevant.len())]);
            if ideal > 0.0 { dcg(judged.cut(k)) / ideal } else { 0.0 }
        },
    },
    Definition {
        name: "map",
        heading: "MAP",
        doc: "Average precision: the mean over all relevant documents of the precision at their places; 0 for those \
              that are not found.",
        trec_eval: ["map_cut", "map"],
        score: |judged, k| {
            let (mut found, mut sum) = (0, 0.0);
            for (place, relevance) in judged.cut(k).iter().enumerate() {
                if *relevance > 0 {
                    found += 1;
                    sum += f64::from(found) / (place + 1) as f64;
                }
            }
            judged.share_of_relevant(sum)
        },
    },
    Definition {
        name: "mrr",
        heading: "MRR",
        doc: "Reciprocal rank: 1 over the place of the first relevant document; 0 where there is none.",
        trec_eval: ["recip_rank of a cut run", "recip_rank"],
        score: |judged, k| {
            judged.cut(k).iter().position(|relevance| *relevance > 0).map_or(0.0, |place| 1.0 / (place + 1) as f64)
        },
    },
    Definition {
        name: "recall",
        heading: "recall",
        doc: "The share of the relevant documents that are found.",
        trec_eval: ["recall", "set_recall"],
        score: |judged, k| judged.share_of_relevant(judged.found(k) as f64),
    },
    Definition {
        name: "precision",
        heading: "precision",
        doc: "The share of the places that have a relevant document: of k, however many are filled; without k, of \
              those that are filled.",
        trec_eval: ["P", "set_P"],
        score: |judged, k| {
            let places = if k == usize::MAX { judged.ranked.len() } else { k };
            if places == 0 { 0.0 } else { judged.found(k) as f64 / places as f64 }
        },
    },
    Definition {
        name: "success",
        heading: "success",
        doc: "1 where a relevant document is found (hit rate).",
        trec_eval: ["success", "success_1000"],
        score: |judged, k| f64::from(u8::from(judged.found(k) > 0)),
    },
];

/// A measure of rankings, as pipeline files name it: `ndcg@10`, or `map` over the whole ranking.
#[derive(Clone, Copy)]
pub struct RankMetric {
    definition: &'static Definition,
    k: Option<NonZeroUsize>,
}

impl RankMetric {
    /// The measure of that name.
    pub fn named(text: &str) -> Option<Self> {
        let (name, k) = match text.split_once('@') {
            Some((name, k)) => (name, Some(k.parse().ok()?)),
            None => (text, None),
        };
        let definition = DEFINITIONS.iter().find(|definition| definition.name == name)?;
        Some(Self { definition, k })
    }

    /// All of them, over whole rankings.
    pub fn all() -> impl Iterator<Item = Self> {
        DEFINITIONS.iter().map(|definition| Self { definition, k: None })
    }

    /// The column of its scores: `ndcg_at_10`.
    pub fn column(self) -> String {
        self.k.map_or_else(|| self.definition.name.to_owned(), |k| format!("{}_at_{k}", self.definition.name))
    }

    /// Its heading in the table of arms.
    pub fn heading(self) -> String {
        self.k.map_or_else(|| self.definition.heading.to_owned(), |k| format!("{}@{k}", self.definition.heading))
    }

    /// What it is.
    pub const fn doc(self) -> &'static str {
        self.definition.doc
    }

    /// What trec_eval calls it, with a cut and without.
    pub const fn trec_eval(self) -> [&'static str; 2] {
        self.definition.trec_eval
    }

    /// What exactly is computed.
    pub fn signature(self) -> String {
        let k = self.k.map_or_else(|| "all".to_owned(), |k| k.to_string());
        let name = self.definition.name;
        format!("{name}|k:{k}|gain:linear|relevant:>=1|unjudged:0|trec_eval 9|v1")
    }

    /// The score, in `0..=1`.
    pub fn score(self, judged: &Judged) -> f64 {
        (self.definition.score)(judged, self.k.map_or(usize::MAX, NonZeroUsize::get))
    }
}

impl fmt::Display for RankMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.definition.name)?;
        self.k.map_or(Ok(()), |k| write!(f, "@{k}"))
    }
}

impl fmt::Debug for RankMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for RankMetric {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name && self.k == other.k
    }
}

impl Eq for RankMetric {}

impl Serialize for RankMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RankMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::named(&text).ok_or_else(|| {
            let names: Vec<&str> = DEFINITIONS.iter().map(|definition| definition.name).collect();
            de::Error::custom(format!(
                "unknown measure `{text}`, expected one of {}, alone or with a cut such as `ndcg@10`",
                names.join(", ")
            ))
        })
    }
}

impl JsonSchema for RankMetric {
    fn schema_name() -> Cow<'static, str> {
        "RankMetric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = DEFINITIONS.iter().map(|definition| definition.name).collect();
        json_schema!({
            "description": "A measure of rankings: ndcg, map, mrr, recall, precision or success, alone or of the first \
                            k places, such as `ndcg@10`.",
            "type": "string",
            "pattern": format!("^({})(@[1-9][0-9]*)?$", names.join("|")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_zero_is_no_less_than_zero() {
        let mut documents = [("b", -0.0), ("a", 0.0), ("c", -1.0)];
        trec_order(&mut documents, |(id, score)| (*score, id));
        assert_eq!(documents.map(|(id, _)| id), ["b", "a", "c"]);
    }

    #[test]
    fn measures_are_read_and_written_with_their_cuts() {
        for name in ["ndcg@10", "map", "mrr@3", "precision@1", "success"] {
            let metric: RankMetric = serde_json::from_value(name.into()).unwrap();
            assert_eq!((metric.to_string().as_str(), serde_json::to_value(metric).unwrap()), (name, name.into()));
        }
        assert_eq!(RankMetric::named("ndcg@10").unwrap().column(), "ndcg_at_10");
        for name in ["ndcg@0", "ndcg@", "ndcg@x", "dcg", "ndcg_10", ""] {
            let error = serde_json::from_value::<RankMetric>(name.into()).unwrap_err().to_string();
            assert!(error.contains("such as `ndcg@10`"), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_not_there_scores_nothing() {
        let judgements = HashMap::from([("a", 2), ("b", 0), ("c", -1)]);
        let (empty, bad) = (Judged::new([], &judgements), Judged::new(["b", "c", "x"], &judgements));
        let none = Judged::new(["a"], &HashMap::new());
        for metric in RankMetric::all().chain(RankMetric::named("precision@3")) {
            assert_eq!([&empty, &bad, &none].map(|judged| metric.score(judged)), [0.0; 3], "{metric}");
        }
        assert_eq!(Judged::new(["x", "a"], &judgements).relevant(), (1, 1));
    }
}
