//! Where a model comes from, and what it is called for good.
//!
//! A source is written as one text: a directory, a `.gguf` file, `hf:org/name@revision`, or the address of an inference server. Its identity is
//! the content of its files, so a copied or renamed directory is the same model, and a file changed in place is another.

mod hub;
mod identity;

use std::path::{Path, PathBuf};

pub use hub::{HubError, HubModel, HubSettings};
pub use identity::{FileDigest, Identity};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A Hugging Face directory.
    Directory(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A repository of the Hugging Face hub.
    Hub {
        /// `org/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// An OpenAI-compatible server, by the URL in front of `/completions`.
    Endpoint {
        /// Such as `http://localhost:8000/v1`.
        url: String,
    },
}

impl ModelSource {
    /// Reads the text of a `model:` entry. Relative paths are left as they are; `models/nano` is a directory, never a repository.
    ///
    /// # Errors
    /// `hf:` without an organisation and a name, or nothing at all.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Endpoint { url: text.trim_end_matches('/').to_owned() });
        }
        if let Some(id) = text.strip_prefix("hf:") {
            let (repo, revision) = id.split_once('@').unwrap_or((id, "main"));
            let part = |s: &str| {
                !s.is_empty()
                    && !s.starts_with('.')
                    && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            };
            let named = repo.split_once('/').is_some_and(|(org, name)| part(org) && part(name));
            if !named || revision.is_empty() || revision.split('/').any(|s| !part(s)) {
                return Err(SourceError::HubId { text: text.to_owned() });
            }
            return Ok(Self::Hub { repo: repo.to_owned(), revision: revision.to_owned() });
        }
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        let path = PathBuf::from(text);
        let is_gguf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        Ok(if is_gguf { Self::Gguf(path) } else { Self::Directory(path) })
    }

    /// The same source with a relative path taken from `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(base.join(path)),
            Self::Gguf(path) => Self::Gguf(base.join(path)),
            other => other,
        }
    }

    /// Brings the files onto this machine, if they are not, and says where they are.
    ///
    /// # Errors
    /// There is no such file, or the hub refuses or cannot be reached. An endpoint has no files.
    pub fn fetch(&self, hub: &HubSettings) -> Result<LocalModel, SourceError> {
        match self {
            Self::Directory(path) if path.is_dir() => Ok(LocalModel::Directory { path: path.clone(), commit: None }),
            Self::Gguf(path) if path.is_file() => Ok(LocalModel::Gguf(path.clone())),
            Self::Directory(path) | Self::Gguf(path) => Err(SourceError::NotThere { path: path.clone() }),
            Self::Hub { repo, revision } => {
                let HubModel { path, commit } = hub.fetch(repo, revision)?;
                Ok(LocalModel::Directory { path, commit: Some(commit) })
            }
            Self::Endpoint { url } => Err(SourceError::NoFiles { url: url.clone() }),
        }
    }
}

/// A model's files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalModel {
    /// A Hugging Face directory.
    Directory {
        /// Where.
        path: PathBuf,
        /// The commit of the hub that it is a snapshot of.
        commit: Option<String>,
    },
    /// A GGUF file.
    Gguf(PathBuf),
}

impl LocalModel {
    /// What the model is, whatever it is called: the commit of a hub snapshot, else the digest of the files' contents.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn identity(&self) -> Result<Identity, SourceError> {
        match self {
            Self::Directory { commit: Some(commit), .. } => Ok(Identity::Commit(commit.clone())),
            Self::Directory { path, commit: None } => Identity::of_dir(path),
            Self::Gguf(path) => Identity::of_file(path),
        }
    }
}

/// Why a model could not be found.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An empty text.
    #[error(
        "find a model: `model` is empty; give a directory, a .gguf file, hf:org/name@revision, or the URL of a server"
    )]
    Empty,
    /// `hf:` with something else than a repository behind it.
    #[error("read the model `{text}`: it is not of the form hf:org/name or hf:org/name@revision")]
    HubId {
        /// The text.
        text: String,
    },
    /// A path where nothing is.
    #[error("find the model {}: there is no such file or directory; a model of the hub is written hf:org/name", path.display())]
    NotThere {
        /// The path.
        path: PathBuf,
    },
    /// An endpoint where files are needed.
    #[error("use {url} here: it is a server, and this needs the model's files")]
    NoFiles {
        /// The endpoint.
        url: String,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The hub.
    #[error(transparent)]
    Hub(#[from] HubError),
}
