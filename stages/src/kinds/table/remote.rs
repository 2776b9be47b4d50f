//! Files from elsewhere: data sets of the hub, and addresses.

use std::path::{Path, PathBuf};

use pipe_engine::{
    context::{StageContext, causes},
    diag, keys,
    kind::{Finder, Source, SourceHost, StageError},
};
use pipe_lm::origin::{HubDataset, HubError, HubSettings, Wanted, WebCache, WebError, has_password};
use serde_json::{Value, json};

use super::is_pattern;
use crate::tabular::Format;

/// What of the world around a stage files are found with.
pub(super) trait Around {
    /// The folder that relative paths start from.
    fn folder(&self) -> &Path;
    /// A variable of the run's environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// Whether it is being cancelled.
    fn stopped(&self) -> bool;
}

impl Around for StageContext {
    fn folder(&self) -> &Path {
        self.base_dir()
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.env(name).map(str::to_owned)
    }
    fn stopped(&self) -> bool {
        self.cancel_token().reason().is_some()
    }
}

impl Around for &dyn SourceHost {
    fn folder(&self) -> &Path {
        self.base_dir()
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.env(name).map(str::to_owned)
    }
    fn stopped(&self) -> bool {
        self.cancelled()
    }
}

/// An entry of `path` that is no file here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `hf://datasets/org/name@revision/path`; the path may be a pattern, or a folder.
    Dataset(HubDataset, String),
    /// `https://host/file`, with the SHA-256 behind `#sha256=` that its content must have.
    Web { url: String, sha256: Option<String> },
}

impl Address {
    /// Whether an entry of `path` is an address.
    pub(super) fn is_one(path: &str) -> bool {
        path.contains("://")
    }

    /// What is written, if it is an address.
    ///
    /// # Errors
    /// It is one that nothing is read from: what is wrong, and what to write.
    pub(super) fn of(path: &str) -> Option<Result<Self, (String, &'static str)>> {
        const FORM: &str = "write `hf://datasets/org/name@revision/path`, such as \
                            `hf://datasets/tatsu-lab/alpaca@main/data/*.parquet`";
        let (scheme, rest) = path.split_once("://")?;
        let shown = diag::redact(path);
        Some(match scheme {
            "hf" => HubDataset::parse(rest)
                .map(|(dataset, path)| Self::Dataset(dataset, path))
                .ok_or_else(|| (format!("`{shown}` names no data set of the hub"), FORM)),
            "http" | "https" if has_password(path) || shown != path => Err((
                format!("`{shown}` carries a credential, and what stands in a pipeline file is stored and shown"),
                "download it with a `command` stage, which sees the variables that it names",
            )),
            "http" | "https" => {
                let (url, fragment) = path.split_once('#').map_or((path, None), |(url, rest)| (url, Some(rest)));
                let sha256 = fragment.map(|rest| rest.strip_prefix("sha256=").unwrap_or_default().to_owned());
                let digits = |digest: &String| digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit());
                if sha256.as_ref().is_none_or(digits) {
                    Ok(Self::Web { url: url.to_owned(), sha256 })
                } else {
                    let message = format!("what stands behind the `#` of `{shown}` is no digest");
                    Err((message, "write `#sha256=` and 64 hexadecimal digits, or nothing"))
                }
            }
            _ => Err((
                format!("`{shown}` is an address that tables are not read from"),
                "give `https://...` or `hf://datasets/...`, download it, or have a `command` stage do so",
            )),
        })
    }

    /// The name by which the format is told.
    pub(super) fn file_name(path: &str) -> &str {
        // Of data sets there are names with `#`, and patterns with `?`.
        let web = path.starts_with("http://") || path.starts_with("https://");
        let end = if web { path.find(['#', '?']).unwrap_or(path.len()) } else { path.len() };
        &path[..end]
    }

    /// The files on this machine with their names, downloaded where they are not.
    pub(super) fn fetch(&self, format: Format, around: &dyn Around) -> Result<Vec<(String, PathBuf)>, StageError> {
        let stop = || around.stopped();
        match self {
            Self::Dataset(dataset, path) => {
                let hub = HubSettings::from_variables(|name| around.variable(name));
                let commit = hub.resolve_dataset(dataset, &stop).map_err(hub_error)?;
                let is_file = Format::of(Path::new(path)).is_some();
                let matches = keys::matcher(path).map_err(|e| StageError::user(format!("`{path}` {e}")))?;
                let below = if path.is_empty() { String::new() } else { format!("{path}/") };
                // A name that does not tell the format may be a file's, or a folder's.
                let found = |name: &str| {
                    name == path.as_str() || (name.starts_with(&below) && Format::of(Path::new(name)) == Some(format))
                };
                let wanted = match is_pattern(path) {
                    true => Wanted::Names(&matches),
                    false if is_file => Wanted::Name(path),
                    false => Wanted::Names(&found),
                };
                let files = hub.fetch_dataset(dataset, &commit, &wanted, &stop).map_err(hub_error)?;
                if files.is_empty() {
                    let message = format!(
                        "no file of the data set {} at {} is called `{path}`, or lies there with an extension of the \
                         format",
                        dataset.repo, dataset.revision
                    );
                    return Err(StageError::user_help(message, "look at the data set's files on the hub"));
                }
                Ok(files)
            }
            Self::Web { url, sha256 } => {
                let cache = WebCache::from_variables(|name| around.variable(name));
                let path = cache.fetch(url, sha256.as_deref(), &stop).map_err(web_error)?;
                let name = Self::file_name(url).rsplit('/').next().unwrap_or_default();
                Ok(vec![(name.to_owned(), path)])
            }
        }
    }

    /// What of it enters the key: the commit that a revision is now, or the content.
    pub(super) fn source(self, label: &str) -> Source {
        let find = move |host: &dyn SourceHost| -> Result<Value, StageError> {
            let around: &dyn Around = &host;
            match &self {
                Self::Dataset(dataset, path) => {
                    let hub = HubSettings::from_variables(|name| around.variable(name));
                    let commit = hub.resolve_dataset(dataset, &|| around.stopped()).map_err(hub_error)?;
                    Ok(json!({ "commit": commit, "files": path }))
                }
                // That content is the only one that is ever read.
                Self::Web { sha256: Some(digest), .. } => Ok(json!({ "sha256": digest.to_lowercase() })),
                Self::Web { .. } => {
                    let (_, path) = self.fetch(Format::Text, around)?.remove(0);
                    Ok(json!({ "content": host.digest(&path)?.to_string() }))
                }
            }
        };
        Source::Found { label: label.to_owned(), near: Vec::new(), find: Finder::new(find) }
    }
}

fn said(error: &dyn std::error::Error) -> String {
    format!("failed to {}", causes(error).join(": "))
}

fn hub_error(error: HubError) -> StageError {
    let told = said(&error);
    match error {
        HubError::Cancelled { .. } => StageError::Cancelled,
        HubError::Offline { .. } => StageError::user_help(
            told,
            "run once without HF_HUB_OFFLINE, or bring it there by `hf download --repo-type dataset`, with a commit as \
             its revision",
        ),
        _ => StageError::user(told),
    }
}

fn web_error(error: WebError) -> StageError {
    let told = said(&error);
    match error {
        WebError::Cancelled { .. } => StageError::Cancelled,
        WebError::Offline { .. } | WebError::Damaged { .. } => {
            StageError::user_help(told, "run once without HF_HUB_OFFLINE")
        }
        WebError::Digest { .. } => {
            StageError::user_help(told, "the file is another one now: look at it, and write its digest")
        }
        _ => StageError::user(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_name_of_a_file_follows_it_in_addresses_of_servers_alone() {
        for (path, expect) in [
            ("https://host/rows.csv?x=1#sha256=0", "https://host/rows.csv"),
            ("http://host/rows.csv#sha256=0", "http://host/rows.csv"),
            ("hf://datasets/org/name/a#1.csv", "hf://datasets/org/name/a#1.csv"),
            ("hf://datasets/org/name/part-?.csv", "hf://datasets/org/name/part-?.csv"),
            ("a#1.csv", "a#1.csv"),
        ] {
            assert_eq!(Address::file_name(path), expect);
        }
    }
}
