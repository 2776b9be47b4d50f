//! What is weak in a study: each stage looked at by what its kind can go wrong in, from the results that are there.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::{array::RecordBatch, datatypes::DataType};
use pipe_cache::StoreError;
use pipe_engine::pipeline::NodeId;
use pipe_metrics::content_words;
use pipe_text::written_words;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Gathered, read};
use crate::rows::{
    quality,
    yields::{KEPT, advice},
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sign {
    /// The stage.
    pub stage: String,
    /// What was looked at, such as `answers cut off`.
    pub what: String,
    /// The value, where it is worst: a share in `0..=1`, or a ratio.
    pub value: f64,
    /// The value as people are told it.
    pub told: String,
    /// Whether it is a weak link.
    pub weak: bool,
    /// The computations of the stage in which it is weak, and how many there are.
    pub of: (usize, usize),
    /// What to do about it, where it is weak.
    pub help: String,
    /// Some rows that show it.
    pub examples: Vec<String>,
}

/// One thing of one computation.
struct Found {
    what: String,
    value: f64,
    told: String,
    /// By how much it is beyond what is usual; above 0 it is weak.
    beyond: f64,
    help: &'static str,
    examples: Vec<String>,
}

/// Rows shown for a sign.
const EXAMPLES: usize = 3;

impl Gathered<'_> {
    /// What was looked at, in the order of the stages.
    ///
    /// # Errors
    /// The store breaks down.
    pub fn signs(&self) -> Result<Vec<Sign>, StoreError> {
        let mut order: Vec<(String, String)> = Vec::new();
        let mut all: HashMap<(String, String), Vec<Found>> = HashMap::new();
        for node in self.looked.pipeline.graph.node_indices() {
            let stage = self.looked.pipeline.stages[self.looked.stage_of(node)].name.clone();
            for found in self.examine(node)? {
                let key = (stage.clone(), found.what.clone());
                if !all.contains_key(&key) {
                    order.push(key.clone());
                }
                all.entry(key).or_default().push(found);
            }
        }
        let signs = order.into_iter().filter_map(|key| {
            let found = all.remove(&key)?;
            let (weak, of) = (found.iter().filter(|found| found.beyond > 0.0).count(), found.len());
            let worst = found.into_iter().reduce(|a, b| if b.beyond > a.beyond { b } else { a })?;
            let (stage, what) = key;
            let Found { value, told, help, examples, .. } = worst;
            let (weak, of) = (weak > 0, (weak, of));
            Some(Sign { stage, what, value, told, weak, of, help: help.to_owned(), examples })
        });
        Ok(signs.collect())
    }

    fn examine(&self, node: NodeId) -> Result<Vec<Found>, StoreError> {
        let table = |port: &str| self.looked.output(node, port);
        let objects =
            |table: Option<RecordBatch>| table.and_then(|table| read::objects(&table).ok()).unwrap_or_default();
        let mut found = Vec::new();
        found.extend(dropped(&objects(table("yield")?)));
        match self.looked.pipeline.graph[node].kind.name() {
            "generate" => found.extend(alike(&objects(table("instructions")?))),
            "respond" => {
                let rows = objects(table("responses")?);
                found.extend(unread(&rows));
                found.extend(circular(&rows, "output"));
            }
            "train" | "pretrain" => found.extend(unlearned(&objects(table("log")?))),
            "evaluate" => {
                let rows = table("predictions")?;
                let has_texts = |rows: &RecordBatch| {
                    let of = |name: &str| rows.column_by_name(name).map(|column| column.data_type().clone());
                    of("prediction") == Some(DataType::Utf8) && of("references").is_some()
                };
                let rows = objects(rows.filter(has_texts));
                found.extend(cut(&rows));
                found.extend(circular(&rows, "prediction"));
                // What a model says that has learned nothing yet is no fault of the study.
                if self.looked.pipeline.graph[node].inputs.iter().any(|input| input.port == "adapter") {
                    found.extend(unlike(&rows));
                }
            }
            _ => {}
        }
        Ok(found)
    }
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Why most rows are dropped, by a yield table.
fn dropped(yields: &[Map<String, Value>]) -> Option<Found> {
    let count = |row: &Map<String, Value>| row.get("count").and_then(Value::as_f64).unwrap_or_default();
    let of = |name: &str| yields.iter().find(|row| text(row, "outcome") == name).map(count);
    let (attempted, kept) = (of("attempted")?, of(KEPT)?);
    if attempted == 0.0 {
        return None;
    }
    let others = yields.iter().filter(|row| !["attempted", KEPT].contains(&text(row, "outcome")));
    let most = others.max_by(|a, b| count(a).total_cmp(&count(b)));
    let why = most.filter(|row| count(row) > 0.0).map(|row| (text(row, "outcome"), count(row)));
    let share = 1.0 - kept / attempted;
    let told = match why {
        Some((name, n)) => format!("{} of {attempted} dropped, most of them {name} ({n})", attempted - kept),
        None => format!("none of {attempted} dropped"),
    };
    let help = why.and_then(|(name, _)| advice(name)).unwrap_or("look at its rows (`pipe show STAGE.yield`)");
    Some(Found { what: "rows dropped".into(), value: share, told, beyond: share - 0.5, help, examples: Vec::new() })
}

/// Instructions that begin with the same four words.
fn alike(rows: &[Map<String, Value>]) -> Option<Found> {
    let mut beginnings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let words: Vec<&str> = written_words(text(row, "instruction")).take(4).collect();
        beginnings.entry(words.join(" ").to_lowercase()).or_default().push(text(row, "instruction"));
    }
    let (most, alike) = beginnings.iter().max_by_key(|(_, rows)| rows.len())?;
    let share = alike.len() as f64 / rows.len() as f64;
    let told = format!("{} of {} begin with `{most}`", percent(share), rows.len());
    let help = "show more and other seeds per attempt, show `documents`, raise the temperature, or lower \
                `filters.rouge_l`";
    let examples = alike.iter().take(EXAMPLES).map(|text| (*text).to_owned()).collect();
    // Among few rows some begin alike by chance.
    let beyond = if rows.len() < 10 { -1.0 } else { share - 0.5 };
    Some(Found { what: "instructions alike".into(), value: share, told, beyond, help, examples })
}

/// Answers that say little of what stands in their passages.
fn unread(rows: &[Map<String, Value>]) -> Option<Found> {
    let mut shares: Vec<(f64, &Map<String, Value>)> = Vec::new();
    for row in rows {
        let Some(Value::Array(passages)) = row.get("passages") else { continue };
        let texts: Vec<&str> = passages.iter().filter_map(|passage| passage.get("text")?.as_str()).collect();
        if !texts.is_empty() {
            shares.push((quality::supported(text(row, "output"), texts), row));
        }
    }
    let mean = shares.iter().map(|(share, _)| share).sum::<f64>() / shares.len() as f64;
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    let example =
        |(_, row): &(f64, &Map<String, Value>)| format!("{} → {}", text(row, "instruction"), text(row, "output"));
    let examples = shares.iter().take(EXAMPLES).map(example).collect();
    let told = format!("{} of the words of an answer stand in its passages", percent(mean));
    let help = "show demonstrations that take their answers from a passage, or train a reader on the seeds with their \
                passages (`open_book`) and answer with it (`adapter`)";
    let found = Found { what: "passages used".into(), value: mean, told, beyond: 0.4 - mean, help, examples };
    (!shares.is_empty()).then_some(found)
}

/// Texts that go in circles.
fn circular(rows: &[Map<String, Value>], column: &str) -> Option<Found> {
    let circling: Vec<&str> =
        rows.iter().map(|row| text(row, column)).filter(|text| quality::repetition(text) > 0.3).collect();
    let share = circling.len() as f64 / rows.len().max(1) as f64;
    let told = format!("{} of {} go in circles", percent(share), rows.len());
    let help = "set `repetition_penalty` to 1.1, a temperature above 0, or fewer `max_new_tokens`";
    let examples = circling.iter().take(EXAMPLES).map(|text| (*text).to_owned()).collect();
    let found = Found { what: "repetition".into(), value: share, told, beyond: share - 0.2, help, examples };
    (!rows.is_empty()).then_some(found)
}

/// Answers that did not end by themselves.
fn cut(rows: &[Map<String, Value>]) -> Option<Found> {
    let is_cut = |row: &&Map<String, Value>| ["length", "context"].contains(&text(row, "finish_reason"));
    if !rows.iter().any(|row| row.contains_key("finish_reason")) {
        return None;
    }
    let share = rows.iter().filter(is_cut).count() as f64 / rows.len() as f64;
    let told = format!("{} of {} did not end by themselves", percent(share), rows.len());
    let help = "raise `max_new_tokens`, or train on answers that end";
    let examples = rows.iter().filter(is_cut).take(EXAMPLES).map(|row| text(row, "prediction").to_owned()).collect();
    Some(Found { what: "answers cut off".into(), value: share, told, beyond: share - 0.25, help, examples })
}

/// Losses that do not fall, from the first tenth of the steps to the last.
fn unlearned(log: &[Map<String, Value>]) -> Option<Found> {
    let losses: Vec<f64> = log.iter().filter_map(|row| row.get("loss")?.as_f64()).collect();
    let part = (losses.len() / 10).max(1);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(losses.get(..part)?), mean(&losses[losses.len() - part..]));
    let ratio = last / first;
    let told = format!("from {first:.2} to {last:.2} in {} steps", losses.len());
    let help = if losses.len() < 20 {
        "train for longer (`budget`): a few steps teach little"
    } else {
        "raise `learning_rate`, train for longer (`budget`), or look at the rows"
    };
    Some(Found { what: "loss".into(), value: ratio, told, beyond: ratio - 0.9, help, examples: Vec::new() })
}

/// Answers of the right length, and so perhaps the right style, that lack what the references say.
fn unlike(rows: &[Map<String, Value>]) -> Vec<Found> {
    let mut ratios = Vec::new();
    let mut recalls: Vec<(f64, String)> = Vec::new();
    for row in rows {
        let reference = row.get("references").and_then(|all| all.get(0)?.as_str()).unwrap_or_default();
        let prediction = text(row, "prediction");
        let length = |text: &str| written_words(text).count() as f64;
        if length(reference) < 4.0 {
            continue;
        }
        ratios.push(length(prediction) / length(reference));
        let asked: HashSet<String> = content_words(text(row, "instruction")).into_iter().collect();
        let facts: HashSet<String> =
            content_words(reference).into_iter().filter(|word| !asked.contains(word)).collect();
        let said: HashSet<String> = content_words(prediction).into_iter().collect();
        if !facts.is_empty() {
            let recall = facts.intersection(&said).count() as f64 / facts.len() as f64;
            recalls.push((recall, format!("{prediction}, where it is: {reference}")));
        }
    }
    if ratios.len() < 5 || recalls.is_empty() {
        return Vec::new();
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let recall = recalls.iter().map(|(recall, _)| recall).sum::<f64>() / recalls.len() as f64;
    recalls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let off = (ratio.ln().abs() - 0.7).max(-1.0);
    let length = Found {
        what: "length of answers".into(),
        value: ratio,
        told: format!("{ratio:.1} times that of the references, in the median"),
        beyond: if ratio > 0.0 { off } else { 1.0 },
        help: "the style is not met: train on answers like the references, or show some (`num_fewshot`)",
        examples: Vec::new(),
    };
    let facts = Found {
        what: "facts".into(),
        value: recall,
        told: format!("{} of what references say beyond the question", percent(recall)),
        // Of answers of another length it is the length that has to be mended first.
        beyond: if length.beyond > 0.0 { -1.0 } else { 0.25 - recall },
        help: "the style is met, what is said is not: more documents behind the training rows, answers that keep to \
               their passages, more steps; or give the passage at the exam (`open_book`)",
        examples: recalls.into_iter().take(EXAMPLES).map(|(_, example)| example).collect(),
    };
    vec![length, facts]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(rows: &Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(rows.clone()).unwrap()
    }

    #[test]
    fn most_rows_dropped_is_weak_and_the_main_reason_is_told() {
        let table = |kept: i64, cut: i64| {
            rows(&json!([
                { "outcome": "attempted", "count": kept + cut + 1 }, { "outcome": "truncated", "count": cut },
                { "outcome": "echo", "count": 1 }, { "outcome": "kept", "count": kept }
            ]))
        };
        let weak = dropped(&table(10, 20)).unwrap();
        assert!(weak.beyond > 0.0 && weak.told == "21 of 31 dropped, most of them truncated (20)", "{}", weak.told);
        assert!(weak.help.contains("max_new_tokens"));
        assert!(dropped(&table(30, 3)).unwrap().beyond < 0.0);
        assert!(dropped(&[]).is_none());
    }

    #[test]
    fn answers_are_held_against_their_passages() {
        let passages = json!([{ "id": "p", "text": "FLNA causes it" }]);
        let row = |output: &str| json!({ "instruction": "?", "output": output, "passages": passages });
        assert!(unread(&rows(&json!([row("FLNA causes it.")]))).unwrap().beyond < 0.0);
        let weak = unread(&rows(&json!([row("A virus of bats."), row("FLNA causes it.")]))).unwrap();
        assert_eq!(weak.examples[0], "? → A virus of bats.");
        assert!(unread(&rows(&json!([{ "output": "x", "passages": [] }]))).is_none());
    }

    #[test]
    fn style_and_facts_are_told_apart() {
        let row = |prediction: &str| {
            json!({ "instruction": "What causes gout?", "references": ["Crystals of uric acid in the joints cause it."],
                    "prediction": prediction, "finish_reason": "stop" })
        };
        let weak = |prediction: &str| -> Vec<String> {
            let five: Vec<Value> = (0..5).map(|_| row(prediction)).collect();
            let found = unlike(&rows(&json!(five)));
            found.into_iter().filter(|found| found.beyond > 0.0).map(|found| found.what).collect()
        };
        assert!(weak("Crystals of uric acid cause it in joints.").is_empty());
        assert_eq!(weak("A mutation in the genes of parents causes it."), ["facts"]);
        assert_eq!(weak("Gout."), ["length of answers"]);
    }

    #[test]
    fn losses_that_stay_are_weak() {
        let log = |losses: &[f64]| rows(&json!(losses.iter().map(|loss| json!({ "loss": loss })).collect::<Vec<_>>()));
        assert!(unlearned(&log(&[2.0, 1.0, 0.5])).unwrap().beyond < 0.0);
        let weak = unlearned(&log(&[2.0, 2.1, 1.95])).unwrap();
        assert!(weak.beyond > 0.0 && weak.help.contains("few steps"));
        assert!(unlearned(&[]).is_none());
    }

    #[test]
    fn instructions_that_begin_alike_and_texts_in_circles() {
        let some = |same: usize| -> Vec<Map<String, Value>> {
            let one = |i: usize| {
                let text =
                    if i < same { format!("What is the cause of {i}?") } else { format!("Name bone {i} of it.") };
                json!({ "instruction": text, "output": "a b c d e f" })
            };
            rows(&json!((0..20).map(one).collect::<Vec<_>>()))
        };
        assert!(alike(&some(15)).unwrap().beyond > 0.0 && alike(&some(8)).unwrap().beyond < 0.0);
        assert!(circular(&some(3), "output").unwrap().beyond < 0.0);
        let circling = rows(&json!([{ "output": "it is a gene ".repeat(9) }]));
        assert!(circular(&circling, "output").unwrap().beyond > 0.0);
    }
}
