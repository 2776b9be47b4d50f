//! The identity of a model: a digest over the contents of its files.

use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::SourceError;

/// What a model is, independent of its name and place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The 40 hexadecimal digits of a commit of the hub, which names contents already.
    Commit(String),
    /// The digest of one's own files.
    Files(blake3::Hash),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) => write!(f, "commit:{commit}"),
            Self::Files(hash) => write!(f, "blake3:{hash}"),
        }
    }
}

/// A file of a model and the digest of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// Its path in the model's directory.
    pub name: String,
    /// blake3 of its content.
    pub digest: blake3::Hash,
}

/// Files besides the weights that decide what a model computes. Readmes, licences and pictures do not.
const MATTERS: &[&str] = &[
    "adapter_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
];
/// The one file that matters in a directory of its own: how an embedding model of sentence-transformers pools.
pub(super) const POOLING: &str = "1_Pooling/config.json";

impl Identity {
    /// The identity of a directory: of the names and contents of its configuration, tokenizer and `*.safetensors` files, sorted by name.
    ///
    /// # Errors
    /// The directory or a file in it cannot be read.
    pub fn of_dir(dir: &Path) -> Result<Self, SourceError> {
        let files = Self::files_of(dir)?;
        let digests: Result<Vec<_>, _> = files.iter().map(|path| digest(path, Self::name_in(dir, path))).collect();
        Ok(Self::of_digests(&digests?))
    }

    /// The identity of a single file, such as a GGUF model: its content alone, not its name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, SourceError> {
        Ok(Self::Files(digest(path, String::new())?.digest))
    }

    /// The files that [`Identity::of_dir`] looks at, sorted by name, for callers that remember digests by modification time.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files_of(dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
        let read = |source| SourceError::Read { path: dir.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let matters =
                MATTERS.contains(&name) || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
            if matters && path.is_file() {
                files.push(path);
            }
        }
        files.extend(Some(dir.join(POOLING)).filter(|path| path.is_file()));
        files.sort();
        Ok(files)
    }

    /// The name of one of these files: its path in the directory, with `/`.
    pub fn name_in(dir: &Path, file: &Path) -> String {
        let inside = file.strip_prefix(dir).unwrap_or(file);
        inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Combines digests of single files, sorted by name.
    pub fn of_digests(files: &[FileDigest]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"model files 1\0");
        for file in files {
            // The length in front keeps apart what would run together.
            hasher.update(&(file.name.len() as u64).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(file.digest.as_bytes());
        }
        Self::Files(hasher.finalize())
    }
}

fn digest(path: &Path, name: String) -> Result<FileDigest, SourceError> {
    let read = |source| SourceError::Read { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(read)?;
    let mut hasher = blake3::Hasher::new();
    // Large enough that all cores have something to hash.
    let mut block = vec![0; 1 << 22];
    loop {
        let n = file.read(&mut block).map_err(read)?;
        if n == 0 {
            break;
        }
        hasher.update_rayon(&block[..n]);
    }
    Ok(FileDigest { name, digest: hasher.finalize() })
}
