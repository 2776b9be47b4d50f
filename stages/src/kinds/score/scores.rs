//! What the probabilities are worth: per item, and summed up.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, ListBuilder, RecordBatch, StringBuilder};
use pipe_engine::kind::StageError;

use super::{
    items::{Item, Items, texts},
    likelihoods::{Likelihoods, SCORED},
    params::{MetricDef, OutputType, ScoreParams},
};
use crate::rows::{
    completed::NO_REFERENCE,
    scores::{self, Ratio, Summary},
};

/// The scores of every item.
pub(super) struct Scored {
    /// In the order of the metrics; `None` where an item has no score.
    values: Vec<Vec<Option<f64>>>,
    /// The choice that is most probable.
    chosen: Vec<Option<usize>>,
    /// `-log p` of each item's text, and what it is divided by.
    sums: Sums,
    /// Items that count.
    counted: Vec<bool>,
}

#[derive(Default)]
struct Sums {
    nats: Vec<f64>,
    bytes: Vec<f64>,
    words: Vec<f64>,
}

/// The place of the largest value, the first of several.
fn largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, value) in values.enumerate() {
        if best.is_none_or(|(_, known)| value > known) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}

fn bytes(text: &str) -> f64 {
    text.len() as f64
}

/// `len(re.split(r"\s+", text))`: runs of white space, and one more.
fn words(text: &str) -> f64 {
    let starts = text.chars().zip(std::iter::once(None).chain(text.chars().map(Some)));
    let runs = starts.filter(|(c, before)| c.is_whitespace() && !before.is_some_and(char::is_whitespace)).count();
    (runs + 1) as f64
}

fn bits(nats_per_byte: f64) -> f64 {
    nats_per_byte / std::f64::consts::LN_2
}

impl Scored {
    /// Scores all items.
    pub(super) fn new(params: &ScoreParams, items: &Items, found: &Likelihoods) -> Self {
        let metrics = params.output_type.metrics().len();
        let mut this = Self {
            values: vec![Vec::with_capacity(items.0.len()); metrics],
            chosen: Vec::new(),
            sums: Sums::default(),
            counted: Vec::new(),
        };
        for (row, item) in items.0.iter().enumerate() {
            let is_scored = found.outcome(row) == SCORED;
            let logprobs = if is_scored { found.logprobs(row) } else { Vec::new() };
            this.counted.push(found.outcome(row) != NO_REFERENCE);
            match params.output_type {
                OutputType::MultipleChoice => this.choice(item, &logprobs),
                OutputType::Loglikelihood => {
                    let greedy = is_scored && found.greedy(row).contains(&true);
                    let text = largest(item.texts.iter().zip(&logprobs).map(|(text, logprob)| logprob / bytes(text)));
                    this.values[0].push((!item.texts.is_empty()).then_some(f64::from(u8::from(greedy))));
                    this.text(&[1], text.map(|place| (item.texts[place].as_str(), logprobs[place])));
                }
                OutputType::LoglikelihoodRolling => {
                    let text = item.texts.first().zip(logprobs.first());
                    this.text(&[0, 1, 2], text.map(|(text, logprob)| (text.as_str(), *logprob)));
                }
            }
        }
        this
    }

    fn choice(&mut self, item: &Item, logprobs: &[f64]) {
        let by = |length: fn(&str) -> f64| {
            largest(logprobs.iter().zip(&item.texts).map(move |(logprob, text)| logprob / length(text)))
        };
        let places = [by(|_| 1.0), by(|text| text.chars().count() as f64), by(bytes)];
        for (values, place) in self.values.iter_mut().zip(places) {
            let right = place.is_some_and(|place| item.right.contains(&place));
            values.push((!item.right.is_empty()).then_some(f64::from(u8::from(right))));
        }
        self.chosen.push(places[0]);
        self.sums.push(None);
    }

    /// The scores of a text, as far as they are among `metrics`: bits per byte, byte perplexity, word perplexity.
    fn text(&mut self, metrics: &[usize], text: Option<(&str, f64)>) {
        self.sums.push(text);
        let per = |length: fn(&str) -> f64| text.map(|(text, logprob)| -logprob / length(text));
        let values = [per(bytes).map(bits), per(bytes).map(f64::exp), per(words).map(f64::exp)];
        for (&metric, value) in metrics.iter().zip(values) {
            self.values[metric].push(value);
        }
    }

    /// One row per item.
    pub(super) fn predictions(
        &self,
        params: &ScoreParams,
        items: &Items,
        found: &Likelihoods,
    ) -> Result<RecordBatch, StageError> {
        let of = |value: fn(&Item) -> Option<&str>| texts(items.0.iter().map(value));
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![("id", of(|item| Some(&item.row.id))), ("task", of(|item| item.row.task.as_deref()))];
        if params.is_asked() {
            columns.push(("instruction", of(|item| Some(&item.row.instruction))));
            columns.push(("input", of(|item| Some(&item.row.input))));
            columns.push((
                "reference",
                of(|item| {
                    let right = item.right.first().map(|&place| item.texts[place].as_str());
                    right.or(item.row.references.first().map(String::as_str))
                }),
            ));
        }
        if params.output_type == OutputType::MultipleChoice {
            let mut labels = ListBuilder::new(StringBuilder::new());
            for item in &items.0 {
                labels.append_value(item.texts.iter().map(Some));
            }
            columns.push(("labels", Arc::new(labels.finish())));
            let chosen = items.0.iter().zip(&self.chosen);
            columns.push(("prediction", texts(chosen.map(|(item, place)| place.map(|p| item.texts[p].as_str())))));
        }
        columns.extend(found.shown());
        for (metric, values) in params.output_type.metrics().iter().zip(&self.values) {
            columns.push((metric.name, Arc::new(values.iter().copied().collect::<Float64Array>())));
        }
        let columns = columns.into_iter().map(|(name, column)| (name, column, name != "id" && name != "outcome"));
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| StageError::other("gather scores in a table", e))
    }

    /// The tables of scores, over the items that have something to be scored.
    pub(super) fn summary(&self, params: &ScoreParams, items: &Items) -> Result<Summary, StageError> {
        let counted = items.0.iter().enumerate().filter(|(row, _)| self.counted[*row]);
        let items: Vec<(usize, Option<&str>)> = counted.map(|(row, item)| (row, item.row.task.as_deref())).collect();
        let defs = params.output_type.summed();
        let metrics = defs.iter().zip(&self.values).map(|(def, values)| scores::Metric {
            name: def.name,
            values,
            may_lack: true,
            ratio: self.sums.ratio(def.name),
        });
        let metrics: Vec<scores::Metric<'_>> = metrics.collect();
        let parts = defs.iter().map(|def: &MetricDef| def.signature.to_owned());
        let signature: Vec<String> = parts.chain([params.bootstrap.signature()]).collect();
        scores::summary(&items, &metrics, &params.bootstrap, &signature.join("; "))
    }
}

impl Sums {
    fn push(&mut self, text: Option<(&str, f64)>) {
        self.nats.push(text.map_or(0.0, |(_, logprob)| -logprob));
        self.bytes.push(text.map_or(0.0, |(text, _)| bytes(text)));
        self.words.push(text.map_or(0.0, |(text, _)| words(text)));
    }

    /// What a metric of all texts together is made of; `None` of means over items.
    fn ratio(&self, metric: &str) -> Option<Ratio<'_>> {
        let (below, then): (&[f64], fn(f64) -> f64) = match metric {
            "bits_per_byte" => (&self.bytes, bits),
            "byte_perplexity" => (&self.bytes, f64::exp),
            "word_perplexity" => (&self.words, f64::exp),
            _ => return None,
        };
        Some(Ratio { above: &self.nats, below, then })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `len(re.split(r"\s+", text))` of Python.
    #[test]
    fn words_are_counted_as_the_harness_counts_them() {
        for (text, expect) in [("a b", 2.0), (" a  b\n", 4.0), ("", 1.0), ("a", 1.0), ("\t\n", 2.0)] {
            assert_eq!(words(text).to_bits(), f64::to_bits(expect), "{text:?}");
        }
    }

    #[test]
    fn the_first_of_equals_is_chosen() {
        assert_eq!(largest([-2.0, -1.0, -1.0].into_iter()), Some(1));
        assert_eq!(largest(std::iter::empty()), None);
    }
}
