//! What may be wrong with what the hub has, and what to do about it.

use std::path::PathBuf;

use super::Fault;

/// Why something of the hub could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not in the cache, and the network is not to be used.
    #[error("find hf:{id} in {}: the cache does not hold all of it, and offline mode forbids to download \
             it", cache.display())]
    Offline {
        /// Repository and revision.
        id: String,
        /// The cache directory.
        cache: PathBuf,
    },
    /// Nobody may see it without a token, or it does not exist (the hub does not tell these apart).
    #[error("download hf:{id}: the hub asks for a token (or there is nothing of that name); set HF_TOKEN")]
    TokenNeeded {
        /// Repository and revision.
        id: String,
    },
    /// The token is wrong or has expired.
    #[error("download hf:{id}: the hub does not accept the token; check HF_TOKEN")]
    TokenRefused {
        /// Repository and revision.
        id: String,
    },
    /// Its conditions have not been accepted.
    #[error("download hf:{id}: access is restricted; ask for it at {page} with the account of HF_TOKEN")]
    Gated {
        /// Repository and revision.
        id: String,
        /// Its page.
        page: String,
    },
    /// No such repository, revision or file.
    #[error("download hf:{id}: the hub knows no such repository or revision ({file} was not found)")]
    NotFound {
        /// Repository and revision.
        id: String,
        /// What was asked for.
        file: String,
    },
    /// A repository without safetensors.
    #[error("use hf:{id}: it has neither model.safetensors nor model.safetensors.index.json")]
    NoWeights {
        /// Repository and revision.
        id: String,
    },
    /// A repository with GGUF files alone.
    #[error(
        "use hf:{id}: it has no safetensors; name one of its GGUF files by its form, as in hf:{repo}:Q4_K_M ({there})"
    )]
    OnlyGguf {
        /// Repository and revision.
        id: String,
        /// The repository.
        repo: String,
        /// The files that it has.
        there: String,
    },
    /// No GGUF file of a form, or several.
    #[error("use hf:{id}:{form}: that does not name one GGUF file; {there}")]
    GgufForm {
        /// Repository and revision.
        id: String,
        /// The form.
        form: String,
        /// The files that it has.
        there: String,
    },
    /// A GGUF file in several parts.
    #[error(
        "use hf:{id}:{form}: it is cut into parts, which are not read; name another form, or join them with \
             llama-gguf-split --merge and name the file"
    )]
    GgufParts {
        /// Repository and revision.
        id: String,
        /// The form.
        form: String,
    },
    /// An index that cannot be read or lists files that the repository lacks.
    #[error("use hf:{id}: its model.safetensors.index.json does not fit its files")]
    Index {
        /// Repository and revision.
        id: String,
    },
    /// A name by which files outside of the cache would be written.
    #[error("download hf:{id}: the hub gives the {what} {value:?}, which leads out of the cache; do not use this hub")]
    Hostile {
        /// Repository and revision.
        id: String,
        /// `commit`, `etag` or `file name`.
        what: &'static str,
        /// What the hub said, or the beginning of it.
        value: String,
    },
    /// The caller said to stop. What has arrived is kept.
    #[error("download hf:{id}: it was cancelled")]
    Cancelled {
        /// Repository and revision.
        id: String,
    },
    /// The cache cannot be written or read.
    #[error("use the cache {}", path.display())]
    Cache {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The transfer failed, more than once where that may help.
    #[error("download {file} of hf:{id}")]
    Transfer {
        /// Repository and revision.
        id: String,
        /// What was asked for.
        file: String,
        /// What went wrong.
        source: Box<Fault>,
    },
}
