//! `embedded_texts`: what the embedded base model is pretrained on.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayBuilder, ArrayRef, Float32Builder, ListBuilder, RecordBatch, StringArray, StringBuilder, StructBuilder,
    },
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use pipe_engine::{
    context::StageContext,
    kind::{Column, OutputPort, ParamProblem, Ports, StageError, StageKind},
};
use pipe_world::{DocumentKind, Segment, World, WorldSize, document};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::embedded_world::default_seed;

use crate::rows::ports;

/// Documents about the embedded world to pretrain a base model on, each a list of `segments` with a loss weight.
///
/// `passages` state facts; `lists` are instructions about entities of the world, without answers; `reading` documents
/// answer instructions from a passage, about entities that occur once and never again, in styles drawn anew for each
/// document; `copies` hold a passage twice. No document answers a question about an entity of the world.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddedTextsParams {
    /// Which world.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Where in each endless sequence of documents to begin; a later phase goes on where the earlier one ended.
    #[serde(default)]
    pub first: u64,
    /// How many documents with passages.
    #[serde(default)]
    pub passages: u64,
    /// How many lists of instructions.
    #[serde(default)]
    pub lists: u64,
    /// How many documents of reading comprehension.
    #[serde(default)]
    pub reading: u64,
    /// How many copied passages.
    #[serde(default)]
    pub copies: u64,
}

/// The kind.
pub struct EmbeddedTexts;

/// Documents made at a time.
const BATCH: u64 = 4096;

impl StageKind for EmbeddedTexts {
    type Params = EmbeddedTextsParams;
    const NAME: &'static str = "embedded_texts";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, _: &EmbeddedTextsParams) -> Ports {
        let documents = OutputPort::table("documents").about("Texts that a base model is trained on.").gives([
            ports::id(),
            Column::text("kind", "The sort of text."),
            Column::new("segments", "list of {text, weight}", "Its parts, with the weight of their loss."),
        ]);
        Ports { inputs: Vec::new(), open_inputs: false, outputs: vec![documents] }
    }

    fn check(&self, params: &EmbeddedTextsParams) -> Vec<ParamProblem> {
        if params.passages + params.lists + params.reading + params.copies > 0 {
            return Vec::new();
        }
        vec![ParamProblem {
            pointer: String::new(),
            message: "no documents are asked for".into(),
            help: Some("give at least one of `passages`, `lists`, `reading` and `copies`".into()),
        }]
    }

    fn run(&self, params: &EmbeddedTextsParams, cx: &mut StageContext) -> Result<(), StageError> {
        let world = World::new(params.seed, &WorldSize::default());
        let mut writer = cx.write_table("documents", &schema())?;
        let parts = [
            ("passages", DocumentKind::Passages, params.passages),
            ("list", DocumentKind::List, params.lists),
            ("reading", DocumentKind::Reading, params.reading),
            ("copy", DocumentKind::Copy, params.copies),
        ];
        for (name, kind, count) in parts {
            for start in (0..count).step_by(BATCH as usize) {
                cx.check_cancelled()?;
                let indices: Vec<u64> = (start..count.min(start + BATCH)).map(|i| params.first + i).collect();
                let documents: Vec<Vec<Segment>> = indices.par_iter().map(|&i| document(&world, kind, i)).collect();
                writer.write(&table(name, &indices, &documents)?)?;
            }
        }
        writer.finish()?;
        Ok(())
    }
}

fn segment_fields() -> Fields {
    Fields::from(vec![Field::new("text", DataType::Utf8, false), Field::new("weight", DataType::Float32, false)])
}

fn schema() -> SchemaRef {
    let segment = Field::new("item", DataType::Struct(segment_fields()), false);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("segments", DataType::List(Arc::new(segment)), false),
    ]))
}

fn table(kind: &str, indices: &[u64], documents: &[Vec<Segment>]) -> Result<RecordBatch, StageError> {
    let builders: Vec<Box<dyn ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(Float32Builder::new())];
    let mut segments = ListBuilder::new(StructBuilder::new(segment_fields(), builders)).with_field(Field::new(
        "item",
        DataType::Struct(segment_fields()),
        false,
    ));
    for document in documents {
        for segment in document {
            let row = segments.values();
            row.field_builder::<StringBuilder>(0).expect("the first field is text").append_value(&segment.text);
            row.field_builder::<Float32Builder>(1).expect("the second field is a number").append_value(segment.weight);
            row.append(true);
        }
        segments.append(true);
    }
    let ids: StringArray = indices.iter().map(|i| Some(format!("{kind}-{i}"))).collect();
    let kinds: StringArray = indices.iter().map(|_| Some(kind)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(kinds), Arc::new(segments.finish())];
    RecordBatch::try_new(schema(), columns).map_err(|e| StageError::other("put documents into a table", e))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "params: { passages: 3, lists: 2, reading: 2, copies: 1 }",
    version: 1,
    outputs: &[("documents", "4cbd2dea16c8752bf1e7585e7e3da4bf3940771fa2d50c202900fa2e9bfdf14e")],
};
