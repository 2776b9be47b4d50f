//! SQuAD: articles with paragraphs with questions (Rajpurkar et al. 2016, 2018), or one row for each question.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array},
    compute::take,
};

use super::{Misfit, batch_of, objects, text_column};

/// What stages read in place of which column.
const NEW_NAMES: [(&str, &str); 2] = [("question", "instruction"), ("context", "input")];

pub(super) fn fit(batch: &RecordBatch, rows_before: u64) -> Result<RecordBatch, Misfit> {
    if batch.column_by_name("paragraphs").is_some() {
        return flat(&questions(batch)?, rows_before);
    }
    flat(batch, rows_before)
}

/// One row for each question of articles.
fn questions(articles: &RecordBatch) -> Result<RecordBatch, Misfit> {
    let (paragraph_lists, paragraphs) = objects(&articles["paragraphs"], "paragraphs")?;
    let qas = paragraphs
        .column_by_name("qas")
        .ok_or_else(|| Misfit::new("its paragraphs have no `qas`".to_owned(), "look at the file"))?;
    let (qa_lists, qas) = objects(qas, "qas")?;
    let (mut of_article, mut of_paragraph, mut question) = (Vec::new(), Vec::new(), Vec::new());
    for article in (0..articles.num_rows()).filter(|&row| paragraph_lists.is_valid(row)) {
        let range = paragraph_lists.value_offsets()[article]..paragraph_lists.value_offsets()[article + 1];
        for paragraph in (range.start as usize..range.end as usize).filter(|&at| qa_lists.is_valid(at)) {
            for at in qa_lists.value_offsets()[paragraph]..qa_lists.value_offsets()[paragraph + 1] {
                of_article.push(article as u64);
                of_paragraph.push(paragraph as u64);
                question.push(at as u64);
            }
        }
    }
    let mut columns = Vec::new();
    let mut add = |name: &str, column: &ArrayRef, rows: &[u64]| -> Result<(), Misfit> {
        let taken = take(column, &UInt64Array::from(rows.to_vec()), None)
            .map_err(|e| Misfit::new(e.to_string(), "look at the file"))?;
        columns.push((name.to_owned(), taken));
        Ok(())
    };
    for (field, column) in qas.fields().iter().zip(qas.columns()).filter(|(field, _)| field.name() == "id") {
        add(field.name(), column, &question)?;
    }
    for (field, column) in articles.schema_ref().fields().iter().zip(articles.columns()) {
        if field.name() != "paragraphs" {
            add(field.name(), column, &of_article)?;
        }
    }
    for (field, column) in paragraphs.fields().iter().zip(paragraphs.columns()).filter(|(f, _)| f.name() != "qas") {
        add(field.name(), column, &of_paragraph)?;
    }
    // Answers that look right and are not are no references.
    for (field, column) in qas.fields().iter().zip(qas.columns()).filter(|(f, _)| f.name() != "plausible_answers") {
        add(field.name(), column, &question)?;
    }
    batch_of(columns)
}

fn flat(batch: &RecordBatch, rows_before: u64) -> Result<RecordBatch, Misfit> {
    text_column(batch, "question")?;
    text_column(batch, "context")?;
    let answers = batch.column_by_name("answers").ok_or_else(|| Misfit::missing(batch, "answers"))?;
    let all = (0..batch.num_rows())
        .map(|row| {
            texts(answers, row).ok_or_else(|| {
                let message = format!("the `answers` of row {} have no texts", rows_before + row as u64 + 1);
                Misfit::new(message, "they are `{text: [...]}` or `[{text: ...}]`")
            })
        })
        .collect::<Result<Vec<Vec<&str>>, _>>()?;
    let outputs: StringArray = all.iter().map(|answers| answers.first().copied()).collect();
    let mut references = ListBuilder::new(StringBuilder::new());
    for answers in &all {
        references.append_value(answers.iter().map(|answer| Some(*answer)));
    }
    let mut made: Vec<(String, ArrayRef)> =
        vec![("output".to_owned(), Arc::new(outputs)), ("references".to_owned(), Arc::new(references.finish()))];
    let mut columns = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == "answers" {
            columns.append(&mut made);
            continue;
        }
        let new = NEW_NAMES.iter().find(|(old, _)| old == field.name()).map_or(field.name().as_str(), |(_, new)| *new);
        columns.push((new.to_owned(), column.clone()));
    }
    batch_of(columns)
}

/// The different answers of a row, in order; `None` where they are of another form.
fn texts(answers: &ArrayRef, row: usize) -> Option<Vec<&str>> {
    if answers.is_null(row) {
        return Some(Vec::new());
    }
    let of_lists = |lists: &ListArray| lists.value_offsets()[row]..lists.value_offsets()[row + 1];
    let (texts, range): (&ArrayRef, _) = if let Some(object) = answers.as_struct_opt() {
        let lists = object.column_by_name("text")?.as_list_opt::<i32>()?;
        (lists.values(), of_lists(lists))
    } else {
        let lists = answers.as_list_opt::<i32>()?;
        if of_lists(lists).is_empty() {
            return Some(Vec::new());
        }
        (lists.values().as_struct_opt()?.column_by_name("text")?, of_lists(lists))
    };
    let texts = texts.as_string_opt::<i32>()?;
    let mut found: Vec<&str> = Vec::new();
    for at in (range.start as usize..range.end as usize).filter(|&at| texts.is_valid(at)) {
        if !found.contains(&texts.value(at)) {
            found.push(texts.value(at));
        }
    }
    Some(found)
}
