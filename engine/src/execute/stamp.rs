//! Remembers in which state references and links were put in order, so that a run which changes nothing does not look
//! at each of them again. Whoever changes a link changes the time of its folder; whoever changes references, that of
//! their file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pipe_cache::{Digest, Store, put_file};
use serde::{Deserialize, Serialize};

/// A change within this time of the stamp might carry the same time of modification: such a stamp is not trusted.
const RACY: Duration = Duration::from_millis(50);

/// What references and links looked like when they were in order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// The state that they were made for.
    state: Digest,
    /// The store that links point into.
    store: PathBuf,
    results: Option<PathBuf>,
    /// Times of modification: of the references' file, then of each folder of links, and of the file of views. `None`
    /// where there is none.
    modified: Vec<Option<Duration>>,
}

/// A file of the pipeline's references.
fn refs(store: &Store, pipeline: &str, extension: &str) -> PathBuf {
    store.layout().runs().with_file_name("refs").join(format!("{pipeline}.{extension}"))
}

impl Stamp {
    /// As things stand now. `folders` lie below `results`.
    pub(super) fn now(
        store: &Store,
        pipeline: &str,
        state: Digest,
        results: Option<&Path>,
        folders: &[PathBuf],
    ) -> Self {
        let refs = refs(store, pipeline, "json");
        let modified = |path: &Path| -> Option<Duration> {
            fs::metadata(path).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()
        };
        let folders = results.iter().flat_map(|results| folders.iter().map(|folder| modified(&results.join(folder))));
        Self {
            state,
            store: store.layout().root().to_owned(),
            results: results.map(Path::to_owned),
            modified: std::iter::once(modified(&refs)).chain(folders).collect(),
        }
    }

    /// Whether the last run of the pipeline left things just so.
    pub(super) fn is_kept(&self, store: &Store, pipeline: &str) -> bool {
        let path = path(store, pipeline);
        // An interrupted run has noted more than the references' file says.
        if refs(store, pipeline, "log").exists() {
            return false;
        }
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let Some(written) = fs::metadata(&path).ok().and_then(|m| m.modified().ok()) else { return false };
        let Ok(written) = written.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let settled = |time: &Option<Duration>| time.is_some_and(|time| time + RACY < written);
        kept.is_some_and(|kept| kept == *self) && self.modified.iter().all(settled)
    }

    /// Keeps the stamp. It only saves time: where it cannot be written, the next run looks at everything.
    pub(super) fn keep(&self, store: &Store, pipeline: &str) {
        let path = path(store, pipeline);
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|text| put_file(&path, &text));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "the stamp of the results could not be kept");
        }
    }
}

fn path(store: &Store, pipeline: &str) -> PathBuf {
    store.layout().runs().join("stamps").join(format!("{pipeline}.json"))
}
