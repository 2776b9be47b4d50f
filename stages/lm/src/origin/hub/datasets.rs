//! Files of data sets of the hub: single ones, in the same cache as models.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Fetch, HubError, HubSettings, RepoKind, is_commit};
use crate::weights::temporary_beside;

/// A revision of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubDataset {
    /// `org/name`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl HubDataset {
    /// Reads `datasets/org/name@revision/path`, what stands behind `hf://`; returns the path, too, which is empty where
    /// there is none. A slash in the name of a branch is written `%2F`, but for `refs/convert/...` and `refs/pr/...`.
    pub fn parse(text: &str) -> Option<(Self, String)> {
        let mut parts = text.strip_prefix("datasets/")?.splitn(3, '/');
        let (org, rest, mut path) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
        let (name, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let mut revision = revision.replace("%2F", "/").replace("%2f", "/");
        if revision == "refs" {
            let mut named = path.splitn(3, '/');
            let (kind, of) = (named.next()?, named.next()?);
            path = named.next().unwrap_or_default();
            revision = format!("refs/{kind}/{of}");
        }
        let part = |s: &str| {
            !s.is_empty() && !s.starts_with('.') && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let named = part(org) && part(name) && revision.split('/').all(part);
        named.then(|| (Self { repo: format!("{org}/{name}"), revision }, path.trim_end_matches('/').to_owned()))
    }
}

/// Which files are wanted.
pub enum Wanted<'a> {
    /// That one.
    Name(&'a str),
    /// All whose names are.
    Names(&'a dyn Fn(&str) -> bool),
}

impl HubSettings {
    fn dataset<'a>(&'a self, dataset: &'a HubDataset, stop: &'a dyn Fn() -> bool) -> Fetch<'a> {
        Fetch { settings: self, kind: RepoKind::Dataset, repo: &dataset.repo, revision: &dataset.revision, stop }
    }

    /// The commit that a revision of a data set is now; see [`HubSettings::resolve`].
    ///
    /// # Errors
    /// As there.
    pub fn resolve_dataset(&self, dataset: &HubDataset, stop: &dyn Fn() -> bool) -> Result<String, HubError> {
        self.dataset(dataset, stop).resolve()
    }

    /// Brings files of a commit into the cache, and says what they are called and where they are, by name. What is
    /// there is not asked for again; offline it must be there. From then on the cache knows that the revision is that
    /// commit.
    ///
    /// # Errors
    /// The hub cannot be reached, does not let this token in or does not know the file; offline, the cache lacks
    /// something; `stop` said so.
    pub fn fetch_dataset(
        &self,
        dataset: &HubDataset,
        commit: &str,
        wanted: &Wanted<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<(String, PathBuf)>, HubError> {
        let fetch = self.dataset(dataset, stop);
        let names = match wanted {
            Wanted::Name(name) => BTreeSet::from([(*name).to_owned()]),
            Wanted::Names(is_wanted) => fetch.listing(commit)?.into_iter().filter(|name| is_wanted(name)).collect(),
        };
        let mut files = Vec::new();
        for name in names {
            let path = fetch.had(commit, &name)?;
            files.push((name, path));
        }
        // Remembered last, as of models: others read this cache, too, and a look alone must not move a branch there.
        let moved = !is_commit(&dataset.revision) && fetch.remembered().as_deref() != Some(commit);
        if moved && !self.offline && !files.is_empty() {
            fetch.remember(commit)?;
        }
        Ok(files)
    }
}

impl Fetch<'_> {
    /// A file that is in the cache, or is brought there.
    pub(super) fn had(&self, commit: &str, name: &str) -> Result<PathBuf, HubError> {
        if self.settings.offline && !self.snapshot(commit).join(name).exists() {
            return Err(HubError::Offline { id: self.id(), cache: self.settings.cache.clone() });
        }
        self.download(commit, name)
    }

    /// The names of all files of a commit; kept beside them, for a commit does not change.
    pub(super) fn listing(&self, commit: &str) -> Result<BTreeSet<String>, HubError> {
        let kept = self.folder().join("listings").join(format!("{commit}.json"));
        let read = |path: &Path| serde_json::from_str(&fs::read_to_string(path).ok()?).ok();
        if let Some(names) = read(&kept) {
            return Ok(names);
        }
        if self.settings.offline {
            return Err(HubError::Offline { id: self.id(), cache: self.settings.cache.clone() });
        }
        let description = Fetch { revision: commit, ..*self }.describe()?;
        let names = description.files();
        let keep = || -> std::io::Result<()> {
            fs::create_dir_all(kept.parent().unwrap_or(&kept))?;
            // In one go: a listing that is cut off would be one of fewer files.
            let part = temporary_beside(&kept)?;
            fs::write(part.path(), serde_json::to_string(&names).unwrap_or_default())?;
            part.persist(&kept).map_err(|e| e.error)?;
            Ok(())
        };
        keep().map_err(|source| HubError::Cache { path: kept.clone(), source })?;
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_data_sets() {
        let check = |text: &str, expect: Option<(&str, &str, &str)>| {
            let found = HubDataset::parse(text);
            let found = found.as_ref().map(|(set, path)| (&*set.repo, &*set.revision, &**path));
            assert_eq!(found, expect, "{text}");
        };
        check("datasets/org/name/data/a.csv", Some(("org/name", "main", "data/a.csv")));
        check("datasets/org/name@v1/a.csv", Some(("org/name", "v1", "a.csv")));
        check("datasets/org/name@my%2Fbranch/a.csv", Some(("org/name", "my/branch", "a.csv")));
        check(
            "datasets/org/name@refs/convert/parquet/x/0.parquet",
            Some(("org/name", "refs/convert/parquet", "x/0.parquet")),
        );
        check("datasets/org/name", Some(("org/name", "main", "")));
        check("datasets/org/name/data/", Some(("org/name", "main", "data")));
        for wrong in ["datasets/name", "org/name/a.csv", "datasets/../name/x", "datasets/org/na me/x", "models/a/b/c"] {
            check(wrong, None);
        }
    }
}
