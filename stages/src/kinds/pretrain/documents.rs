//! The documents to learn from.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float32Type},
};
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::{
    tokenizer::Tokenizer,
    train::{Dataset, Example, Segment, TooLong},
};

use super::PretrainParams;
use crate::model::training::{left_over, training_error};
use crate::rows::columns;

const PORT: &str = "documents";
const SEGMENTS: &str = "segments";

/// What a column of documents looks like, in the words of a JSONL file.
const SHAPE: &str = r#"each row has a list of its parts: {"segments": [{"text": "...", "weight": 1.0}]}"#;

/// The input, as ids and runs of (text, weight).
pub(super) struct Documents {
    ids: Vec<String>,
    segments: Vec<Vec<(String, f32)>>,
}

impl Documents {
    /// Reads the input. Texts and numbers may be of any type that holds them, since each reader of tables has its own.
    ///
    /// # Errors
    /// There are no rows, no lists of {text, weight} in them, or no texts in these; every row lacks a text or a weight.
    pub(super) fn read(cx: &StageContext) -> Result<Self, StageError> {
        let (mut ids, mut segments, mut rows, mut broken) = (Vec::new(), Vec::new(), 0, 0);
        for batch in cx.table(PORT)?.batches() {
            let batch = batch?;
            let lists = batch.column_by_name(SEGMENTS).ok_or_else(|| columns::missing(&batch, PORT, SEGMENTS))?;
            let names = batch.column_by_name("id").and_then(|c| c.as_string_opt::<i32>());
            for row in 0..batch.num_rows() {
                let number = rows;
                rows += 1;
                let Some(parts) = parts(lists, row)? else {
                    broken += 1;
                    continue;
                };
                if parts.iter().all(|(text, _)| text.is_empty()) {
                    continue;
                }
                segments.push(parts);
                ids.push(names.map_or_else(|| format!("row {number}"), |n| n.value(row).to_owned()));
            }
        }
        let empty = rows - ids.len() - broken;
        if ids.is_empty() {
            let what = match rows {
                0 => "has no rows",
                _ if broken > 0 => "has no document whose segments all have a text and a weight",
                _ => "has nothing but empty documents",
            };
            return Err(StageError::user_help(format!("the input `{PORT}` {what}"), SHAPE));
        }
        if broken > 0 {
            cx.counter("documents_broken", broken as u64);
            cx.warn(format!(
                "{broken} of {rows} rows of `{PORT}` have a segment without a text or a usable weight and were left out"
            ));
        }
        cx.counter("documents_empty", empty as u64);
        if empty > 0 {
            cx.warn(format!("{empty} of {rows} rows of `{PORT}` have no text and were left out"));
        }
        Ok(Self { ids, segments })
    }

    /// All texts, in order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> + Send {
        self.segments.iter().flatten().map(|(text, _)| text.as_str())
    }

    /// Tokens with loss weights, each document ended by the end of text.
    pub(super) fn dataset(
        self,
        cx: &StageContext,
        params: &PretrainParams,
        tokenizer: &Tokenizer,
    ) -> Result<Dataset, StageError> {
        let failed = |e| StageError::other("turn the documents into tokens", e);
        let texts: Vec<&str> = self.texts().collect();
        let mut tokens = tokenizer.encode_all(&texts, false).map_err(failed)?.into_iter();
        let end = tokenizer.eos();
        let examples = self.ids.iter().zip(&self.segments).map(|(id, segments)| {
            let mut parts: Vec<Segment> = (segments.iter().zip(tokens.by_ref()))
                .map(|((_, weight), tokens)| Segment { tokens, weight: *weight })
                .collect();
            parts.extend(end.map(|end| Segment { tokens: vec![end], weight: params.end_weight }));
            let example = Example::from_segments(id, &parts);
            example.check(0, tokenizer.len()).map_err(training_error)?;
            Ok(example)
        });
        let examples = left_over(cx, self.ids.iter().map(String::as_str), examples.collect())?;
        Dataset::new(examples, params.max_seq_len, TooLong::Truncate, tokenizer.len()).map_err(training_error)
    }
}

/// The parts of one document; `None` where one lacks its text, or a weight that is a number of at least 0.
///
/// # Errors
/// They are not lists of {text, weight}.
fn parts(lists: &ArrayRef, row: usize) -> Result<Option<Vec<(String, f32)>>, StageError> {
    let wrong = || {
        let found = lists.data_type();
        let message =
            format!("column `{SEGMENTS}` of the input `{PORT}` is {found} where a list of {{text, weight}} is wanted");
        StageError::user_help(message, SHAPE)
    };
    let items = columns::items(lists, row).ok_or_else(wrong)?;
    if items.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let items = items.as_struct_opt().ok_or_else(wrong)?;
    let field = |name: &str, accepts: fn(&DataType) -> bool, as_type: &DataType| {
        let column = items.column_by_name(name).filter(|column| accepts(column.data_type())).ok_or_else(wrong)?;
        cast(column, as_type)
            .map_err(|e| StageError::other(format!("read `{name}` of column `{SEGMENTS}` of `{PORT}`"), e))
    };
    let texts = field("text", columns::is_text, &DataType::Utf8)?;
    let weights = field("weight", |found| found.is_numeric() || found.is_null(), &DataType::Float32)?;
    let (texts, weights) = (texts.as_string::<i32>(), weights.as_primitive::<Float32Type>());
    let part = |i: usize| {
        let given = items.is_valid(i) && texts.is_valid(i) && weights.is_valid(i);
        let weight = given.then(|| weights.value(i)).filter(|weight| weight.is_finite() && *weight >= 0.0)?;
        Some((texts.value(i).to_owned(), weight))
    };
    Ok((0..items.len()).map(part).collect())
}
