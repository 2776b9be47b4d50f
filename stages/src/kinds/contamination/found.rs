//! What is found where.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_metrics::{Contained, Grams, Overlap, Repeats};

use super::{ContaminationParams, DOCUMENTS, TRAINING};
use crate::rows::columns::{Ids, TextColumn, missing};

/// An item of the exam.
pub(super) struct Item {
    pub id: String,
    pub task: Option<String>,
    pub text: String,
}

/// How an item was found, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Exact,
    Ngrams,
    Near,
}

impl Verdict {
    pub(super) const ALL: [Self; 3] = [Self::Exact, Self::Ngrams, Self::Near];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ngrams => "ngrams",
            Self::Near => "near",
        }
    }
}

/// An item that was found.
#[derive(Debug, Clone)]
pub(super) struct Match {
    /// Which item.
    pub item: usize,
    pub source: &'static str,
    pub verdict: Verdict,
    /// The id of the text.
    pub id: String,
    pub share: f64,
    /// Its beginning.
    pub text: String,
}

/// All that was found, by item, source and verdict.
pub(super) struct Found {
    /// The inputs that were looked through.
    pub sources: Vec<&'static str>,
    pub matches: Vec<Match>,
}

/// The texts that some columns of a table make.
///
/// # Errors
/// None of the columns is there; one is not of texts.
pub(super) fn texts(table: &RecordBatch, port: &str, names: &[String]) -> Result<Vec<String>, StageError> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        columns.extend(TextColumn::optional(table, port, name)?);
    }
    if columns.is_empty() {
        return Err(missing(table, port, &names[0]));
    }
    let row = |row: usize| {
        let parts: Vec<&str> =
            columns.iter().map(|column| column.or_empty(row)).filter(|text| !text.is_empty()).collect();
        parts.join("\n")
    };
    Ok((0..table.num_rows()).map(row).collect())
}

/// Bytes of a text that are shown.
const SHOWN: usize = 200;

fn beginning(text: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).take_while(|at| *at <= SHOWN).last();
    text[..end.unwrap_or(0)].to_owned()
}

impl Found {
    /// Looks through all sources that are connected.
    ///
    /// # Errors
    /// None is; a column is missing.
    pub(super) fn of(params: &ContaminationParams, cx: &StageContext, items: &[Item]) -> Result<Self, StageError> {
        let mut found = Self { sources: Vec::new(), matches: Vec::new() };
        for (source, names) in [(TRAINING, &params.training_columns), (DOCUMENTS, &params.document_columns)] {
            let Some(table) = cx.optional_table(source)? else { continue };
            found.sources.push(source);
            let asked = || items.iter().map(|item| item.text.as_str());
            let grams = Grams { words: params.ngram, shortest: params.min_words };
            let mut runs = Contained::new(grams, asked(), params.min_share);
            let mut questions = (source == TRAINING).then(|| Repeats::new(asked()));
            // Ids and beginnings of rows that were the best, or the first, when they were seen.
            let (mut ids, mut row, mut kept) = (Ids::default(), 0, HashMap::new());
            // A table without rows must have the columns, too.
            let none = RecordBatch::new_empty(table.schema().clone());
            for batch in std::iter::once(Ok(none)).chain(table.batches()) {
                let batch = batch?;
                let (ids, all) = (ids.of(&batch, source)?, texts(&batch, source, names)?);
                let asking = match &questions {
                    Some(_) => texts(&batch, source, &params.training_question_columns)?,
                    None => Vec::new(),
                };
                for (at, (id, text)) in ids.into_iter().zip(&all).enumerate() {
                    let is_best = runs.see(text);
                    let is_first = questions.as_mut().is_some_and(|questions| questions.see(&asking[at]));
                    if is_best || is_first {
                        kept.insert(row, (id, beginning(text)));
                    }
                    row += 1;
                }
                cx.check_cancelled()?;
            }
            let mut keep = |overlaps: Vec<Overlap>, verdict: fn(&Overlap) -> Verdict| {
                found.matches.extend(overlaps.iter().map(|overlap| {
                    let (id, text) = kept[&overlap.other].clone();
                    let (item, verdict, share) = (overlap.text, verdict(overlap), overlap.share);
                    Match { item, source, verdict, id, share, text }
                }));
            };
            keep(runs.found(), |overlap| if overlap.exact { Verdict::Exact } else { Verdict::Ngrams });
            let near = questions.map_or_else(Vec::new, |questions| questions.found());
            keep(near, |overlap| if overlap.exact { Verdict::Exact } else { Verdict::Near });
        }
        if found.sources.is_empty() {
            return Err(StageError::user_help(
                "neither `training` nor `documents` is connected",
                "connect what the model sees before the exam: the rows it is trained on, or the documents",
            ));
        }
        // Of several exact ones, as questions and as runs of words may be, the first text stands for all.
        found.matches.sort_by(|a, b| (a.item, a.source, a.verdict).cmp(&(b.item, b.source, b.verdict)));
        found.matches.dedup_by_key(|found| (found.item, found.source, found.verdict));
        Ok(found)
    }

    /// The worst that was found of every item.
    pub(super) fn worst(&self, items: usize) -> impl Iterator<Item = Option<&Match>> {
        let mut worst: Vec<Option<&Match>> = vec![None; items];
        for found in &self.matches {
            let known = &mut worst[found.item];
            if known.is_none_or(|known| found.verdict < known.verdict) {
                *known = Some(found);
            }
        }
        worst.into_iter()
    }

    /// The worst that was found of every item in one source.
    pub(super) fn worst_in(&self, source: &str, items: usize) -> Vec<Option<Verdict>> {
        let mut worst: Vec<Option<Verdict>> = vec![None; items];
        for found in self.matches.iter().filter(|found| found.source == source) {
            let known = &mut worst[found.item];
            *known = Some(known.map_or(found.verdict, |known| known.min(found.verdict)));
        }
        worst
    }
}
