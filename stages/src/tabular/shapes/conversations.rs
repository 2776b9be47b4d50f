//! Conversations: ShareGPT's `conversations` of `{from, value}`, and `messages` of `{role, content}`.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, NullBufferBuilder, RecordBatch, StringArray, StringBuilder, StructArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields},
};

use super::{Misfit, Turns, batch_of, objects};

/// What the column is called.
const NAMES: [&str; 4] = ["messages", "conversations", "conversation", "dialogue"];

/// The role that goes by that name.
fn role(name: &str) -> Option<&'static str> {
    Some(match name.to_lowercase().as_str() {
        "user" | "human" | "prompter" => "user",
        "assistant" | "gpt" | "chatgpt" | "model" | "bot" | "bard" | "bing" => "assistant",
        "system" | "developer" => "system",
        "tool" | "function" | "observation" | "function_response" => "tool",
        _ => return None,
    })
}

/// One turn.
struct Turn<'a> {
    role: &'static str,
    content: Option<std::borrow::Cow<'a, str>>,
}

/// The contents of turns: texts, or lists of parts of which some have a text.
enum Contents<'a> {
    Texts(&'a StringArray),
    Parts(&'a ListArray, &'a StringArray),
}

impl<'a> Contents<'a> {
    fn of(column: &'a ArrayRef, name: &str) -> Result<Self, Misfit> {
        if let Some(texts) = column.as_string_opt::<i32>() {
            return Ok(Self::Texts(texts));
        }
        let (list, parts) = objects(column, name)?;
        let texts = parts.column_by_name("text").and_then(|texts| texts.as_string_opt::<i32>());
        texts.map(|texts| Self::Parts(list, texts)).ok_or_else(|| {
            Misfit::new(format!("the parts of `{name}` have no `text`"), "look at the file, or leave `shape` out")
        })
    }

    fn at(&self, at: usize) -> Option<std::borrow::Cow<'a, str>> {
        match self {
            Self::Texts(texts) => texts.is_valid(at).then(|| texts.value(at).into()),
            Self::Parts(list, texts) => list.is_valid(at).then(|| {
                let range = list.value_offsets()[at] as usize..list.value_offsets()[at + 1] as usize;
                range.filter(|&part| texts.is_valid(part)).map(|part| texts.value(part)).collect::<String>().into()
            }),
        }
    }
}

/// The column of conversations becomes `messages`, or with [`Turns::First`] `instruction` and `output`; a column
/// `system` of texts becomes a first turn.
pub(super) fn fit(batch: &RecordBatch, turns: Turns, rows_before: u64) -> Result<RecordBatch, Misfit> {
    let name = NAMES.into_iter().find(|name| batch.column_by_name(name).is_some());
    let name = name.ok_or_else(|| Misfit::missing(batch, "messages` or `conversations"))?;
    let (lists, items) = objects(&batch[name], name)?;
    let field = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| items.column_by_name(name));
        found.ok_or_else(|| {
            let message = format!("the turns in `{name}` have no `{}` or `{}`", names[0], names[1]);
            Misfit::new(message, "a turn has a `role` and a `content`, or a `from` and a `value`")
        })
    };
    let (speakers, contents) = (field(["role", "from"])?, Contents::of(field(["content", "value"])?, "content")?);
    let speakers = speakers
        .as_string_opt::<i32>()
        .ok_or_else(|| Misfit::new(format!("the roles in `{name}` are no texts"), "look at the file"))?;
    let system = batch.column_by_name("system").and_then(|column| column.as_string_opt::<i32>());

    let conversation = |row: usize| -> Result<Option<Vec<Turn<'_>>>, Misfit> {
        if lists.is_null(row) {
            return Ok(None);
        }
        let mut turns = Vec::new();
        for at in lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize {
            let speaker = if speakers.is_valid(at) { speakers.value(at) } else { "" };
            let role = role(speaker).ok_or_else(|| {
                let message = format!("row {} has a turn of `{speaker}`", rows_before + row as u64 + 1);
                let help = "turns are of `system`, `user` (`human`), `assistant` (`gpt`) or `tool`";
                Misfit::new(message, help)
            })?;
            turns.push(Turn { role, content: contents.at(at) });
        }
        let begins = turns.first().is_some_and(|first| first.role == "system");
        if let Some(texts) = system
            && !begins
            && texts.is_valid(row)
            && !texts.value(row).trim().is_empty()
        {
            turns.insert(0, Turn { role: "system", content: Some(texts.value(row).into()) });
        }
        Ok(Some(turns))
    };
    let all = (0..batch.num_rows()).map(conversation).collect::<Result<Vec<_>, _>>()?;
    let mut made = match turns {
        Turns::All => vec![("messages".to_owned(), messages(&all)?)],
        Turns::First => first_exchange(&all),
    }
    .into_iter();
    let mut columns = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        match field.name().as_str() {
            there if there == name => columns.extend(made.by_ref()),
            "system" if system.is_some() => {}
            other => columns.push((other.to_owned(), column.clone())),
        }
    }
    batch_of(columns)
}

fn messages(all: &[Option<Vec<Turn<'_>>>]) -> Result<ArrayRef, Misfit> {
    let (mut roles, mut contents) = (StringBuilder::new(), StringBuilder::new());
    let (mut offsets, mut valid) = (vec![0_i32], NullBufferBuilder::new(all.len()));
    for conversation in all {
        for turn in conversation.iter().flatten() {
            roles.append_value(turn.role);
            contents.append_option(turn.content.as_deref());
        }
        offsets.push(roles.offsets_slice().len() as i32 - 1);
        valid.append(conversation.is_some());
    }
    let fields: Fields = ["role", "content"].map(|name| Field::new(name, DataType::Utf8, true)).into_iter().collect();
    let item = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    let turns = StructArray::new(fields, vec![Arc::new(roles.finish()), Arc::new(contents.finish())], None);
    let list = ListArray::try_new(item, OffsetBuffer::new(offsets.into()), Arc::new(turns), valid.finish());
    list.map(|list| Arc::new(list) as ArrayRef).map_err(|e| Misfit::new(e.to_string(), "look at the file"))
}

fn first_exchange(all: &[Option<Vec<Turn<'_>>>]) -> Vec<(String, ArrayRef)> {
    let (mut asked, mut answered) = (StringBuilder::new(), StringBuilder::new());
    for conversation in all {
        let mut turns = conversation.iter().flatten();
        let question = turns.by_ref().find(|turn| turn.role == "user");
        let answer = turns.find(|turn| turn.role == "assistant");
        asked.append_option(question.and_then(|turn| turn.content.as_deref()));
        answered.append_option(answer.and_then(|turn| turn.content.as_deref()));
    }
    vec![
        ("instruction".to_owned(), Arc::new(asked.finish()) as ArrayRef),
        ("output".to_owned(), Arc::new(answered.finish())),
    ]
}
