//! What lm-evaluation-harness keeps of an exam: `samples_<task>_<time>.jsonl`, one row per question and filter.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder, StructArray},
    compute::cast,
    datatypes::DataType,
};

use super::{Misfit, batch_of};

/// What no stage reads; in `doc`, every task has columns of its own.
pub(super) const LEFT_OUT: &[&str] = &["doc", "resps", "metrics", "prompt_hash", "target_hash"];

/// The task that a file's name says.
fn task(file: &Path) -> Option<&str> {
    let (task, _) = file.file_name()?.to_str()?.strip_prefix("samples_")?.rsplit_once('_')?;
    Some(task)
}

/// `id` (`task/doc_id`), `task`, `instruction` (the prompt), `output` (the target), `labels` (the choices, where there
/// are any), `prediction`, `filter` and `doc_hash`, and the scores as numbers.
pub(super) fn fit(batch: &RecordBatch, file: &Path) -> Result<RecordBatch, Misfit> {
    let numbers = column(batch, "doc_id")?;
    let targets = texts(&column(batch, "target")?, "target")?;
    let answers = column(batch, "filtered_resps")?;
    let requests = Requests::of(batch);
    let task = task(file);
    let ids = texts(&numbers, "doc_id")?;
    let ids = ids.iter().map(|id| id.map(|id| task.map_or_else(|| id.to_owned(), |task| format!("{task}/{id}"))));
    let rows = 0..batch.num_rows();
    let text =
        |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef { Arc::new(rows.clone().map(of).collect::<StringArray>()) };
    let mut labels = ListBuilder::new(StringBuilder::new());
    for row in rows.clone() {
        labels.append_value(requests.choices(row).into_iter().map(Some));
    }
    let chosen = |row: usize, place: usize| requests.choices(row).into_iter().nth(place).map(str::to_owned);
    let output = |row: usize| {
        let target = targets.is_valid(row).then(|| targets.value(row))?;
        // Of a choice, the target is its place.
        let place = target.parse::<usize>().ok().and_then(|place| chosen(row, place));
        Some(place.unwrap_or_else(|| target.to_owned()))
    };
    let prediction = |row: usize| match said(&answers, row)? {
        Said::Text(text) => Some(text.to_owned()),
        Said::MostLikely(place) => chosen(row, place),
    };
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("id".to_owned(), Arc::new(ids.collect::<StringArray>())),
        ("task".to_owned(), text(&|_| task.map(str::to_owned))),
        ("instruction".to_owned(), text(&|row| requests.prompt(row).map(str::to_owned))),
        ("output".to_owned(), text(&output)),
        ("labels".to_owned(), Arc::new(labels.finish())),
        ("prediction".to_owned(), text(&prediction)),
    ];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        match field.name().as_str() {
            "doc_id" | "target" | "filtered_resps" | "arguments" => {}
            name if LEFT_OUT.contains(&name) => {}
            // A score of 0 and 1 is one, too.
            name if field.data_type().is_numeric() || *field.data_type() == DataType::Boolean => {
                let scores = cast(column, &DataType::Float64).map_err(|e| misfit(e.to_string()))?;
                columns.push((name.to_owned(), scores));
            }
            name => columns.push((name.to_owned(), Arc::clone(column))),
        }
    }
    batch_of(columns)
}

fn misfit(message: String) -> Misfit {
    Misfit::new(message, "samples are written by `lm_eval ... --log_samples`; leave `shape` out for other files")
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, Misfit> {
    batch.column_by_name(name).cloned().ok_or_else(|| misfit(format!("there is no column `{name}`")))
}

fn texts(column: &ArrayRef, name: &str) -> Result<StringArray, Misfit> {
    let failed = || misfit(format!("column `{name}` is {} where text is wanted", column.data_type()));
    if column.data_type().is_nested() {
        return Err(failed());
    }
    cast(column, &DataType::Utf8).map(|texts| texts.as_string().clone()).map_err(|_| failed())
}

/// What the model was asked.
struct Requests<'a> {
    prompts: Option<&'a StringArray>,
    /// By request: the continuations whose likelihoods were compared; none where a text was to be written.
    continuations: Vec<&'a StringArray>,
}

impl<'a> Requests<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let arguments = batch.column_by_name("arguments").and_then(|column| column.as_struct_opt());
        let request = |number: usize| -> Option<&'a StructArray> {
            arguments?.column_by_name(&format!("gen_args_{number}"))?.as_struct_opt()
        };
        let text = |of: &'a StructArray, name: &str| of.column_by_name(name)?.as_string_opt::<i32>();
        let continuations = (0..).map_while(|number| text(request(number)?, "arg_1"));
        Self { prompts: request(0).and_then(|first| text(first, "arg_0")), continuations: continuations.collect() }
    }

    fn prompt(&self, row: usize) -> Option<&'a str> {
        self.prompts.filter(|prompts| prompts.is_valid(row)).map(|prompts| prompts.value(row))
    }

    /// Without the space that parts them from the prompt.
    fn choices(&self, row: usize) -> Vec<&'a str> {
        let of = self.continuations.iter().filter(|texts| texts.is_valid(row));
        of.map(|texts| texts.value(row).trim()).collect()
    }
}

/// What an answer is, after the filter.
enum Said<'a> {
    Text(&'a str),
    /// The place of the choice of the highest likelihood.
    MostLikely(usize),
}

/// Texts, of which the first counts; or pairs of a likelihood and whether it was the greedy choice, one per choice.
fn said(answers: &ArrayRef, row: usize) -> Option<Said<'_>> {
    let lists = answers.as_list_opt::<i32>().filter(|lists| lists.is_valid(row))?;
    let range = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
    if let Some(texts) = lists.values().as_string_opt::<i32>() {
        let first = range.start;
        return (!range.is_empty() && texts.is_valid(first)).then(|| Said::Text(texts.value(first)));
    }
    let pairs = lists.values().as_list_opt::<i32>()?;
    let parts = pairs.values().as_string_opt::<i32>()?;
    let first = |at: usize| {
        let (begin, end) = (pairs.value_offsets()[at] as usize, pairs.value_offsets()[at + 1] as usize);
        (begin < end && parts.is_valid(begin)).then(|| parts.value(begin))
    };
    let likelihoods: Option<Vec<f64>> = range.clone().map(|at| first(at)?.parse().ok()).collect();
    match likelihoods {
        Some(all) if all.len() > 1 => {
            // Of equal ones the first, as NumPy's argmax has it.
            let best = (1..all.len()).fold(0, |best, at| if all[at] > all[best] { at } else { best });
            Some(Said::MostLikely(best))
        }
        // A text that was asked for several times.
        _ => (!range.is_empty()).then(|| first(range.start)).flatten().map(Said::Text),
    }
}

#[cfg(test)]
mod tests;
