//! Which rows make up which step, and how they are packed: without padding, each row attending to itself alone.

use pipe_random::Random;

use super::{Dataset, rng::Stream};
use crate::model::PackedBatch;

/// Rows laid end to end with what each position is to predict.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Indices of the rows in the dataset.
    pub rows: Vec<usize>,
    /// Input tokens `[T]` with the boundaries of the rows.
    pub batch: PackedBatch,
    /// The token that follows each position, `[T]`.
    pub targets: Vec<u32>,
    /// The loss weight of each target, `[T]`; 0 is masked.
    pub weights: Vec<f32>,
}

impl MicroBatch {
    /// Packs `rows` of `data`. Position `i` of a row predicts token `i + 1`; positions after a row's last unmasked
    /// target influence nothing and are left out.
    pub fn pack(data: &Dataset, rows: &[usize]) -> Self {
        let (mut tokens, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut cu_seqlens = vec![0];
        for &row in rows {
            let example = &data.examples()[row];
            let last = example.weights.iter().rposition(|&w| w != 0.0).unwrap_or(0);
            tokens.extend_from_slice(&example.tokens[..last]);
            targets.extend_from_slice(&example.tokens[1..=last]);
            weights.extend_from_slice(&example.weights[1..=last]);
            cu_seqlens.push(tokens.len() as u32);
        }
        Self { rows: rows.to_vec(), batch: PackedBatch { tokens, cu_seqlens }, targets, weights }
    }

    /// Sum of the loss weights.
    pub fn target_weight(&self) -> f64 {
        self.weights.iter().map(|&w| f64::from(w)).sum()
    }

    /// Number of positions that enter the loss.
    pub fn target_tokens(&self) -> usize {
        self.weights.iter().filter(|&&w| w != 0.0).count()
    }
}

/// How rows are grouped into optimizer steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchShape {
    /// Rows per forward and backward pass.
    pub micro_batch_size: usize,
    /// Passes per optimizer step.
    pub gradient_accumulation_steps: usize,
    /// Whether rows of similar length go together.
    pub group_by_length: bool,
}

/// The order of the data: a pure function of the seed and the step, so that a resumed training needs no more than its
/// step number to go on where it was.
#[derive(Debug)]
pub struct Order {
    lengths: Vec<usize>,
    shape: BatchShape,
    seed: u64,
    /// The permutation in use, with its epoch.
    epoch: Option<(u64, Vec<usize>)>,
}

/// Length grouping sorts within this many steps' worth of rows, as `transformers` does.
const MEGABATCH_STEPS: usize = 50;

impl Order {
    /// The order of `data` under `seed`.
    pub fn new(data: &Dataset, shape: BatchShape, seed: u64) -> Self {
        let lengths = data.examples().iter().map(|e| e.tokens.len()).collect();
        Self { lengths, shape, seed, epoch: None }
    }

    /// Optimizer steps in one pass over the data; the last may be smaller.
    pub fn steps_per_epoch(&self) -> u64 {
        self.lengths.len().div_ceil(self.step_rows()) as u64
    }

    fn step_rows(&self) -> usize {
        self.shape.micro_batch_size.saturating_mul(self.shape.gradient_accumulation_steps)
    }

    /// The micro-batches of `step` (0-based), as row indices.
    pub fn window(&mut self, step: u64) -> Vec<Vec<usize>> {
        let epoch = step / self.steps_per_epoch();
        if self.epoch.as_ref().is_none_or(|(current, _)| *current != epoch) {
            self.epoch = Some((epoch, self.permutation(epoch)));
        }
        let permutation = &self.epoch.as_ref().expect("set above").1;
        // One step at least has no rows in front of it, so neither product nor sum overflows where a step is longer
        // than the data.
        let start = ((step % self.steps_per_epoch()) as usize).saturating_mul(self.step_rows());
        let end = start.saturating_add(self.step_rows()).min(permutation.len());
        permutation[start..end].chunks(self.shape.micro_batch_size).map(<[usize]>::to_vec).collect()
    }

    fn permutation(&self, epoch: u64) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.lengths.len()).collect();
        let mut stream = Stream::new(self.seed, "shuffle", &[epoch]);
        stream.shuffle(&mut rows);
        if self.shape.group_by_length {
            for megabatch in rows.chunks_mut(self.step_rows().saturating_mul(MEGABATCH_STEPS)) {
                megabatch.sort_by_key(|&row| std::cmp::Reverse(self.lengths[row]));
            }
            // Steps in falling order of length would tie length to the learning rate: shuffle whole steps.
            let whole = rows.len() - rows.len() % self.step_rows();
            let (steps, rest) = rows.split_at(whole);
            let mut steps: Vec<&[usize]> = steps.chunks(self.step_rows()).collect();
            stream.shuffle(&mut steps);
            rows = [steps.concat(), rest.to_vec()].concat();
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Example, Segment, TooLong};
    use super::*;

    fn data(lengths: &[usize]) -> Dataset {
        let examples = lengths.iter().enumerate().map(|(i, &n)| {
            Example::completion(format!("row-{i}"), vec![1], (0..n as u32 - 1).map(|t| t % 7).collect(), None)
        });
        Dataset::new(examples.collect(), 512, TooLong::Truncate, 10).unwrap()
    }

    const SHAPE: BatchShape =
        BatchShape { micro_batch_size: 2, gradient_accumulation_steps: 2, group_by_length: false };

    #[test]
    fn packs_rows_without_padding_and_shifts_targets() {
        let rows = vec![
            Example::from_segments(
                "a",
                &[Segment { tokens: vec![1, 2], weight: 0.0 }, Segment { tokens: vec![3, 9], weight: 1.0 }],
            ),
            Example::from_segments(
                "b",
                &[Segment { tokens: vec![4, 5], weight: 0.5 }, Segment { tokens: vec![6, 7], weight: 0.0 }],
            ),
        ];
        let data = Dataset::new(rows, 16, TooLong::Truncate, 10).unwrap();
        let packed = MicroBatch::pack(&data, &[0, 1]);
        assert_eq!(packed.batch.tokens, [1, 2, 3, 4]);
        assert_eq!(packed.targets, [2, 3, 9, 5]);
        assert_eq!(packed.weights, [0.0, 1.0, 1.0, 0.5]);
        assert_eq!(packed.batch.cu_seqlens, [0, 3, 4]);
        assert_eq!(packed.target_tokens(), 3);
    }

    #[test]
    fn an_epoch_visits_every_row_once_in_a_new_order() {
        for group_by_length in [false, true] {
            let data = data(&(0..23).map(|i| 2 + i % 9).collect::<Vec<_>>());
            let mut order = Order::new(&data, BatchShape { group_by_length, ..SHAPE }, 7);
            assert_eq!(order.steps_per_epoch(), 6);
            let mut epoch = |e: u64| (e * 6..e * 6 + 6).flat_map(|s| order.window(s).concat()).collect::<Vec<_>>();
            let (first, second) = (epoch(0), epoch(1));
            assert_ne!(first, second);
            for mut rows in [first, second] {
                rows.sort_unstable();
                assert_eq!(rows, (0..23).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_window_depends_on_its_step_alone() {
        let data = data(&[5; 23]);
        let (mut forward, mut jump) = (Order::new(&data, SHAPE, 7), Order::new(&data, SHAPE, 7));
        let all: Vec<_> = (0..14).map(|s| forward.window(s)).collect();
        assert_eq!(jump.window(13), all[13]);
        assert_eq!(jump.window(2), all[2]);
        assert_ne!(Order::new(&data, SHAPE, 8).window(0), all[0]);
    }

    #[test]
    fn grouped_steps_hold_similar_lengths() {
        let data = data(&(0..200).map(|i| 2 + (i * 37) % 100).collect::<Vec<_>>());
        let mut order = Order::new(&data, BatchShape { group_by_length: true, ..SHAPE }, 7);
        for step in 0..order.steps_per_epoch() {
            let lengths: Vec<_> =
                order.window(step).concat().iter().map(|&r| data.examples()[r].tokens.len()).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 3, "{lengths:?}");
        }
    }
}
