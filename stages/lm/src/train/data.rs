//! Training examples: token ids with a loss weight for each.

use super::TrainError;

/// A stretch of tokens that shares one loss weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Weight of each token's loss when it is to be predicted; 0 masks it.
    pub weight: f32,
}

/// One row: tokens, and the weight of predicting each.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The row's stable id, for messages.
    pub id: String,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// `weights[i]` scales the loss of predicting `tokens[i]` from those before it. The first token is never predicted.
    pub weights: Vec<f32>,
}

impl Example {
    /// Joins segments, in order.
    pub fn from_segments(id: impl Into<String>, segments: &[Segment]) -> Self {
        let weights = segments.iter().flat_map(|s| std::iter::repeat_n(s.weight, s.tokens.len()));
        Self {
            id: id.into(),
            tokens: segments.iter().flat_map(|s| s.tokens.iter().copied()).collect(),
            weights: weights.collect(),
        }
    }

    /// Completion-only loss: the prompt is masked; the completion and the token that ends it are trained. A model that
    /// never sees a loss on its end token never learns to stop.
    pub fn completion(id: impl Into<String>, prompt: Vec<u32>, mut completion: Vec<u32>, end: Option<u32>) -> Self {
        completion.extend(end);
        Self::from_segments(id, &[Segment { tokens: prompt, weight: 0.0 }, Segment { tokens: completion, weight: 1.0 }])
    }

    /// Sum of the weights that enter the loss.
    pub fn target_weight(&self) -> f64 {
        self.weights.iter().skip(1).map(|&w| f64::from(w)).sum()
    }

    /// Tokens that enter the loss.
    pub fn target_tokens(&self) -> usize {
        self.weights.iter().skip(1).filter(|&&w| w != 0.0).count()
    }

    /// Whether it can be trained on.
    ///
    /// # Errors
    /// Weights that do not match its tokens, or are negative or not finite; a token id outside the vocabulary; nothing
    /// to learn. Each names the row.
    pub fn check(&self, row: usize, vocab_size: usize) -> Result<(), TrainError> {
        let fail = |reason: String| Err(TrainError::BadExample { row, id: self.id.clone(), reason });
        if self.tokens.len() != self.weights.len() {
            return fail(format!("{} tokens but {} loss weights", self.tokens.len(), self.weights.len()));
        }
        if let Some(weight) = self.weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return fail(format!("the loss weight {weight} is not a finite number of at least 0"));
        }
        if let Some(token) = self.tokens.iter().find(|&&t| t as usize >= vocab_size) {
            return fail(format!("token id {token} is outside the vocabulary of {vocab_size}"));
        }
        if self.target_tokens() == 0 {
            return Err(TrainError::NoTarget { row, id: self.id.clone(), tokens: self.tokens.len() });
        }
        Ok(())
    }
}

/// What becomes of rows longer than `max_seq_len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// They are left out, and counted.
    #[default]
    Drop,
    /// Their end is cut off.
    Truncate,
}

/// Rows that did not enter training as they were, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct DataReport {
    /// Rows trained on.
    pub rows: usize,
    /// Of these, rows whose end was cut off.
    pub truncated: usize,
    /// Rows left out because they were too long, or because nothing to learn was left after truncation.
    pub dropped: usize,
    /// Tokens in the rows trained on.
    pub tokens: usize,
    /// Tokens of these that enter the loss.
    pub target_tokens: usize,
}

/// Checked rows, none longer than the limit and each with something to learn.
#[derive(Debug, Clone)]
pub struct Dataset {
    examples: Vec<Example>,
    report: DataReport,
}

impl Dataset {
    /// Checks and trims `examples`.
    ///
    /// # Errors
    /// A row with no unmasked token, with weights that do not match its tokens, with a weight that is negative or not
    /// finite, or with a token id outside the vocabulary; no row at all. Each names the row.
    pub fn new(
        examples: Vec<Example>,
        max_seq_len: usize,
        too_long: TooLong,
        vocab_size: usize,
    ) -> Result<Self, TrainError> {
        let mut report = DataReport::default();
        let mut kept = Vec::with_capacity(examples.len());
        for (row, mut example) in examples.into_iter().enumerate() {
            example.check(row, vocab_size)?;
            if example.tokens.len() > max_seq_len {
                if too_long == TooLong::Drop {
                    report.dropped += 1;
                    continue;
                }
                example.tokens.truncate(max_seq_len);
                example.weights.truncate(max_seq_len);
                if example.target_tokens() == 0 {
                    report.dropped += 1;
                    continue;
                }
                report.truncated += 1;
            }
            report.rows += 1;
            report.tokens += example.tokens.len();
            report.target_tokens += example.target_tokens();
            kept.push(example);
        }
        if kept.is_empty() {
            return Err(TrainError::NoExamples { dropped: report.dropped, max_seq_len });
        }
        Ok(Self { examples: kept, report })
    }

    /// The rows, in the order given.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// What was trimmed and left out.
    pub fn report(&self) -> DataReport {
        self.report
    }

    /// Digest of everything that training reads from the rows; a checkpoint belongs to one dataset.
    pub fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for example in &self.examples {
            hasher.update(&(example.tokens.len() as u64).to_le_bytes());
            for (token, weight) in example.tokens.iter().zip(&example.weights) {
                hasher.update(&token.to_le_bytes());
                hasher.update(&weight.to_bits().to_le_bytes());
            }
        }
        hasher.finalize()
    }
}
