//! Where a model comes from, and which of its files decide what it computes.
//!
//! An origin is written as one text: a directory, a `.gguf` file, `hf:org/name@revision`, `hf:org/name-GGUF:Q4_K_M`
//! for one GGUF file of a repository, or the address of an inference server. What the model is, is the content of its
//! files: a copied or renamed directory is the same model, and a file changed in place is another.

mod check;
pub(crate) mod files;
mod hub;
mod reading;
mod variables;
mod web;

use std::path::{Path, PathBuf};

pub use crate::folder::{Carried, Folder};
pub use check::{check_decoder, check_embedder, check_ranker};
pub use files::{files_of, name_in};
pub use hub::{Fault, HubDataset, HubError, HubModel, HubSettings, Wanted};
pub use reading::{READING, embedder_reading, reading};
pub use web::{WebCache, WebError};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelOrigin {
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
        /// Which of its GGUF files, by the form that its name ends on; without, its safetensors.
        gguf: Option<String>,
    },
    /// An OpenAI-compatible server, by the URL in front of `/completions`.
    Endpoint {
        /// Such as `http://localhost:8000/v1`.
        url: String,
    },
}

impl ModelOrigin {
    /// Reads the text of a `model:` entry. Relative paths are left as they are; `models/nano` is a directory, never a
    /// repository.
    ///
    /// # Errors
    /// `hf:` without an organisation and a name, an address with a password, or nothing at all.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        if has_password(text) {
            return Err(OriginError::Password { url: without_password(text) });
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Endpoint { url: text.trim_end_matches('/').to_owned() });
        }
        if let Some(id) = text.strip_prefix("hf:") {
            // `name@revision:FORM`, and `name:FORM@revision`.
            let (id, gguf) = match id.split_once(':') {
                Some((id, rest)) => match rest.split_once('@') {
                    Some((form, revision)) if !id.contains('@') => (format!("{id}@{revision}"), Some(form)),
                    _ => (id.to_owned(), Some(rest)),
                },
                None => (id.to_owned(), None),
            };
            let (repo, revision) = id.split_once('@').unwrap_or((&id, "main"));
            let part = |s: &str| {
                !s.is_empty()
                    && !s.starts_with('.')
                    && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            };
            let named = repo.split_once('/').is_some_and(|(org, name)| part(org) && part(name));
            if !named || revision.split('/').any(|s| !part(s)) || gguf.is_some_and(|form| !part(form)) {
                return Err(OriginError::HubId { text: text.to_owned() });
            }
            return Ok(Self::Hub {
                repo: repo.to_owned(),
                revision: revision.to_owned(),
                gguf: gguf.map(str::to_owned),
            });
        }
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        let path = PathBuf::from(text);
        let is_gguf = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        Ok(if is_gguf { Self::Gguf(path) } else { Self::Directory(path) })
    }

    /// The same origin with a relative path taken from `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(base.join(path)),
            Self::Gguf(path) => Self::Gguf(base.join(path)),
            other => other,
        }
    }

    /// Brings the files onto this machine, if they are not, and says where they are. `stop` is asked many times a
    /// second whether to give up.
    ///
    /// # Errors
    /// There is no such file, or the hub refuses or cannot be reached. An endpoint has no files.
    pub fn fetch(&self, hub: &HubSettings, stop: &dyn Fn() -> bool) -> Result<LocalModel, OriginError> {
        match self {
            Self::Directory(path) if path.is_dir() => Ok(LocalModel::Directory { path: path.clone(), commit: None }),
            Self::Gguf(path) if path.is_file() => Ok(LocalModel::Gguf(path.clone())),
            Self::Directory(path) | Self::Gguf(path) => Err(OriginError::NotThere { path: path.clone() }),
            Self::Hub { repo, revision, gguf: Some(form) } => {
                Ok(LocalModel::Gguf(hub.fetch_gguf(repo, revision, form, stop)?))
            }
            Self::Hub { repo, revision, gguf: None } => {
                let HubModel { path, commit } = hub.fetch(repo, revision, stop)?;
                Ok(LocalModel::Directory { path, commit: Some(commit) })
            }
            Self::Endpoint { url } => Err(OriginError::NoFiles { url: url.clone() }),
        }
    }
}

/// Where in a text the user and password of an address stand: between `://` and the last `@` in front of path, query
/// and fragment.
fn password(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("://")? + 3;
    let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |length| start + length);
    let at = text[start..end].rfind('@')?;
    Some(start..start + at + 1)
}

/// Whether an address carries a user or a password, as in `https://user:password@host`. What is written in a pipeline
/// file is stored, logged and shown, so credentials must not stand there.
pub fn has_password(url: &str) -> bool {
    password(url).is_some()
}

/// An address as it may be shown: without user and password.
pub fn without_password(url: &str) -> String {
    match password(url) {
        Some(range) => format!("{}***@{}", &url[..range.start], &url[range.end..]),
        None => url.to_owned(),
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
    /// The program's own.
    Carried(Carried),
}

impl LocalModel {
    /// The folder of its files; a GGUF file is none.
    pub fn folder(&self) -> Option<Folder<'_>> {
        match self {
            Self::Directory { path, .. } => Some(path.into()),
            Self::Carried(carried) => Some((*carried).into()),
            Self::Gguf(_) => None,
        }
    }
}

/// Why a model could not be found.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// An empty text.
    #[error(
        "find a model: `model` is empty; give a directory, a .gguf file, hf:org/name@revision, or the URL of a server"
    )]
    Empty,
    /// An address with a user or a password.
    #[error(
        "use {url}: an address must not carry a user or a password, because it is stored and shown; name the \
         environment variable that \
         holds a server's key with `api_key_env`"
    )]
    Password {
        /// The address without them.
        url: String,
    },
    /// `hf:` with something else than a repository behind it.
    #[error(
        "read the model `{text}`: it is not of the form hf:org/name, hf:org/name@revision or \
             hf:org/name-GGUF:Q4_K_M"
    )]
    HubId {
        /// The text.
        text: String,
    },
    /// A path where nothing is.
    #[error("find the model {}: there is no such file or directory; a model of the hub is written \
             hf:org/name", path.display())]
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
