//! `embed`: a vector for each row.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, FixedSizeListBuilder, Float32Builder, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::{
    context::StageContext,
    kind::{
        Column, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Role, Source, SourceHost,
        StageError, StageKind,
    },
};
use pipe_lm::{
    embed::{Embedder, Pooling, Role as TextRole},
    origin::check_embedder,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        embedder::{EmbedderRef, ModelPrompts, identity, vectors, warn_of_cut},
        model_error, model_files,
    },
    rows::{
        columns::{self, Ids, TextColumn},
        corpus::PassageColumns,
        ports,
    },
};

/// Makes a vector of each row's text with an embedding model, once: `retrieve` takes them as its input `vectors`, and
/// then embeds its queries alone. A document more costs one vector more.
///
/// Models are encoders of the families BERT, RoBERTa, XLM-R, MPNet, DistilBERT and ModernBERT, with the pooling and the
/// dense layers of sentence-transformers; vectors have length 1 and agree with that program's up to rounding. A text's
/// vector depends on the text and the model alone. A row without a text has none.
///
/// Sentence-BERT: Reimers and Gurevych 2019.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedParams {
    /// An embedding model: a Hugging Face directory relative to the file that names it, or `hf:org/name@revision`. Its
    /// content is part of the key, its place is not. Not needed with the input `embedder`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub embedder: Option<EmbedderRef>,
    /// The columns that make the text, joined by spaces. When left out: `text`, behind `title` and a colon where there
    /// is one, as `retrieve` makes its passages.
    #[serde(default)]
    pub columns: Vec<String>,
    /// How a text's token vectors become one; as the model's own files say when left out, else their mean.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// Written in front of texts (E5 wants `passage: `).
    #[serde(default)]
    pub prefix: String,
    /// Whether the model's own prompt for documents stands in front of texts where no `prefix` is given.
    #[serde(default)]
    pub prompts: ModelPrompts,
}

/// The kind.
pub struct Embed;

const PORT: &str = "rows";

impl StageKind for Embed {
    type Params = EmbedParams;
    const NAME: &'static str = "embed";
    // 1: the first.
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::RowWise { primary: PORT };

    fn ports(&self, params: &EmbedParams) -> Ports {
        let texts = if params.columns.is_empty() { vec!["text".to_owned()] } else { params.columns.clone() };
        let texts = texts.into_iter().map(|name| Column::text(name, "The text, or a part of it."));
        let title = params.columns.is_empty().then(|| Column::text("title", "Put in front of the text."));
        Ports {
            inputs: vec![
                InputPort::new(PORT, PortType::Table, true)
                    .role(Role::Documents)
                    .about("The rows whose texts become vectors.")
                    .needs(texts)
                    .takes([ports::id()].into_iter().chain(title)),
                InputPort::new("embedder", PortType::Files, params.embedder.is_none())
                    .about("A model that makes vectors of texts, from another stage.")
                    .with_help("give the parameter `embedder` (a Hugging Face directory, or hf:org/name)"),
            ],
            open_inputs: false,
            outputs: vec![OutputPort::table("vectors").about("The rows' vectors, in their order.").gives([
                ports::id(),
                Column::new(
                    "vector",
                    "list of numbers",
                    "The text's vector, of length 1; null where there is no text.",
                ),
            ])],
        }
    }

    fn check(&self, params: &EmbedParams) -> Vec<ParamProblem> {
        let message = match params.embedder.as_ref().map(EmbedderRef::model) {
            Some(Err(message)) => message,
            Some(Ok(None)) => "`lsa` learns from the whole corpus, and has no vectors of single rows".to_owned(),
            _ => return Vec::new(),
        };
        let help = Some("a Hugging Face directory, or hf:org/name".into());
        vec![ParamProblem { pointer: "/embedder".into(), message, help }]
    }

    fn sources(&self, params: &EmbedParams) -> Result<Vec<Source>, StageError> {
        EmbedderRef::sources(params.embedder.as_ref())
    }

    fn preview(&self, params: &EmbedParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        params.embedder.iter().try_for_each(|embedder| embedder.look(host, check_embedder))?;
        Ok(Preview::default())
    }

    fn run(&self, params: &EmbedParams, cx: &mut StageContext) -> Result<(), StageError> {
        let named = params.embedder.as_ref().map(EmbedderRef::model).transpose().map_err(StageError::user)?.flatten();
        let dir = match named {
            Some(model) => model_files(cx, &model)?,
            None => cx.files("embedder")?,
        };
        let width = Embedder::width(&dir, params.pooling).map_err(model_error)?;
        let width = i32::try_from(width).map_err(|e| StageError::other("count the vectors' components", e))?;
        let item = || Arc::new(Field::new("item", DataType::Float32, true));
        let field = Field::new("vector", DataType::FixedSizeList(item(), width), true);
        let memo: SchemaRef = Arc::new(Schema::new(vec![field.clone()]));
        let prefix = params.prompts.prefix(cx, &dir, &params.prefix, TextRole::Document)?;
        let table = cx.table(PORT)?;
        // Ids that occur twice are found before anything is embedded.
        let (mut ids, mut named) = (Ids::default(), Vec::new());
        for batch in table.rows()? {
            named.extend(ids.of(batch, PORT)?);
        }
        drop(ids);
        let mut opened = None;
        let mapped = cx.map_rows(&table, &memo, |pending, sink| {
            let embedder = match &mut opened {
                Some(embedder) => embedder,
                none => none.insert(Embedder::open(&dir, params.pooling).map_err(model_error)?),
            };
            for first in (0..pending.len()).step_by(BLOCK) {
                cx.check_cancelled()?;
                let range = sink.begin_range(first..pending.len().min(first + BLOCK));
                if range.is_empty() {
                    break;
                }
                let texts = texts(params, &pending.slice(range.clone())?)?;
                let filled: Vec<String> = texts.iter().flatten().cloned().collect();
                let mut vectors = vectors(cx, embedder, &filled, &prefix)?.into_iter();
                let mut column = FixedSizeListBuilder::new(Float32Builder::new(), width);
                for text in &texts {
                    let vector = text.as_ref().and_then(|_| vectors.next());
                    match &vector {
                        Some(vector) => column.values().append_slice(vector),
                        None => column.values().append_nulls(width as usize),
                    }
                    column.append(vector.is_some());
                }
                let column: ArrayRef = Arc::new(column.finish());
                let rows = RecordBatch::try_new(SchemaRef::clone(&memo), vec![column]);
                let rows = rows.map_err(|e| StageError::other("put vectors into a table", e))?;
                sink.emit(&range.collect::<Vec<_>>(), &rows)?;
            }
            Ok(())
        })?;
        if let Some(embedder) = &opened {
            warn_of_cut(cx, embedder);
        }
        let told = HashMap::from([(EMBEDDER.to_owned(), identity(&dir, params.pooling)?.to_string())]);
        let id = Field::new("id", DataType::Utf8, false);
        let schema: SchemaRef = Arc::new(Schema::new(vec![id, field.with_metadata(told)]));
        let empty = write(cx, &named, &schema, &mapped.batches)?;
        if empty > 0 {
            cx.counter("texts_empty", empty as u64);
            cx.warn(format!("{empty} rows of `{PORT}` have no text, and so no vector"));
        }
        Ok(())
    }
}

/// In the metadata of the column `vector`: what made it.
pub(crate) const EMBEDDER: &str = "embedder";

/// Rows that are embedded and kept at a time.
const BLOCK: usize = 1024;

/// The texts of some rows; `None` where there is none.
fn texts(params: &EmbedParams, batch: &RecordBatch) -> Result<Vec<Option<String>>, StageError> {
    if params.columns.is_empty() {
        let columns = PassageColumns::of(batch, PORT)?;
        return Ok((0..batch.num_rows()).map(|row| columns.passage(row)).collect());
    }
    let columns = params.columns.iter().map(|name| TextColumn::required(batch, PORT, name));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let text = |row: usize| {
        let parts: Vec<&str> = columns.iter().map(|c| c.or_empty(row).trim()).filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    Ok((0..batch.num_rows()).map(text).collect())
}

/// Writes the vectors beside the ids of their rows, and says how many are missing.
fn write(
    cx: &StageContext,
    named: &[String],
    schema: &SchemaRef,
    vectors: &[RecordBatch],
) -> Result<usize, StageError> {
    let (mut writer, mut first, mut empty) = (cx.write_table("vectors", schema)?, 0, 0);
    for batch in vectors {
        let ids = StringArray::from_iter_values(&named[first..first + batch.num_rows()]);
        first += batch.num_rows();
        let column = Arc::clone(batch.column(0));
        empty += column.null_count();
        let rows = RecordBatch::try_new(SchemaRef::clone(schema), vec![Arc::new(ids), column]);
        writer.write(&rows.map_err(|e| StageError::other("put ids beside vectors", e))?)?;
    }
    writer.finish()?;
    Ok(empty)
}

/// A row's id, and its vector.
type Embedded<'a> = (String, Option<&'a [f32]>);

/// The ids and vectors of a batch of such a table; `None` for rows without a vector.
///
/// # Errors
/// A column is missing or of another type.
pub(crate) fn read<'a>(batch: &'a RecordBatch, port: &str, ids: &mut Ids) -> Result<Vec<Embedded<'a>>, StageError> {
    let column = batch.column_by_name("vector").ok_or_else(|| columns::missing(batch, port, "vector"))?;
    let lists = column.as_fixed_size_list_opt();
    let values =
        lists.and_then(|lists| Some((lists, lists.values().as_primitive_opt::<arrow::datatypes::Float32Type>()?)));
    let Some((lists, values)) = values else {
        return Err(columns::wrong_type(port, "vector", column.data_type(), "a list of 32-bit numbers, of one length"));
    };
    let width = lists.value_length() as usize;
    let vector = |row: usize| {
        let begin = lists.value_offset(row) as usize;
        arrow::array::Array::is_valid(lists, row).then(|| &values.values()[begin..begin + width])
    };
    Ok(ids.of(batch, port)?.into_iter().enumerate().map(|(row, id)| (id, vector(row))).collect())
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { rows: table }, params: { embedder: ENCODER, columns: [instruction, output] }",
    version: 1,
    outputs: &[("vectors", "1d6ca33909a8a1dba60eede18e41189f75cb934891647eb3019bd18feb5bf04b")],
};
