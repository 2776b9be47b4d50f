//! What can go wrong in a model, beyond what reading its files can.

/// Errors of building and running a decoder. Messages complete "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor operation failed.
    #[error("run {what}: {source}")]
    Tensor {
        /// The part of the model.
        what: String,
        /// What candle says.
        #[source]
        source: candle_core::Error,
    },
    /// A weight of the checkpoint has another shape than the configuration asks for.
    #[error("load {name}: its shape is {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// Name in the checkpoint.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by config.json.
        expected: Vec<usize>,
    },
    /// Reading a weight failed.
    #[error(transparent)]
    Weights(Box<crate::weights::WeightsError>),
    /// The configuration asks for something this decoder does not do.
    #[error("build the model: {0}")]
    Unsupported(String),
    /// The keys and values of so many tokens do not fit into memory.
    #[error(
        "keep the keys and values of {slots} x {capacity} tokens: there is not so much memory; lower `max_new_tokens`"
    )]
    Memory {
        /// Sequences at once.
        slots: usize,
        /// Tokens of each.
        capacity: usize,
    },
    /// No adapter of that name is loaded.
    #[error("select adapter `{name}`: loaded are [{}]", known.join(", "))]
    UnknownAdapter {
        /// The name asked for.
        name: String,
        /// What is loaded.
        known: Vec<String>,
    },
    /// An adapter names a module that the model lacks, or its shapes do not fit.
    #[error("load adapter `{adapter}`: module {module}: {problem}")]
    Adapter {
        /// Adapter name.
        adapter: String,
        /// Module path as in the checkpoint, without `.weight`.
        module: String,
        /// What is wrong.
        problem: String,
    },
    /// A token id outside the vocabulary.
    #[error("run the model: token id {id} is outside the vocabulary of {vocab} (is the tokenizer another model's?)")]
    TokenId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
}

impl From<crate::weights::WeightsError> for ModelError {
    fn from(error: crate::weights::WeightsError) -> Self {
        Self::Weights(Box::new(error))
    }
}

/// Adds the part of the model to a candle error.
pub(crate) trait Context<T> {
    /// Names the part of the model that failed.
    fn what(self, what: impl FnOnce() -> String) -> Result<T, ModelError>;
}

impl<T> Context<T> for candle_core::Result<T> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T, ModelError> {
        self.map_err(|source| ModelError::Tensor { what: what(), source })
    }
}
