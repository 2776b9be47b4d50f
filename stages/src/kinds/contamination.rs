//! `contamination`: what of an exam stands in what a model was given before it.

mod found;
mod tables;

use pipe_engine::{
    context::StageContext,
    kind::{Column, InputPort, OutputPort, ParamProblem, PortType, Ports, Role, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::found::{Found, Item};
use crate::rows::{
    columns::{self, TextColumn},
    ports,
};

/// Says of every item of an exam whether it stands in the rows that a model was trained on, or in the documents that it
/// is shown.
///
/// Three things are looked for, and the first that holds is the item's verdict. `exact`: the item's words stand there,
/// all of them in their order (case, white space and punctuation do not count). `ngrams`: runs of `ngram` words do; 13
/// as for GPT-3 (Brown et al. 2020, arXiv:2005.14165), where one is enough (`min_share`). `near`: a training row asks
/// nearly the same, by ROUGE-L F above 0.7 over the words that carry content, where one question has no word of its
/// own, or above 0.9. `pipe check` looks for the same by the same code, before anything is run.
///
/// Tables are read once, row by row, and what is held of a million rows are their ids. Join `items` to
/// an exam by `id` (`select`) to score what is clean by itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContaminationParams {
    /// Words of the runs that are looked for. An item of fewer words is looked for as a whole.
    #[serde(default = "thirteen")]
    #[schemars(range(min = 2))]
    pub ngram: usize,
    /// An item of fewer words than this is looked for by `near` alone: it may stand anywhere.
    #[serde(default = "five")]
    #[schemars(range(min = 1))]
    pub min_words: usize,
    /// The share of an item's runs that must stand in one text.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_share: f64,
    /// The columns of the exam that make an item's text, joined by line breaks; missing ones are skipped, but one must
    /// be there.
    #[serde(default = "question")]
    pub exam_columns: Vec<String>,
    /// The columns of `training` that make a row's text, for runs of words.
    #[serde(default = "row")]
    pub training_columns: Vec<String>,
    /// The columns of `training` that make a question, for `near`.
    #[serde(default = "question")]
    pub training_question_columns: Vec<String>,
    /// The columns of `documents` that make a document's text.
    #[serde(default = "text")]
    pub document_columns: Vec<String>,
}

fn thirteen() -> usize {
    13
}

fn five() -> usize {
    5
}

fn question() -> Vec<String> {
    ["instruction", "input"].map(str::to_owned).into()
}

fn row() -> Vec<String> {
    ["instruction", "input", "output"].map(str::to_owned).into()
}

fn text() -> Vec<String> {
    vec!["text".to_owned()]
}

impl ContaminationParams {
    /// Says which columns are named and not there.
    fn warn_of_absent(&self, cx: &StageContext) -> Result<(), StageError> {
        for (port, parameter, names, usual) in [
            (EXAM, "exam_columns", &self.exam_columns, question()),
            (TRAINING, "training_columns", &self.training_columns, row()),
            (TRAINING, "training_question_columns", &self.training_question_columns, question()),
            (DOCUMENTS, "document_columns", &self.document_columns, text()),
        ] {
            if let Some(table) = cx.optional_table(port)? {
                columns::warn_of_absent(cx, table.schema(), (port, parameter), names, &usual);
            }
        }
        Ok(())
    }
}

const EXAM: &str = "exam";
const TRAINING: &str = "training";
const DOCUMENTS: &str = "documents";

/// The kind.
pub struct Contamination;

impl StageKind for Contamination {
    type Params = ContaminationParams;
    const NAME: &'static str = "contamination";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, params: &ContaminationParams) -> Ports {
        let of = |columns: &[String]| -> Vec<Column> {
            columns.iter().map(|name| Column::text(name.clone(), "A part of the text.")).collect()
        };
        let verdict = || Column::text("verdict", "`exact`, `ngrams`, `near` or `clean`.");
        let source = || Column::text("source", "`training` or `documents`.");
        Ports {
            inputs: vec![
                InputPort::new(EXAM, PortType::Table, true)
                    .role(Role::Exam)
                    .about("The exam.")
                    .takes(of(&params.exam_columns))
                    .takes([ports::id(), ports::task()]),
                InputPort::new(TRAINING, PortType::Table, false)
                    .about("The rows that the model is trained on: seeds, or synthetic ones.")
                    .takes(of(&params.training_columns))
                    .takes([ports::id()]),
                InputPort::new(DOCUMENTS, PortType::Table, false)
                    .about("The documents that its prompts show, or that rows are written from.")
                    .takes(of(&params.document_columns))
                    .takes([ports::id()]),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("items").about("One row per item of the exam: the worst that was found.").gives([
                    ports::id(),
                    ports::task(),
                    verdict(),
                    source(),
                    Column::text("found_in", "The id of the text; null where nothing was found."),
                    Column::number("share", "What the two have in common: of its runs of words, or ROUGE-L F."),
                ]),
                OutputPort::table("matches")
                    .about("Everything that was found: for an item, a source and a way of looking the best text.")
                    .gives([
                        Column::text("id", "The item."),
                        source(),
                        verdict(),
                        Column::text("found_in", "The id of the text."),
                        Column::number("share", "What the two have in common."),
                        Column::text("text", "The beginning of the text."),
                    ]),
                OutputPort::table("summary")
                    .about("How many items have which verdict: by source, and by the worst of all (`source` is null).")
                    .gives([
                        source(),
                        verdict(),
                        Column::number("items", "Items of the exam."),
                        Column::number("share", "The share of all items."),
                    ]),
            ],
        }
    }

    fn check(&self, params: &ContaminationParams) -> Vec<ParamProblem> {
        let lists = [
            ("exam_columns", &params.exam_columns),
            ("training_columns", &params.training_columns),
            ("training_question_columns", &params.training_question_columns),
            ("document_columns", &params.document_columns),
        ];
        let empty = lists.into_iter().filter(|(_, list)| list.is_empty());
        let problem = |(name, _): (&str, _)| ParamProblem {
            pointer: format!("/{name}"),
            message: "it names no column".to_owned(),
            help: Some("name one or more, or leave it out".to_owned()),
        };
        empty.map(problem).collect()
    }

    fn run(&self, params: &ContaminationParams, cx: &mut StageContext) -> Result<(), StageError> {
        let cx: &StageContext = cx;
        let exam = cx.table(EXAM)?.read()?;
        let ids = columns::ids(&exam, EXAM)?;
        let texts = found::texts(&exam, EXAM, &params.exam_columns)?;
        params.warn_of_absent(cx)?;
        if texts.is_empty() {
            return Err(StageError::user_help("the input `exam` has no rows", "it needs one item or more"));
        }
        let tasks = TextColumn::optional(&exam, EXAM, "task")?;
        let task = |row: usize| tasks.as_ref().and_then(|tasks| tasks.get(row)).map(str::to_owned);
        let rows = ids.into_iter().zip(texts).enumerate();
        let items: Vec<Item> = rows.map(|(row, (id, text))| Item { id, task: task(row), text }).collect();
        let found = Found::of(params, cx, &items)?;
        let worst = found.worst(items.len()).flatten().count();
        if worst > 0 {
            cx.warn(format!("{worst} of {} items of the exam stand in what the model is given before it", items.len()));
        }
        cx.counter("items_contaminated", worst as u64);
        tables::write(cx, &items, &found)
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { exam: table, training: embedded_world.seeds, documents: retrieve }, \
        params: { document_columns: [instruction, output] }",
    version: 1,
    outputs: &[
        ("items", "2567098b415d633a03c800a8237de8fbd20a7f683cb4358067a7d8e918e40bca"),
        ("matches", "d2fad0fb8761385697d8045b1cfcc0926260dff5a75eb8db92ea0e65224831f5"),
        ("summary", "fdb94fc7fb7565abece66837c6670055d7cef98ea68d9afe05d51bf29e66dd3a"),
    ],
};

#[cfg(test)]
mod tests;
