//! Models and data sets of the Hugging Face hub, in the cache that Python's `huggingface_hub` uses too.
//!
//! What the hub says is not trusted: names that lead out of the cache are refused, and the token is told to the hub
//! alone. A revision is resolved to a commit once, and all files are taken from that commit. A download that was
//! interrupted goes on where it stopped; files that are complete are not asked for again; a commit that is complete in
//! the cache needs no network at all.

mod address;
mod client;
mod datasets;
mod error;
mod gguf;
mod kind;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

pub use client::Fault;
use client::HubFile;
pub(super) use client::{Client, Question, receive};
pub use datasets::{HubDataset, Wanted};
pub use error::HubError;
use kind::RepoKind;
use serde::Deserialize;
pub(super) use waiting::{lock, retry, watched};

use super::variables;

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
            .field("endpoint", &super::without_password(&self.endpoint))
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
    super::files::POOLING,
];
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl HubSettings {
    /// Takes the variables that `huggingface_hub` honours from `variable`: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`,
    /// `XDG_CACHE_HOME`, `HOME`, `HF_TOKEN`, `HF_TOKEN_PATH` (else the file `token` in `HF_HOME`), `HF_HUB_OFFLINE` and
    /// `TRANSFORMERS_OFFLINE`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variables::given(&variable, name);
        let home = variable("HF_HOME").map_or_else(|| variables::caches(&variable).join("huggingface"), PathBuf::from);
        let token_file = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let stored = || fs::read_to_string(token_file).ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: variable("HF_TOKEN").or_else(stored),
            offline: variables::offline(&variable),
        }
    }

    /// Brings the files of a model into the cache: configuration, tokenizer and safetensors. `stop` is asked many times
    /// a second whether to give up.
    ///
    /// # Errors The hub cannot be reached, does not know the repository or revision, or does not let this token in; the
    /// repository has no safetensors; offline, the snapshot is not complete in the cache; `stop` said so.
    pub fn fetch(&self, repo: &str, revision: &str, stop: &dyn Fn() -> bool) -> Result<HubModel, HubError> {
        let fetch = Fetch { settings: self, kind: RepoKind::Model, repo, revision, stop };
        let known = if is_commit(revision) { Some(revision.to_owned()) } else { fetch.remembered() };
        if (is_commit(revision) || self.offline)
            && let Some(commit) = known
            && let path = fetch.snapshot(&commit)
            && is_complete(&path)
        {
            return Ok(HubModel { path, commit });
        }
        if self.offline {
            return Err(HubError::Offline { id: fetch.id(), cache: self.cache.clone() });
        }
        let description = fetch.describe()?;
        let (commit, listed) = (description.sha.clone(), description.files());
        if !listed.contains(SINGLE) && !listed.contains(INDEX) && gguf::has_any(&listed) {
            return Err(HubError::OnlyGguf { id: fetch.id(), repo: repo.to_owned(), there: gguf::names(&listed) });
        }
        let wanted = |name: &&String| COMPANIONS.contains(&name.as_str()) || is_module_file(name);
        for name in listed.iter().filter(wanted) {
            fetch.download(&commit, name)?;
        }
        for name in fetch.weight_files(&listed, |name| fetch.download(&commit, name))? {
            fetch.download(&commit, &name)?;
        }
        // Remembered last, so that a name never leads to half a snapshot.
        fetch.remember(&commit)?;
        Ok(HubModel { path: fetch.snapshot(&commit), commit })
    }

    /// The commit that a revision is now. A commit is itself; offline it is what the cache remembers; else the hub is
    /// asked.
    ///
    /// # Errors
    /// The hub cannot be reached or does not know it; offline, the cache does not; `stop` said so.
    pub fn resolve(&self, repo: &str, revision: &str, stop: &dyn Fn() -> bool) -> Result<String, HubError> {
        Fetch { settings: self, kind: RepoKind::Model, repo, revision, stop }.resolve()
    }
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit())
}

/// Whether a file belongs to a module of sentence-transformers: those lie in folders that are counted through,
/// `1_Pooling`, `2_Dense`.
fn is_module_file(name: &str) -> bool {
    let Some((folder, file)) = name.split_once('/') else { return name == super::files::MODULES };
    super::files::is_module_folder(folder) && ["config.json", "model.safetensors"].contains(&file)
}

/// Whether a snapshot has a configuration, all its weights, and the list of its modules if it has any.
fn is_complete(snapshot: &Path) -> bool {
    if !snapshot.join("config.json").exists() {
        return false;
    }
    if snapshot.join(super::files::POOLING).exists() && !snapshot.join(super::files::MODULES).exists() {
        return false;
    }
    if snapshot.join(SINGLE).exists() {
        return true;
    }
    shards(&snapshot.join(INDEX)).is_some_and(|shards| shards.iter().all(|s| is_inside(s) && snapshot.join(s).exists()))
}

fn shards(index: &Path) -> Option<BTreeSet<String>> {
    let index: ShardIndex = serde_json::from_str(&crate::json::plain(&fs::read_to_string(index).ok()?)).ok()?;
    Some(index.weight_map.into_values().collect())
}

/// Whether a name of a file leads to a place within the folder that it is joined to, on every system.
fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Whether an etag can name a file: it is a digest, perhaps with a suffix.
fn is_file_name(etag: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !etag.is_empty() && etag.len() <= 200 && !etag.starts_with('.') && etag.chars().all(plain)
}

/// One fetch.
struct Fetch<'a> {
    settings: &'a HubSettings,
    kind: RepoKind,
    repo: &'a str,
    revision: &'a str,
    stop: &'a dyn Fn() -> bool,
}

impl Fetch<'_> {
    fn id(&self) -> String {
        format!("{}{}@{}", self.kind.written(), self.repo, self.revision)
    }

    /// The commit that the revision is now.
    fn resolve(&self) -> Result<String, HubError> {
        if is_commit(self.revision) {
            return Ok(self.revision.to_owned());
        }
        if self.settings.offline {
            let unknown = || HubError::Offline { id: self.id(), cache: self.settings.cache.clone() };
            return self.remembered().ok_or_else(unknown);
        }
        Ok(self.describe()?.sha)
    }

    /// The commit that the cache has for a branch or tag.
    fn remembered(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder().join("refs").join(self.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Keeps the commit for the branch or tag.
    fn remember(&self, commit: &str) -> Result<(), HubError> {
        let reference = self.folder().join("refs").join(self.revision);
        let write = || -> io::Result<()> {
            fs::create_dir_all(reference.parent().unwrap_or(&reference))?;
            fs::write(&reference, commit)
        };
        write().map_err(|source| HubError::Cache { path: reference.clone(), source })
    }

    /// Where the cache has what it has of the repository.
    fn folder(&self) -> PathBuf {
        self.settings.cache.join(format!("{}--{}", self.kind.plural(), self.repo.replace('/', "--")))
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    fn client(&self) -> Client {
        Client::new(&self.settings.endpoint, self.settings.token.as_deref())
    }

    fn hostile(&self, what: &'static str, value: &str) -> HubError {
        HubError::Hostile { id: self.id(), what, value: value.chars().take(100).collect() }
    }

    fn describe(&self) -> Result<client::Description, HubError> {
        let description = self.retry("its description", || {
            let (client, kind) = (self.client(), self.kind);
            let (repo, revision) = (self.repo.to_owned(), self.revision.to_owned());
            watched(self.stop, move |_| client.describe(kind, &repo, &revision))
        })?;
        if is_commit(&description.sha) { Ok(description) } else { Err(self.hostile("commit", &description.sha)) }
    }

    fn weight_files(
        &self,
        listed: &BTreeSet<String>,
        download: impl Fn(&str) -> Result<PathBuf, HubError>,
    ) -> Result<Vec<String>, HubError> {
        if listed.contains(SINGLE) {
            return Ok(vec![SINGLE.to_owned()]);
        }
        if !listed.contains(INDEX) {
            return Err(HubError::NoWeights { id: self.id() });
        }
        let shards = shards(&download(INDEX)?).ok_or_else(|| HubError::Index { id: self.id() })?;
        match shards.iter().find(|s| !listed.contains(*s)) {
            Some(_) => Err(HubError::Index { id: self.id() }),
            None => Ok(shards.into_iter().collect()),
        }
    }

    fn download(&self, commit: &str, name: &str) -> Result<PathBuf, HubError> {
        if !is_inside(name) {
            return Err(self.hostile("file name", name));
        }
        let pointer = self.snapshot(commit).join(name);
        if pointer.exists() {
            return Ok(pointer);
        }
        let client = self.client();
        let (repo, commit) = (self.repo.to_owned(), commit.to_owned());
        let file = HubFile { kind: self.kind, repo, commit, name: name.to_owned() };
        let facts = self.retry(name, || {
            let (client, file) = (client.clone(), file.clone());
            watched(self.stop, move |_| client.facts(&file))
        })?;
        if !is_file_name(&facts.etag) {
            return Err(self.hostile("etag", &facts.etag));
        }
        let blobs = self.folder().join("blobs");
        let cache = |path: &Path| {
            let path = path.to_owned();
            move |source| HubError::Cache { path, source }
        };
        fs::create_dir_all(&blobs).map_err(cache(&blobs))?;
        let blob = blobs.join(&facts.etag);
        self.retry(name, || {
            let (client, file) = (client.clone(), file.clone());
            let (blob, size) = (blob.clone(), facts.size);
            watched(self.stop, move |cancelled| {
                let _lock = lock(&blob, cancelled)?;
                let complete = fs::metadata(&blob).is_ok_and(|there| there.len() == size);
                if !complete {
                    let part = PathBuf::from(format!("{}.part", blob.display()));
                    client.download(&file, size, &part, cancelled)?;
                    fs::rename(&part, &blob)?;
                }
                Ok(())
            })
        })?;
        point(&pointer, &blob, name).map_err(cache(&pointer))?;
        Ok(pointer)
    }

    fn retry<T>(&self, what: &str, ask: impl FnMut() -> Result<T, Fault>) -> Result<T, HubError> {
        retry(what, self.stop, ask).map_err(|fault| self.error(what, fault))
    }

    fn error(&self, what: &str, source: Fault) -> HubError {
        let id = self.id();
        if matches!(source, Fault::Cancelled) {
            return HubError::Cancelled { id };
        }
        let endpoint = super::without_password(&self.settings.endpoint);
        let page = format!("{endpoint}/{}{}", self.kind.in_front(), self.repo);
        match (source.status(), self.settings.token.is_some()) {
            (Some(401), false) => HubError::TokenNeeded { id },
            (Some(401), true) => HubError::TokenRefused { id },
            (Some(403), _) => HubError::Gated { id, page },
            (Some(404), _) => HubError::NotFound { id, file: what.to_owned() },
            _ => HubError::Transfer { id, file: what.to_owned(), source: Box::new(source) },
        }
    }
}

/// Makes `pointer`, which is `name` in its snapshot, lead to `blob`.
fn point(pointer: &Path, blob: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(pointer.parent().unwrap_or(pointer))?;
    #[cfg(unix)]
    {
        // snapshots/COMMIT/NAME: up through the folders of the name, the commit and `snapshots`.
        let mut target: PathBuf = std::iter::repeat_n("..", 2 + name.matches('/').count()).collect();
        target.push("blobs");
        target.push(blob.file_name().unwrap_or_default());
        match std::os::unix::fs::symlink(target, pointer) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = name;
        fs::copy(blob, pointer).map(|_| ())
    }
}
