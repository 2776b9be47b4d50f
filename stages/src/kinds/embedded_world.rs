//! `embedded_world`: the invented domain that ships with pipe, as tables.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::{
    context::StageContext,
    kind::{Column, OutputPort, Ports, StageError, StageKind},
};
use pipe_world::{Guide, Item, Split, World, WorldSize, cards, exam, off_domain_seeds, seeds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rows::ports;

/// The embedded domain: an invented world of drugs, diseases and genes. Nothing in it is true, and nothing is medical
/// advice.
///
/// The two exams are of the same make, and share no item with each other or with the seeds; an answer's style follows
/// the expert's guide, which only the seeds reveal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedWorldParams {
    /// Which world. The embedded model knows that of seed 7.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Which draw of the guide and the seeds: replicates differ here.
    #[serde(default)]
    pub draw: u64,
    /// How many seeds, in and off domain.
    #[serde(default = "default_seeds")]
    #[schemars(range(min = 1))]
    pub seeds: usize,
    /// How many items each exam has.
    #[serde(default = "default_exam")]
    #[schemars(range(min = 1, max = 4000))]
    pub exam_items: usize,
}

pub(crate) fn default_seed() -> u64 {
    7
}

fn default_seeds() -> usize {
    160
}

fn default_exam() -> usize {
    660
}

/// The kind.
pub struct EmbeddedWorld;

impl StageKind for EmbeddedWorld {
    type Params = EmbeddedWorldParams;
    const NAME: &'static str = "embedded_world";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, _: &EmbeddedWorldParams) -> Ports {
        let items = |name: &'static str, about| {
            OutputPort::table(name).about(about).gives([
                ports::id(),
                ports::instruction(),
                ports::output(),
                ports::task(),
                Column::text("phrasing", "The wording that the instruction is in; some stand in no training text."),
                Column::text("entity", "What it is about."),
            ])
        };
        let cards = OutputPort::table("cards").about("A text about each entity of the world, for retrieval.").gives([
            ports::id(),
            Column::text("title", "The entity."),
            Column::text("text", "What is true of it."),
        ]);
        Ports {
            inputs: Vec::new(),
            open_inputs: false,
            outputs: vec![
                items("seeds", "Instructions with an expert's answers, in the order in which they are drawn."),
                cards,
                items("off_domain", "Seeds about towns, by experts with other habits."),
                items("development", "An exam to choose settings by."),
                items("exam", "The exam to report."),
            ],
        }
    }

    fn run(&self, params: &EmbeddedWorldParams, cx: &mut StageContext) -> Result<(), StageError> {
        let world = World::new(params.seed, &WorldSize::default());
        let guide = Guide::new(params.draw, false);
        let write = |port: &str, items: Vec<Item>| -> Result<(), StageError> {
            let batch = item_table(&items)?;
            cx.write_batches(port, batch.schema_ref(), [&batch]).map(drop)
        };
        write("seeds", seeds(&world, &guide, params.draw, params.seeds, params.exam_items))?;
        write("off_domain", off_domain_seeds(&world, &Guide::new(params.draw, true), params.draw, params.seeds))?;
        write("development", exam(&world, &guide, Split::Development, params.exam_items))?;
        write("exam", exam(&world, &guide, Split::Final, params.exam_items))?;
        let cards = cards(&world);
        let column =
            |name, value: fn(&pipe_world::Card) -> &str| (name, cards.iter().map(|c| Some(value(c))).collect());
        let batch =
            text_table(vec![column("id", |c| &c.id), column("title", |c| &c.title), column("text", |c| &c.text)])?;
        cx.write_batches("cards", batch.schema_ref(), [&batch])?;
        Ok(())
    }
}

fn item_table(items: &[Item]) -> Result<RecordBatch, StageError> {
    let column = |name, value: fn(&Item) -> &str| (name, items.iter().map(|i| Some(value(i))).collect());
    text_table(vec![
        column("id", |i| &i.id),
        column("instruction", |i| &i.instruction),
        column("output", |i| &i.output),
        column("task", |i| i.task),
        column("phrasing", |i| i.phrasing),
        column("entity", |i| &i.entity),
    ])
}

/// A table of text columns without nulls.
fn text_table(columns: Vec<(&str, StringArray)>) -> Result<RecordBatch, StageError> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| Arc::new(array) as ArrayRef).collect();
    RecordBatch::try_new(schema, arrays).map_err(|e| StageError::other("put columns into a table", e))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "params: { seeds: 12, exam_items: 6 }",
    version: 1,
    outputs: &[
        ("cards", "95931284c9f21ef130137b0fc72db4007fee8f9130b3a591a1bd1203178a78c6"),
        ("development", "d63cdb95bdc3652be3d49cce6358f5effb8a61db18a6b0480f188b21a3bc829a"),
        ("exam", "6e2af012e9c1df0d9051e6bb7519fb15df4eb07ae457fc5da544ff84516809a2"),
        ("off_domain", "17ab9ea139a2821a8aeb4b057c8915237b3ae2f7fee9a3f9f045f2a9b6df2d8e"),
        ("seeds", "d15dfd1df986cc4d971a20e42afd074071433bf6d700bd199221d455af56e9b9"),
    ],
};
