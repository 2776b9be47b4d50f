//! Rows that are conversations, as `train` reads them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use pipe_engine::kind::StageError;
use pipe_lm::chat::Message;

use super::{
    columns::{self, is_text, text_array, wrong_type},
    examples::Row,
};

const MESSAGES: &str = "messages";

/// Whether the rows of a table are conversations: it has a column `messages` and no `instruction`.
pub(crate) fn are_conversations(table: &RecordBatch) -> bool {
    table.column_by_name(MESSAGES).is_some() && table.column_by_name("instruction").is_none()
}

/// Reads conversations from the columns `id` and `messages`. The first question of one is its instruction, and what the
/// assistant says its references; there are none where a turn has no text.
///
/// # Errors
/// The column is no list of `{role, content}`; an id occurs twice.
pub(crate) fn read_conversations(table: &RecordBatch, port: &str) -> Result<Vec<Row>, StageError> {
    let ids = columns::ids(table, port)?;
    let all = messages(table, port)?;
    let row = |(id, turns): (String, Option<Vec<Message>>)| {
        let messages = turns.unwrap_or_default();
        let of = |role: &'static str| messages.iter().filter(move |m| m.role == role).map(|m| m.content.clone());
        let instruction = of("user").next().unwrap_or_default();
        let references = of("assistant").filter(|said| !said.trim().is_empty()).collect();
        Row { id, instruction, references, messages, ..Row::default() }
    };
    Ok(ids.into_iter().zip(all).map(row).collect())
}

/// The turns of every row; `None` where it has none, or one of them has no role or no text.
fn messages(table: &RecordBatch, port: &str) -> Result<Vec<Option<Vec<Message>>>, StageError> {
    let column = table.column_by_name(MESSAGES).ok_or_else(|| columns::missing(table, port, MESSAGES))?;
    let wrong = || wrong_type(port, MESSAGES, column.data_type(), "a list of {role, content}");
    let turns = |row: usize| -> Result<Option<Vec<Message>>, StageError> {
        let items = columns::items(column, row).ok_or_else(wrong)?;
        let items = items.as_struct_opt().ok_or_else(wrong)?;
        let field = |name: &str| -> Result<_, StageError> {
            let column: &ArrayRef = items.column_by_name(name).ok_or_else(wrong)?;
            text_array(column, port, MESSAGES, is_text)
        };
        let (roles, contents) = (field("role")?, field("content")?);
        let turn = |at: usize| {
            let whole = items.is_valid(at) && roles.is_valid(at) && contents.is_valid(at);
            whole.then(|| Message::new(roles.value(at), contents.value(at)))
        };
        Ok((0..items.len()).map(turn).collect())
    };
    (0..table.num_rows()).map(turns).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ListArray, StringArray, StructArray},
        buffer::OffsetBuffer,
        datatypes::{DataType, Field},
    };

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn conversations_are_read_and_those_with_a_turn_without_text_have_no_answer() {
        let fields =
            |name: &str, values: &[Option<&str>]| (Arc::new(Field::new(name, DataType::Utf8, true)), texts(values));
        let turns = StructArray::from(vec![
            fields("role", &[Some("user"), Some("assistant"), Some("user"), Some("assistant")]),
            fields("content", &[Some("Q"), Some("A"), Some("R"), None]),
        ]);
        let item = Arc::new(Field::new_list_field(turns.data_type().clone(), true));
        let list = ListArray::new(item, OffsetBuffer::new(vec![0, 2, 4, 4].into()), Arc::new(turns), None);
        let table = RecordBatch::try_from_iter([("messages", Arc::new(list) as ArrayRef)]).unwrap();
        assert!(are_conversations(&table));
        let rows = read_conversations(&table, "examples").unwrap();
        assert_eq!(
            (&*rows[0].instruction, &rows[0].references, rows[0].messages.len()),
            ("Q", &vec!["A".to_owned()], 2)
        );
        assert_eq!((rows[1].references.len(), rows[2].instruction.as_str()), (0, ""));
        let wrong = RecordBatch::try_from_iter([("messages", texts(&[Some("x")]))]).unwrap();
        let error = read_conversations(&wrong, "examples").unwrap_err().to_string();
        assert!(error.contains("list of {role, content}"), "{error}");
    }
}
