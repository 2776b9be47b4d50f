//! The crate's errors.
//!
//! Each module has an enum of its own with fields for the path, tensor or row concerned. Messages complete the phrase
//! "failed to ..."; causes stay reachable through `source`. [`Error`] gathers them for callers that do not tell them
//! apart.

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
    /// A chat template.
    #[error(transparent)]
    Chat(#[from] crate::chat::ChatError),
    /// An adapter.
    #[error(transparent)]
    Adapter(#[from] crate::adapter::AdapterError),
    /// An embedding model.
    #[error(transparent)]
    Embed(#[from] crate::embed::EmbedError),
    /// An export.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// A GGUF file.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// Where a model comes from.
    #[error(transparent)]
    Origin(#[from] crate::origin::OriginError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// Building or running a model.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Generation, here or on a server.
    #[error(transparent)]
    Generate(#[from] crate::generate::GenerateError),
}
