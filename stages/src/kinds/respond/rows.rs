//! Rows in and rows out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder},
    compute::{concat_batches, filter_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::kind::StageError;

use super::filters::{Answered, ResponseFilters};
use crate::{
    prompts::Passage,
    rows::{
        columns::{self, Shown, TextColumn},
        completed::{self, Completed, Finished},
        reasoning::Reasoning,
        unanswered::Unanswered,
        words::normalised,
        yields::Yield,
    },
};

const PORT: &str = "instructions";
/// The column of the answers.
const OUTPUT: &str = "output";

/// A row to answer.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Its id; without a column `id`, the digest of the row.
    pub id: String,
    /// What is to be done.
    pub instruction: String,
    /// What it is about; may be empty.
    pub input: String,
    /// Those shown, best first.
    pub passages: Vec<Passage>,
    /// The seeds it was generated from, where the table says so.
    pub demonstrations: Option<Vec<String>>,
}

/// Reads rows, with the passages that are `shown`.
///
/// # Errors
/// A column is missing or of another type; an id occurs twice.
pub(crate) fn queries(batch: &RecordBatch, shown: Shown) -> Result<Vec<Query>, StageError> {
    let instruction = TextColumn::required(batch, PORT, "instruction")?;
    let input = TextColumn::optional(batch, PORT, "input")?;
    let passages = columns::passages(batch, PORT, shown)?;
    let demonstrations = columns::text_lists(batch, PORT, "demonstrations")?;
    (columns::lasting_ids(batch, PORT)?.into_iter().enumerate())
        .map(|(row, id)| {
            Ok(Query {
                id,
                instruction: instruction.or_empty(row).to_owned(),
                input: input.as_ref().map_or("", |c| c.or_empty(row)).to_owned(),
                passages: passages.as_ref().map(|all| all[row].clone()).unwrap_or_default(),
                demonstrations: demonstrations.as_ref().map(|all| all[row].clone()),
            })
        })
        .collect()
}

/// An answered row.
pub(crate) struct Answer {
    pub query: Query,
    pub finished: Finished,
    /// Ids of the seeds shown.
    pub demonstrations: Vec<String>,
}

/// The columns of the output `responses`.
pub(crate) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let [output, finish_reason, prompt_tokens, generated_tokens] = completed::fields(OUTPUT);
    Arc::new(Schema::new(vec![
        text("id"),
        text("instruction"),
        text("input"),
        output,
        columns::passages_field(false),
        Field::new("demonstrations", DataType::new_list(DataType::Utf8, true), false),
        finish_reason,
        prompt_tokens,
        generated_tokens,
    ]))
}

/// Answered rows as a table.
pub(crate) fn answers(rows: &[Answer]) -> Result<RecordBatch, StageError> {
    let text =
        |of: fn(&Answer) -> &str| -> ArrayRef { Arc::new(rows.iter().map(|r| Some(of(r))).collect::<StringArray>()) };
    let passages: Vec<&[Passage]> = rows.iter().map(|r| &*r.query.passages).collect();
    let mut demonstrations = ListBuilder::new(StringBuilder::new());
    for row in rows {
        demonstrations.append_value(row.demonstrations.iter().map(Some));
    }
    let [output, finish_reason, prompt_tokens, generated_tokens] =
        completed::columns(rows.iter().map(|row| &row.finished), str::trim);
    let columns = vec![
        text(|r| &r.query.id),
        text(|r| &r.query.instruction),
        text(|r| &r.query.input),
        output,
        // Without their scores, so that other scores do not make other answers.
        columns::passage_lists(&passages, false),
        Arc::new(demonstrations.finish()),
        finish_reason,
        prompt_tokens,
        generated_tokens,
    ];
    RecordBatch::try_new(schema(), columns).map_err(|e| StageError::other("gather answers in a table", e))
}

/// The kept rows, and what became of the others.
pub(crate) struct Filtered {
    pub kept: RecordBatch,
    pub counts: Yield,
    pub unanswered: Unanswered,
    pub prompt_tokens: u64,
    pub generated_tokens: u64,
    /// Kept answers that were cut back to their last whole sentence.
    pub trimmed: u64,
}

/// Sends answered rows through the filters, in the order of the input, without what the model thought in front of its
/// answers. `queries` are the rows that they answer, in the same order.
pub(crate) fn filter(
    batches: &[RecordBatch],
    queries: &[Query],
    filters: &ResponseFilters,
    reasoning: &Reasoning,
) -> Result<Filtered, StageError> {
    let joined = |e| StageError::other("gather answers in a table", e);
    let all = told_apart(&concat_batches(&schema(), batches).map_err(joined)?)?;
    let text = |column: usize| all.column(column).as_string::<i32>();
    let (ids, instruction, input, completed) = (text(0), text(1), text(2), Completed::of(&all, OUTPUT)?);
    let mut seen = HashSet::new();
    let (mut counts, mut unanswered) = (Yield::new(&filters.outcomes()), Unanswered::default());
    let mut keep = Vec::with_capacity(all.num_rows());
    let (mut thoughts, mut outputs, mut trimmed) = (Vec::new(), Vec::new(), 0);
    for (row, query) in queries.iter().enumerate() {
        let (instruction, input, finish) = (instruction.value(row), input.value(row), completed.finish_reason(row));
        unanswered.add(finish, completed.text(row), || format!("row `{}`", ids.value(row)));
        let (thought, written) = reasoning.split(completed.text(row));
        let (outcome, output) =
            filters.judge(&Answered { instruction, input, output: written, finish, passages: &query.passages });
        let outcome = if outcome == "kept" && filters.duplicates {
            let whole = [normalised(instruction), normalised(input), normalised(output)];
            if seen.insert(whole) { "kept" } else { "duplicate" }
        } else {
            outcome
        };
        counts.add_with(outcome, || format!("{instruction} → {output}"));
        trimmed += u64::from(outcome == "kept" && output.len() < written.trim_end().len());
        keep.push(outcome == "kept");
        thoughts.push(thought);
        outputs.push(output);
    }
    let answered = columns::with_reasoning(&all, OUTPUT, &outputs, &thoughts)?;
    let kept = filter_record_batch(&answered, &BooleanArray::from(keep)).map_err(joined)?;
    let (prompt_tokens, generated_tokens) = completed.all_tokens();
    Ok(Filtered { kept, counts, unanswered, prompt_tokens, generated_tokens, trimmed })
}

/// Gives rows without ids that are equal, and share one answer, ids of their own: of three rows `x` the second is `x-2`
/// and the third `x-3`.
fn told_apart(all: &RecordBatch) -> Result<RecordBatch, StageError> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let ids = all.column(0).as_string::<i32>().iter().flatten().map(|id| {
        let times = seen.entry(id).or_default();
        *times += 1;
        Some(if *times == 1 { id.to_owned() } else { format!("{id}-{times}") })
    });
    let ids: ArrayRef = Arc::new(ids.collect::<StringArray>());
    let columns = std::iter::once(ids).chain(all.columns()[1..].iter().cloned()).collect();
    RecordBatch::try_new(all.schema(), columns).map_err(|e| StageError::other("tell equal rows apart", e))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;
    use pipe_lm::generate::{Completion, FinishReason, Usage};

    use super::*;

    fn answer(id: &str, output: &str, finish: FinishReason) -> Answer {
        let query = Query {
            id: id.to_owned(),
            instruction: "Repeat it.".to_owned(),
            input: "The word".to_owned(),
            passages: Vec::new(),
            demonstrations: None,
        };
        let usage = Usage { prompt_tokens: 10, completion_tokens: 3 };
        let completion = Completion {
            id: id.to_owned(),
            text: output.to_owned(),
            thoughts: None,
            tokens: Vec::new(),
            logprobs: None,
            finish,
            usage,
        };
        Answer { query, finished: completion.into(), demonstrations: Vec::new() }
    }

    #[test]
    fn what_a_server_told_apart_is_the_column_reasoning() {
        let told = |thoughts: Option<&str>| {
            let mut done = answer("a", "gold", FinishReason::Eos);
            let usage = done.finished.usage;
            let thoughts = thoughts.map(str::to_owned);
            let (id, text, finish) = ("a".to_owned(), "gold".to_owned(), FinishReason::Eos);
            done.finished = Completion { id, text, thoughts, tokens: Vec::new(), logprobs: None, finish, usage }.into();
            let table = answers(&[done]).unwrap();
            let rows = [answer("a", "gold", FinishReason::Eos).query];
            filter(&[table], &rows, &ResponseFilters::default(), &Reasoning::default()).unwrap().kept
        };
        let kept = told(Some("It shines."));
        assert_eq!(kept.column_by_name("output").unwrap().as_string::<i32>().value(0), "gold");
        assert_eq!(kept.column_by_name("reasoning").unwrap().as_string::<i32>().value(0), "It shines.");
        assert!(told(None).column_by_name("reasoning").is_none());
    }

    #[test]
    fn every_filter_drops_what_it_says_and_the_counts_add_up() {
        use FinishReason::{Context, Eos, Length, Refused, Stop, TooLong};
        let rows = [
            ("a", " fine answer ", Stop, "kept"),
            ("b", "cut off", Length, "truncated"),
            ("c", "cut off", Context, "truncated"),
            ("d", "  ", Eos, "empty"),
            ("e", "the  word.", Eos, "echo"),
            ("f", "repeat it", Stop, "echo"),
            ("g", "short", Stop, "too_few_words"),
            ("h", "one two three four", Stop, "too_many_words"),
            ("i", "Fine answer.", Stop, "duplicate"),
            ("j", "fine, but", Refused, "refused"),
            ("k", "its prompt has 99 tokens", TooLong, "too_long"),
        ];
        let answered = rows.map(|(id, output, finish, _)| answer(id, output, finish));
        let table = answers(&answered).unwrap();
        let queries = answered.map(|answer| answer.query);
        let filters =
            ResponseFilters { min_words: 2, max_words: Some(3), duplicates: true, ..ResponseFilters::default() };
        let done = filter(&[table.slice(0, 4), table.slice(4, 7)], &queries, &filters, &Reasoning::default()).unwrap();
        assert_eq!(done.kept.column(3).as_string::<i32>().value(0), "fine answer");
        assert_eq!((done.kept.num_rows(), done.prompt_tokens, done.generated_tokens), (1, 110, 33));
        let yields = done.counts.table().unwrap();
        let lines: Vec<(String, i64)> = (0..yields.num_rows())
            .map(|i| {
                let name = yields.column(0).as_string::<i32>().value(i).to_owned();
                (name, yields.column(1).as_primitive::<Int64Type>().value(i))
            })
            .collect();
        assert_eq!(lines[0], ("attempted".to_owned(), 11));
        for (name, n) in &lines[1..] {
            assert_eq!(*n, rows.iter().filter(|(.., outcome)| outcome == name).count() as i64, "{name}");
        }
        let off: ResponseFilters =
            serde_json::from_str(r#"{"truncated": false, "empty": false, "echo": false}"#).unwrap();
        let all = filter(&[table], &queries, &off, &Reasoning::default()).unwrap();
        assert_eq!(all.kept.num_rows(), 9, "all that were answered");
    }

    #[test]
    fn an_answer_that_was_cut_off_may_be_cut_back() {
        let cut = [answer("a", "It is gold. It shi", FinishReason::Length), answer("b", "gold", FinishReason::Eos)];
        let queries: Vec<Query> = cut.iter().map(|answer| answer.query.clone()).collect();
        let trim: ResponseFilters = serde_json::from_str(r#"{"truncated": "trim"}"#).unwrap();
        let done = filter(&[answers(&cut).unwrap()], &queries, &trim, &Reasoning::default()).unwrap();
        let texts: Vec<_> = done.kept.column(3).as_string::<i32>().iter().flatten().collect();
        assert_eq!((texts, done.trimmed), (vec!["It is gold.", "gold"], 1));
    }

    #[test]
    fn thoughts_are_a_column_of_their_own_where_there_are_any() {
        let thinking = [
            answer("a", "<think>\nIt is gold.\n</think>\n\ngold", FinishReason::Eos),
            answer("b", "silver", FinishReason::Eos),
            answer("c", "<think>It is", FinishReason::Eos),
        ];
        let filtered = |reasoning: &Reasoning, rows: &[Answer]| {
            let queries: Vec<Query> = rows.iter().map(|answer| answer.query.clone()).collect();
            filter(&[answers(rows).unwrap()], &queries, &ResponseFilters::default(), reasoning).unwrap()
        };
        let kept = filtered(&Reasoning::default(), &thinking).kept;
        let texts = |name: &str| kept.column_by_name(name).unwrap().as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(
            (texts("output"), texts("reasoning")),
            (vec![Some("gold"), Some("silver")], vec![Some("It is gold."), None])
        );
        let off = serde_json::from_value(serde_json::json!("off")).unwrap();
        assert_eq!(filtered(&off, &thinking).kept.schema(), schema());
        assert_eq!(filtered(&Reasoning::default(), &thinking[1..2]).kept.schema(), schema());
    }
}
