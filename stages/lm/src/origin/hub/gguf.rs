//! One GGUF file out of a repository that has several, each in another form.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Fetch, HubError, HubSettings, RepoKind, is_commit};

impl HubSettings {
    /// Brings a repository's GGUF file of a form into the cache, and says where it is. The form is what its name ends
    /// on, `Q4_K_M` of `model-Q4_K_M.gguf`, in upper or lower case, or all of the name.
    ///
    /// # Errors
    /// As [`HubSettings::fetch`]; the repository has no file of that form, or several.
    pub fn fetch_gguf(
        &self,
        repo: &str,
        revision: &str,
        form: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<PathBuf, HubError> {
        let fetch = Fetch { settings: self, kind: RepoKind::Model, repo, revision, stop };
        fetch.gguf(form).map_err(|error| match error {
            HubError::Offline { id, cache } => HubError::Offline { id: format!("{id}:{form}"), cache },
            other => other,
        })
    }
}

impl Fetch<'_> {
    fn gguf(&self, form: &str) -> Result<PathBuf, HubError> {
        let commit = self.resolve()?;
        // A cache that Python filled has no listing: then what is there is all that is known.
        let there = in_folder(&self.snapshot(&commit));
        let chosen = if let Choice::One(name) = choose(&there, form) {
            name.to_owned()
        } else {
            let (listed, known) = match self.listing(&commit) {
                Err(HubError::Offline { .. }) if !there.is_empty() => {
                    (there, " in the cache, and offline mode forbids to look further")
                }
                listed => (listed?, ""),
            };
            match choose(&listed, form) {
                Choice::One(name) => name.to_owned(),
                Choice::Parts => return Err(HubError::GgufParts { id: self.id(), form: form.to_owned() }),
                Choice::None | Choice::Several => {
                    let there = names(&listed) + known;
                    return Err(HubError::GgufForm { id: self.id(), form: form.to_owned(), there });
                }
            }
        };
        let path = self.had(&commit, &chosen)?;
        if !is_commit(self.revision) && !self.settings.offline {
            self.remember(&commit)?;
        }
        Ok(path)
    }
}

enum Choice<'a> {
    One(&'a str),
    /// One file in several parts.
    Parts,
    Several,
    None,
}

fn choose<'a>(names: &'a BTreeSet<String>, form: &str) -> Choice<'a> {
    let form = form.to_ascii_lowercase();
    let form = form.strip_suffix(".gguf").unwrap_or(&form);
    // `Q4_K_M` is no `IQ4_K_M`.
    let ends =
        |stem: &str| stem.strip_suffix(form).is_some_and(|front| front.is_empty() || front.ends_with(['-', '.', '_']));
    let of_form = |name: &&str| stem(name).is_some_and(|stem| ends(&stem) || part_of(&stem).is_some_and(ends));
    let found: Vec<&str> = names.iter().map(String::as_str).filter(of_form).collect();
    match found[..] {
        [] => Choice::None,
        [name] if stem(name).is_some_and(|stem| part_of(&stem).is_none()) => Choice::One(name),
        _ if found.iter().all(|name| stem(name).is_some_and(|stem| part_of(&stem).is_some())) => Choice::Parts,
        _ => Choice::Several,
    }
}

/// The name of a GGUF file without folder and ending, in lower case. Those of projectors and of importance matrices are
/// no models.
fn stem(name: &str) -> Option<String> {
    let name = name.rsplit('/').next()?.to_ascii_lowercase();
    let stem = name.strip_suffix(".gguf")?;
    (!stem.contains("mmproj") && !stem.contains("imatrix")).then(|| stem.to_owned())
}

/// What stands in front of `-00001-of-00003`.
fn part_of(stem: &str) -> Option<&str> {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit());
    let (front, count) = stem.rsplit_once("-of-")?;
    let (front, index) = front.rsplit_once('-')?;
    (number(count) && number(index)).then_some(front)
}

/// Whether a repository has a GGUF file.
pub(super) fn has_any(listed: &BTreeSet<String>) -> bool {
    listed.iter().any(|name| stem(name).is_some())
}

/// The GGUF files of a repository, for people.
pub(super) fn names(listed: &BTreeSet<String>) -> String {
    let all: Vec<&str> = listed.iter().filter(|name| stem(name).is_some()).map(String::as_str).collect();
    match all.len() {
        0 => "it has no GGUF file".to_owned(),
        1..=12 => format!("its GGUF files are {}", all.join(", ")),
        count => format!("its GGUF files are {} and {} more", all[..12].join(", "), count - 12),
    }
}

/// The names of the GGUF files in a snapshot, from its folder on.
fn in_folder(snapshot: &Path) -> BTreeSet<String> {
    let (mut names, mut folders) = (BTreeSet::new(), vec![snapshot.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(snapshot).ok().and_then(Path::to_str).map(|name| name.replace('\\', "/"));
            match name {
                _ if entry.file_type().is_ok_and(|kind| kind.is_dir()) => folders.push(path),
                Some(name) if stem(&name).is_some() && path.exists() => drop(names.insert(name)),
                _ => {}
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_one_file() {
        let listed = [
            "README.md",
            "model-Q4_K_M.gguf",
            "model-IQ4_K_M.gguf",
            "model.q8_0.gguf",
            "BF16/model-BF16-00001-of-00002.gguf",
            "BF16/model-BF16-00002-of-00002.gguf",
            "F16/model-F16.gguf",
            "mmproj-model-f16.gguf",
            "twice-Q2_K.gguf",
            "model-Q2_K.gguf",
        ];
        let listed: BTreeSet<String> = listed.map(str::to_owned).into();
        let check = |form: &str, expect: &str| {
            let told = match choose(&listed, form) {
                Choice::One(name) => name.to_owned(),
                Choice::Parts => "parts".to_owned(),
                Choice::Several => "several".to_owned(),
                Choice::None => "none".to_owned(),
            };
            assert_eq!(told, expect, "{form}");
        };
        check("Q4_K_M", "model-Q4_K_M.gguf");
        check("q4_k_m", "model-Q4_K_M.gguf");
        check("IQ4_K_M", "model-IQ4_K_M.gguf");
        check("Q8_0", "model.q8_0.gguf");
        check("F16", "F16/model-F16.gguf");
        check("BF16", "parts");
        check("Q2_K", "several");
        check("model-Q2_K.gguf", "model-Q2_K.gguf");
        check("K_M", "several");
        check("Q3_K", "none");
        assert!(names(&listed).contains("model-Q4_K_M.gguf") && !names(&listed).contains("mmproj"));
    }

    /// What is in a cache that has no listing is told as it is, and a form that is not there with its name.
    #[test]
    fn offline_it_is_said_what_the_cache_has() {
        let cache = tempfile::tempdir().unwrap();
        let (commit, repo) = ("0123456789abcdef0123456789abcdef01234567", "org/name-GGUF");
        let hub = HubSettings { endpoint: String::new(), cache: cache.path().into(), token: None, offline: true };
        let said = |form: &str| match hub.fetch_gguf(repo, commit, form, &|| false) {
            Ok(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(said("Q8_0").contains(&format!("find hf:{repo}@{commit}:Q8_0 in ")), "{}", said("Q8_0"));
        let snapshot = cache.path().join("models--org--name-GGUF/snapshots").join(commit);
        fs::create_dir_all(&snapshot).unwrap();
        for name in ["a-Q4_0", "b-Q4_0", "a-Q8_0", "a-Q5_0-00001-of-00002", "a-Q5_0-00002-of-00002"] {
            fs::write(snapshot.join(format!("{name}.gguf")), "").unwrap();
        }
        assert_eq!(said("Q8_0"), "a-Q8_0.gguf");
        for form in ["Q4_0", "Q6_K"] {
            assert!(said(form).contains("b-Q4_0.gguf in the cache, and offline mode"), "{}", said(form));
        }
        assert!(said("Q5_0").contains("it is cut into parts"), "{}", said("Q5_0"));
    }
}
