//! What was submitted: `runs/submitted/<time>.json` in the store, with the scripts beside it. It serves `pipe cancel`
//! and `pipe logs`, and nothing else: what is to be done stands in the store.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use pipe_cache::{Store, put_file};
use serde::{Deserialize, Serialize};

use super::{io_error, plain};
use crate::error::CliError;

/// Arrays of workers that were submitted together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Submission {
    pub pipeline: String,
    pub at_ms: u64,
    pub jobs: Vec<Job>,
}

/// An array.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub class: String,
    /// Its number.
    pub id: String,
}

/// Where the logs of workers go.
pub(super) fn logs(store: &Store) -> PathBuf {
    store.layout().logs().join("workers")
}

/// Where submissions and their scripts are noted.
pub(super) fn folder(store: &Store) -> PathBuf {
    store.layout().runs().join("submitted")
}

impl Submission {
    fn path(&self, store: &Store) -> PathBuf {
        folder(store).join(format!("{}.json", self.at_ms))
    }

    /// Where the script of a class is kept.
    pub(super) fn script(&self, store: &Store, class: &str) -> PathBuf {
        folder(store).join(format!("{}-{}.sh", self.at_ms, plain(class)))
    }

    pub(super) fn keep(&self, store: &Store) -> Result<(), CliError> {
        let path = self.path(store);
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        text.and_then(|text| put_file(&path, &text)).map_err(|source| io_error("write", &path, source))
    }

    pub(super) fn forget(&self, store: &Store) -> Result<(), CliError> {
        let scripts = self.jobs.iter().map(|job| self.script(store, &job.class));
        // The note goes last: as long as it is there, it can be cancelled once more.
        for path in scripts.chain([self.path(store)]) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &path, e)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What was submitted of a pipeline and not cancelled, oldest first.
pub(super) fn of(store: &Store, pipeline: &str) -> Result<Vec<Submission>, CliError> {
    let folder = folder(store);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("list", &folder, e)),
    };
    let mut found: Vec<Submission> = (entries.filter_map(|entry| Some(entry.ok()?.path())))
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter_map(|path| serde_json::from_slice::<Submission>(&fs::read(path).ok()?).ok())
        .filter(|submission| submission.pipeline == pipeline)
        .collect();
    found.sort_by_key(|submission| submission.at_ms);
    Ok(found)
}

/// The logs of workers, or of those whose job's number begins so: `worker 17_3`, and the file.
pub(crate) fn logs_of_workers(store: &Store, job: Option<&str>) -> Result<Vec<(String, PathBuf)>, CliError> {
    let folder = logs(store);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    let number = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        stem.split_once('-').map_or(stem, |(_, number)| number).to_owned()
    };
    let is_meant =
        |path: &PathBuf| job.is_none_or(|job| number(path) == job || number(path).split('_').next() == Some(job));
    paths.retain(is_meant);
    paths.sort();
    if paths.is_empty() {
        return Err(CliError::NotFound {
            message: "there is no such log of a worker".to_owned(),
            help: Some(format!("they are in {}", folder.display())),
        });
    }
    Ok(paths.into_iter().map(|path| (format!("worker {}", number(&path)), path)).collect())
}
