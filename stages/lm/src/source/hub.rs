//! Models of the Hugging Face hub, in the cache that Python's `huggingface_hub` uses too.
//!
//! A revision is resolved to a commit once, and all files are taken from that commit. A download that was interrupted goes on where it stopped; files that are
//! complete are not asked for again; a commit that is complete in the cache needs no network at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};
use serde::Deserialize;

/// Where the hub is, and what may be asked of it. Values come from the caller, since this crate reads no environment.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address, without a slash at the end.
    pub endpoint: String,
    /// The cache directory (`HF_HOME/hub`).
    pub cache: PathBuf,
    /// Sent with every request, if given.
    pub token: Option<String>,
    /// Whether to use the cache alone.
    pub offline: bool,
}

impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("offline", &self.offline)
            .finish()
    }
}

/// A snapshot in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// Its directory.
    pub path: PathBuf,
    /// Its commit, 40 hexadecimal digits.
    pub commit: String,
}

/// Files that a model may have besides its weights.
const COMPANIONS: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    super::identity::POOLING,
];
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// How often one file is asked for, and the pause before the second time; each further pause is twice as long.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl HubSettings {
    /// Takes the variables that `huggingface_hub` honours from `variable`: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HOME`,
    /// `HF_TOKEN`, `HF_TOKEN_PATH` (else the file `token` in `HF_HOME`), `HF_HUB_OFFLINE` and `TRANSFORMERS_OFFLINE`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|v| !v.is_empty());
        let home = variable("HF_HOME").map_or_else(
            || {
                let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
                cache
                    .unwrap_or_else(|| PathBuf::from(variable("HOME").unwrap_or_default()).join(".cache"))
                    .join("huggingface")
            },
            PathBuf::from,
        );
        let token_file = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let stored = || fs::read_to_string(token_file).ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let yes =
            |name| variable(name).is_some_and(|v| ["1", "true", "yes", "on"].contains(&v.to_lowercase().as_str()));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: variable("HF_TOKEN").or_else(stored),
            offline: yes("HF_HUB_OFFLINE") || yes("TRANSFORMERS_OFFLINE"),
        }
    }

    /// Brings the files of a model into the cache: configuration, tokenizer and safetensors.
    ///
    /// # Errors
    /// The hub cannot be reached, does not know the repository or revision, or does not let this token in; the repository has no
    /// safetensors; offline, the snapshot is not complete in the cache.
    pub fn fetch(&self, repo: &str, revision: &str) -> Result<HubModel, HubError> {
        let at = |revision: &str| Repo::with_revision(repo.to_owned(), RepoType::Model, revision.to_owned());
        let cached = Cache::new(self.cache.clone()).repo(at(revision));
        let is_commit = is_commit(revision);
        let known = if is_commit { Some(revision.to_owned()) } else { self.remembered(repo, revision) };
        if (is_commit || self.offline)
            && let Some(commit) = &known
            && let path = cached.pointer_path(commit)
            && is_complete(&path)
        {
            return Ok(HubModel { path, commit: commit.clone() });
        }
        if self.offline {
            let id = format!("{repo}@{revision}");
            return Err(HubError::Offline { id, cache: self.cache.clone() });
        }
        let context = Context { settings: self, repo, revision };
        let api = self.api(&context)?;
        let info = context.retry("its description", || api.repo(at(revision)).info())?;
        let commit = info.sha;
        let pinned = api.repo(at(&commit));
        let listed: BTreeSet<String> = info.siblings.into_iter().map(|s| s.rfilename).collect();
        for name in COMPANIONS.iter().filter(|name| listed.contains(**name)) {
            context.download(&api, &pinned, &at(&commit), name)?;
        }
        for name in context.weight_files(&listed, |name| context.download(&api, &pinned, &at(&commit), name))? {
            context.download(&api, &pinned, &at(&commit), &name)?;
        }
        // Remembered last, so that a name never leads to half a snapshot.
        cached.create_ref(&commit).map_err(|source| HubError::Cache { path: self.cache.clone(), source })?;
        Ok(HubModel { path: cached.pointer_path(&commit), commit })
    }

    /// The commit that a revision is now. A commit is itself; offline it is what the cache remembers; else the hub is asked.
    ///
    /// # Errors
    /// The hub cannot be reached or does not know it; offline, the cache does not.
    pub fn resolve(&self, repo: &str, revision: &str) -> Result<String, HubError> {
        if is_commit(revision) {
            return Ok(revision.to_owned());
        }
        if self.offline {
            let id = format!("{repo}@{revision}");
            let unknown = || HubError::Offline { id, cache: self.cache.clone() };
            return self.remembered(repo, revision).ok_or_else(unknown);
        }
        let context = Context { settings: self, repo, revision };
        let at = Repo::with_revision(repo.to_owned(), RepoType::Model, revision.to_owned());
        let api = self.api(&context)?;
        Ok(context.retry("its description", || api.repo(at.clone()).info())?.sha)
    }

    fn api(&self, context: &Context<'_>) -> Result<Api, HubError> {
        ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(false)
            .build()
            .map_err(|e| context.error("its description", e))
    }

    /// The commit that the cache has for a branch or tag.
    fn remembered(&self, repo: &str, revision: &str) -> Option<String> {
        let folder = format!("models--{}", repo.replace('/', "--"));
        let text = fs::read_to_string(self.cache.join(folder).join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned())
    }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether a snapshot has a configuration and all its weights.
fn is_complete(snapshot: &Path) -> bool {
    if !snapshot.join("config.json").exists() {
        return false;
    }
    if snapshot.join(SINGLE).exists() {
        return true;
    }
    shards(&snapshot.join(INDEX)).is_some_and(|shards| shards.iter().all(|s| snapshot.join(s).exists()))
}

fn shards(index: &Path) -> Option<BTreeSet<String>> {
    let index: ShardIndex = serde_json::from_str(&fs::read_to_string(index).ok()?).ok()?;
    Some(index.weight_map.into_values().collect())
}

/// What messages say about a fetch.
struct Context<'a> {
    settings: &'a HubSettings,
    repo: &'a str,
    revision: &'a str,
}

impl Context<'_> {
    fn weight_files(
        &self,
        listed: &BTreeSet<String>,
        download: impl Fn(&str) -> Result<PathBuf, HubError>,
    ) -> Result<Vec<String>, HubError> {
        if listed.contains(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        let id = || format!("{}@{}", self.repo, self.revision);
        if !listed.contains(INDEX) {
            return Err(HubError::NoWeights { id: id() });
        }
        let shards = shards(&download(INDEX)?).ok_or_else(|| HubError::Index { id: id() })?;
        match shards.iter().find(|s| !listed.contains(*s)) {
            Some(_) => Err(HubError::Index { id: id() }),
            None => Ok(shards.into_iter().collect()),
        }
    }

    fn download(&self, api: &Api, pinned: &ApiRepo, at: &Repo, name: &str) -> Result<PathBuf, HubError> {
        let cached = Cache::new(self.settings.cache.clone()).repo(at.clone());
        if let Some(path) = cached.get(name) {
            return Ok(path);
        }
        let path = self.retry(name, || {
            let result = pinned.download(name);
            if matches!(&result, Err(e) if is_spent(e)) {
                // What lies there is as long as the file, or longer: the last byte came, the renaming did not.
                let etag = api.metadata(&pinned.url(name))?.etag().to_owned();
                let _ = fs::remove_file(cached.blob_path(&etag).with_extension("part"));
            }
            result
        })?;
        let expected = self.retry(name, || api.metadata(&pinned.url(name)))?.size() as u64;
        let found = fs::metadata(&path).map_err(|source| HubError::Cache { path: path.clone(), source })?.len();
        if found != expected {
            let blob = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            let _ = (fs::remove_file(&path), fs::remove_file(blob));
            return Err(HubError::Size { id: self.repo.to_owned(), file: name.to_owned(), found, expected });
        }
        Ok(path)
    }

    fn retry<T>(&self, what: &str, mut ask: impl FnMut() -> Result<T, ApiError>) -> Result<T, HubError> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(e) if attempt < ATTEMPTS && may_pass(&e) => {
                    tracing::debug!(what, attempt, error = %e, "the hub failed, asking again");
                    std::thread::sleep(pause);
                    pause *= 2;
                    attempt += 1;
                }
                Err(e) => return Err(self.error(what, e)),
            }
        }
    }

    fn error(&self, what: &str, source: ApiError) -> HubError {
        let id = format!("{}@{}", self.repo, self.revision);
        let page = format!("{}/{}", self.settings.endpoint, self.repo);
        match (status(&source), self.settings.token.is_some()) {
            (Some(401), false) => HubError::TokenNeeded { id },
            (Some(401), true) => HubError::TokenRefused { id },
            (Some(403), _) => HubError::Gated { id, page },
            (Some(404), _) => HubError::NotFound { id, file: what.to_owned() },
            _ => HubError::Transfer { id, file: what.to_owned(), source: Box::new(source) },
        }
    }
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(e) => match **e {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        _ => None,
    }
}

/// Whether asking again may help: broken connections, busy servers.
fn may_pass(error: &ApiError) -> bool {
    match status(error) {
        Some(code) => code == 408 || code == 429 || code >= 500 || code == 416,
        None => matches!(error, ApiError::RequestError(_) | ApiError::IoError(_) | ApiError::InvalidResume),
    }
}

/// Whether an unfinished download has nothing left to ask for.
fn is_spent(error: &ApiError) -> bool {
    status(error) == Some(416) || matches!(error, ApiError::InvalidResume)
}

/// Why a model of the hub could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not in the cache, and the network is not to be used.
    #[error("find hf:{id} in {}: the cache does not hold all of it, and offline mode forbids to download it", cache.display())]
    Offline {
        /// Repository and revision.
        id: String,
        /// The cache directory.
        cache: PathBuf,
    },
    /// Nobody may see it without a token, or it does not exist (the hub does not tell these apart).
    #[error("download hf:{id}: the hub asks for a token (or there is no such model); set HF_TOKEN")]
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
    /// The model's conditions have not been accepted.
    #[error("download hf:{id}: access is restricted; ask for it at {page} with the account of HF_TOKEN")]
    Gated {
        /// Repository and revision.
        id: String,
        /// The model's page.
        page: String,
    },
    /// No such repository, revision or file.
    #[error("download hf:{id}: the hub knows no such model or revision ({file} was not found)")]
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
    /// An index that cannot be read or lists files that the repository lacks.
    #[error("use hf:{id}: its model.safetensors.index.json does not fit its files")]
    Index {
        /// Repository and revision.
        id: String,
    },
    /// A file that came out too long or too short.
    #[error("download {file} of hf:{id}: {found} bytes arrived instead of {expected}; it was removed, try again")]
    Size {
        /// Repository.
        id: String,
        /// The file.
        file: String,
        /// Bytes that arrived.
        found: u64,
        /// Bytes that the hub announced.
        expected: u64,
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
        source: Box<ApiError>,
    },
}
