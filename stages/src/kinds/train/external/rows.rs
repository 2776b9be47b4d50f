//! What the program reads: the rows of all steps, in their order.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{Float64Array, Int32Builder, Int64Array, ListBuilder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use pipe_engine::kind::StageError;
use pipe_lm::train::{Dataset, Example, MicroBatch, Order, TrainConfig, schedule};

/// The label of a token on which no loss falls, as in transformers.
const MASKED: i32 = -100;
/// Rows of a file that are made at a time.
const AT_ONCE: usize = 64;

/// One optimizer step, as the program is given it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// Passes over the rows when it is done.
    pub epoch: f64,
    /// Of the step.
    pub learning_rate: f64,
    /// Token ids of its rows.
    pub ids: u64,
    /// Tokens that pass through a model: all but each row's last.
    pub tokens: u64,
    /// Tokens that the loss counts.
    pub targets: u64,
}

/// A part of a step: rows for one forward and backward pass.
struct Pass<'a> {
    step: usize,
    rows: Vec<&'a Example>,
}

fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("item", item, true))), false)
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        list("ids", DataType::Int32),
        list("labels", DataType::Int32),
        list("boundaries", DataType::Int32),
        list("rows", DataType::Utf8),
        Field::new("learning_rate", DataType::Float64, false),
        Field::new("step_targets", DataType::Int64, false),
    ]))
}

/// Writes the rows of all steps to `path`, one line for each pass; what each step is.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(path: &Path, data: &Dataset, config: &TrainConfig) -> Result<Vec<Step>, StageError> {
    let mut order = Order::new(data, config.batch_shape(), config.seed);
    let per_epoch = order.steps_per_epoch();
    let total = config.total_steps(per_epoch);
    let mut out = Table::new(path)?;
    let mut steps = Vec::new();
    for step in 0..total {
        let passes = order.window(step);
        let packed: Vec<MicroBatch> = passes.iter().map(|rows| MicroBatch::pack(data, rows)).collect();
        let factor = schedule::factor(config.lr_scheduler, config.warmup, step, total);
        let tokens = packed.iter().map(|pass| pass.batch.tokens.len() as u64).sum();
        steps.push(Step {
            epoch: (step + 1) as f64 / per_epoch as f64,
            learning_rate: config.learning_rate * factor,
            // Each row's last token is a target only.
            ids: tokens + passes.iter().map(|rows| rows.len() as u64).sum::<u64>(),
            tokens,
            targets: packed.iter().map(|pass| pass.target_tokens() as u64).sum(),
        });
        for rows in passes {
            let rows = rows.into_iter().map(|row| &data.examples()[row]).collect();
            out.add(Pass { step: step as usize, rows }, &steps)?;
        }
    }
    out.close(&steps)?;
    Ok(steps)
}

/// Writes held-out rows to `path`, in passes of as many rows.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_held_out(path: &Path, data: &Dataset, rows_at_once: usize) -> Result<(), StageError> {
    let mut out = Table::new(path)?;
    let targets = data.report().target_tokens as u64;
    let all = [Step { epoch: 0.0, learning_rate: 0.0, ids: 0, tokens: 0, targets }];
    let examples: Vec<&Example> = data.examples().iter().collect();
    for rows in examples.chunks(rows_at_once.max(1)) {
        out.add(Pass { step: 0, rows: rows.to_vec() }, &all)?;
    }
    out.close(&all)
}

/// A file that is being written.
struct Table<'a> {
    path: &'a Path,
    writer: ArrowWriter<File>,
    waiting: Vec<Pass<'a>>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path) -> Result<Self, StageError> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| failed(path, e);
        let file = File::create(path).map_err(|e| failed(e.into()))?;
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let writer = ArrowWriter::try_new(file, schema(), Some(properties)).map_err(|e| failed(e.into()))?;
        Ok(Self { path, writer, waiting: Vec::new() })
    }

    fn add(&mut self, pass: Pass<'a>, steps: &[Step]) -> Result<(), StageError> {
        self.waiting.push(pass);
        if self.waiting.len() < AT_ONCE { Ok(()) } else { self.flush(steps) }
    }

    fn flush(&mut self, steps: &[Step]) -> Result<(), StageError> {
        let batch = batch(&std::mem::take(&mut self.waiting), steps);
        let batch = batch.map_err(|e| failed(self.path, e.into()))?;
        self.writer.write(&batch).map_err(|e| failed(self.path, e.into()))
    }

    fn close(mut self, steps: &[Step]) -> Result<(), StageError> {
        self.flush(steps)?;
        self.writer.close().map(drop).map_err(|e| failed(self.path, e.into()))
    }
}

fn failed(path: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> StageError {
    StageError::other(format!("write {}", path.display()), std::io::Error::other(error))
}

fn batch(passes: &[Pass<'_>], steps: &[Step]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let numbers = || ListBuilder::new(Int32Builder::new());
    let (mut ids, mut labels, mut boundaries) = (numbers(), numbers(), numbers());
    let mut rows = ListBuilder::new(StringBuilder::new());
    for pass in passes {
        let mut end = 0;
        boundaries.values().append_value(end);
        for row in &pass.rows {
            // What stands behind the last target is learned by nothing.
            let last = row.weights.iter().rposition(|weight| *weight != 0.0).unwrap_or(0);
            for (i, (token, weight)) in row.tokens.iter().zip(&row.weights).take(last + 1).enumerate() {
                let token = token.cast_signed();
                ids.values().append_value(token);
                // The first token is never predicted.
                labels.values().append_value(if i == 0 || *weight == 0.0 { MASKED } else { token });
                end += 1;
            }
            boundaries.values().append_value(end);
            rows.values().append_value(&row.id);
        }
        ids.append(true);
        labels.append(true);
        boundaries.append(true);
        rows.append(true);
    }
    let of = |value: fn(&Step) -> f64| passes.iter().map(|pass| value(&steps[pass.step])).collect::<Vec<f64>>();
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(passes.iter().map(|pass| pass.step as i64 + 1))),
            Arc::new(ids.finish()),
            Arc::new(labels.finish()),
            Arc::new(boundaries.finish()),
            Arc::new(rows.finish()),
            Arc::new(Float64Array::from(of(|step| step.learning_rate))),
            Arc::new(Int64Array::from_iter_values(passes.iter().map(|pass| steps[pass.step].targets as i64))),
        ],
    )
}

#[cfg(test)]
mod tests {
    use arrow::{array::AsArray, datatypes::Int32Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use pipe_lm::train::{Budget, Scheduler, Segment, TooLong};

    use super::*;

    #[test]
    fn rows_come_as_the_built_in_trainer_takes_them() {
        let row = |i: u32| {
            let segments = [
                Segment { tokens: vec![1, 2 + i], weight: 0.0 },
                Segment { tokens: vec![5; 1 + i as usize % 3], weight: 1.0 },
                Segment { tokens: vec![9], weight: 0.0 },
            ];
            Example::from_segments(format!("r{i}"), &segments)
        };
        let data = Dataset::new((0..7).map(row).collect(), 64, TooLong::Drop, 16).unwrap();
        let config = TrainConfig {
            budget: Budget::Epochs(1.5),
            micro_batch_size: 2,
            gradient_accumulation_steps: 2,
            learning_rate: 0.1,
            lr_scheduler: Scheduler::Linear,
            ..TrainConfig::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.parquet");
        let steps = write(&path, &data, &config).unwrap();
        assert_eq!(steps.len(), 3, "two steps an epoch");
        let read = |path: &Path| {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
            let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
            arrow::compute::concat_batches(&schema(), &batches).unwrap()
        };
        let table = read(&path);
        let lists = |name: &str, i: usize| -> Vec<i32> {
            let list = table.column_by_name(name).unwrap().as_list::<i32>().value(i);
            list.as_primitive::<Int32Type>().values().to_vec()
        };
        let mut order = Order::new(&data, config.batch_shape(), config.seed);
        let mut line = 0;
        for (i, step) in steps.iter().enumerate() {
            let (mut ids, mut targets, mut tokens) = (0, 0, 0);
            for rows in order.window(i as u64) {
                let packed = MicroBatch::pack(&data, &rows);
                let (all, labels, bounds) = (lists("ids", line), lists("labels", line), lists("boundaries", line));
                assert_eq!(bounds.len(), rows.len() + 1);
                // Shifted within each row, they are what the built-in trainer predicts.
                let mut shifted = Vec::new();
                for (row, ends) in rows.iter().zip(bounds.windows(2)) {
                    let (from, to) = (ends[0] as usize, ends[1] as usize);
                    assert_eq!(labels[from], MASKED);
                    let own: Vec<i32> = data.examples()[*row].tokens.iter().map(|t| t.cast_signed()).collect();
                    assert_eq!(all[from..to], own[..to - from]);
                    shifted.extend_from_slice(&labels[from + 1..to]);
                }
                let expect = packed.targets.iter().zip(&packed.weights);
                let expect = expect.map(|(t, w)| if *w == 0.0 { MASKED } else { t.cast_signed() });
                assert_eq!(shifted, expect.collect::<Vec<_>>());
                let named = table.column_by_name("rows").unwrap().as_list::<i32>().value(line);
                assert_eq!(named.as_string::<i32>().value(0), data.examples()[rows[0]].id);
                ids += all.len() as u64;
                tokens += packed.batch.tokens.len() as u64;
                targets += packed.target_tokens() as u64;
                line += 1;
            }
            assert_eq!((step.ids, step.tokens, step.targets), (ids, tokens, targets));
            assert!((step.learning_rate - 0.1 * (3 - i) as f64 / 3.0).abs() < 1e-12);
        }
        assert_eq!(table.num_rows(), line);

        write_held_out(&path, &data, 3).unwrap();
        let held_out = read(&path);
        assert_eq!(held_out.num_rows(), 3);
        let targets = held_out.column_by_name("step_targets").unwrap();
        let targets = targets.as_primitive::<arrow::datatypes::Int64Type>().value(2);
        assert_eq!(targets, data.report().target_tokens as i64);
    }
}
