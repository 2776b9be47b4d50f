//! Tables of one column `text`, and the ports that carry them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::{
    context::StageContext,
    kind::{InputPort, OutputPort, PortType, Ports, StageError},
};

/// One column `text`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]))
}

pub(crate) fn batch(texts: impl IntoIterator<Item = impl AsRef<str>>) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_new(schema(), vec![column]).unwrap()
}

/// The column of a table.
pub fn texts(batch: &RecordBatch) -> Vec<String> {
    let column = batch.column_by_name("text").unwrap().as_string::<i32>();
    (0..column.len()).map(|i| column.value(i).to_owned()).collect()
}

/// All rows of an input.
pub(crate) fn read(cx: &StageContext, port: &str) -> Result<Vec<String>, StageError> {
    Ok(texts(&cx.table(port)?.read()?))
}

/// The output `out`.
pub(crate) fn write(cx: &StageContext, lines: &[String]) -> Result<(), StageError> {
    cx.write_batches("out", &schema(), [&batch(lines)]).map(drop)
}

/// Required tables in, and `out`.
pub(crate) fn ports(inputs: &[&'static str], produces: PortType) -> Ports {
    Ports {
        inputs: inputs.iter().map(|name| InputPort::new(*name, PortType::Table, true)).collect(),
        open_inputs: false,
        outputs: vec![OutputPort::new("out", produces)],
    }
}
