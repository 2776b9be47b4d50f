//! Publishing (I9): write to temp, verify, rename; objects first, the manifest last.
//!
//! Everything is written below the session's temporary directory. [`Publication::commit`] renames objects into place and
//! then the manifest that names them; from then on the key is a hit for everyone. Renames survive the death of the process
//! at once; the background thread of [`crate::sync`] makes them survive the death of the machine.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;

use crate::{
    ArtifactKind, Entry, Lease, Manifest, Output, Provenance, Store, StoreError, TableWriter, checked_json,
    error::IoContext,
    files, fsio,
    manifest::{self, MANIFEST_FORMAT, Unreadable},
    read,
    session::Session,
    sync::SyncJob,
    table_writer::{Outputs, TableFile},
};

/// The outputs of one computation on their way into the store. Dropped without [`Publication::commit`] it leaves nothing.
pub struct Publication {
    store: Store,
    lease: Lease,
    ports: Vec<String>,
    outputs: Outputs,
    scratch: Scratch,
    _session: Arc<Session>,
}

/// The publication's own directory; removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = fsio::remove(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %e, "failed to remove a temporary directory; gc will");
        }
    }
}

impl Store {
    /// Begins to publish the key of `lease`, with outputs `ports` in declared order.
    pub fn begin(&self, lease: Lease, ports: &[impl AsRef<str>]) -> Result<Publication, StoreError> {
        let ports: Vec<String> = ports.iter().map(|p| p.as_ref().to_owned()).collect();
        if let Some(twice) = ports.iter().enumerate().find(|(i, p)| ports[..*i].contains(p)) {
            return Err(StoreError::misuse("publish output", twice.1, "it is declared twice"));
        }
        let session = self.session()?;
        let scratch = Scratch(session.temp());
        fs::create_dir(&scratch.0).at("create", &scratch.0)?;
        let outputs = Outputs::default();
        outputs.lock().expect("new").resize(ports.len(), None);
        Ok(Publication { store: self.clone(), lease, ports, outputs, scratch, _session: session })
    }
}

impl Publication {
    /// The lease under which this is published.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Where the output of a port is written, which must not be there yet.
    fn place(&self, port: &str) -> Result<(usize, PathBuf), StoreError> {
        let index = self.ports.iter().position(|p| p == port).ok_or_else(|| {
            let declared = self.ports.join("`, `");
            StoreError::misuse("publish output", port, format!("only `{declared}` are declared"))
        })?;
        Ok((index, self.scratch.0.join(index.to_string())))
    }

    /// A writer for the table of a port. It may move to another thread. Asked for again, the table starts over: what was
    /// written before is gone, and its writer, if it still lives, fails to finish.
    pub fn table_writer(&self, port: &str, schema: SchemaRef) -> Result<TableWriter, StoreError> {
        let (index, path) = self.place(port)?;
        fsio::remove(&path).at("remove", &path)?;
        self.outputs.lock().expect("no panic while locked")[index] = None;
        Ok(TableWriter::new(TableFile::create(&path, schema)?, (index, port.to_owned()), self.outputs.clone()))
    }

    /// An empty directory for the files of a port; the regular files in it at [`Publication::commit`] are the artifact.
    pub fn files_dir(&self, port: &str) -> Result<PathBuf, StoreError> {
        let (_, path) = self.place(port)?;
        if path.exists() {
            return Err(StoreError::misuse("publish output", port, "it is being written already"));
        }
        fs::create_dir(&path).at("create", &path)?;
        Ok(path)
    }

    /// A directory for files that are no output; removed with the publication, whatever becomes of it.
    pub fn scratch_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self.scratch.0.join("scratch");
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(path)
    }

    /// A directory that belongs to the key rather than to this attempt at it: what is left there by a process that died is
    /// there again for the next one. [`Publication::commit`] removes it.
    pub fn work_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self.store.layout().work(self.lease.key());
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(path)
    }

    /// Forgets what earlier attempts left in [`Publication::work_dir`].
    pub fn clear_work_dir(&self) -> Result<(), StoreError> {
        let path = self.store.layout().work(self.lease.key());
        fsio::remove(&path).at("remove", &path)
    }

    /// Verifies and publishes. Every port must have its output. From its return on, the result survives the death of this
    /// process (see [`Store::flush`] for the death of the machine). The lease is released.
    pub fn commit(self, provenance: Provenance) -> Result<Arc<Entry>, StoreError> {
        let key = *self.lease.key();
        let outputs = self.collect()?;
        let manifest = Manifest { format: MANIFEST_FORMAT, key, outputs, provenance };
        let temp = self.scratch.0.join("manifest");
        fs::write(&temp, checked_json::encode(&manifest)).at("write", &temp)?;

        let lock = self.store.lock(false)?;
        let mut job = SyncJob::default();
        for (index, output) in manifest.outputs.iter().enumerate() {
            self.place_object(&self.scratch.0.join(index.to_string()), output, &mut job)?;
        }
        let path = self.store.layout().manifest(&key);
        if let Err(Unreadable::Future(format)) = manifest::read(&path) {
            self.store.quarantine(&path, &format!("its format {format} is newer than {MANIFEST_FORMAT}"))?;
        }
        fsio::rename(&temp, &path).at("write", &path)?;
        let entry = self.store.index_entry(manifest.entry());
        drop(lock);
        // The result is published, whatever becomes of this; gc removes the work directories of published keys.
        if let Err(error) = self.clear_work_dir() {
            tracing::warn!(%error, "the work directory of a published key was not removed");
        }
        with_parents(&mut job.then, &path);
        self.store.submit_sync(job);
        Ok(entry)
    }

    /// All outputs in declared order, with files hashed.
    fn collect(&self) -> Result<Vec<Output>, StoreError> {
        let mut written = std::mem::take(&mut *self.outputs.lock().expect("no panic while locked"));
        let mut outputs = Vec::with_capacity(self.ports.len());
        for (index, port) in self.ports.iter().enumerate() {
            let path = self.scratch.0.join(index.to_string());
            outputs.push(match written[index].take() {
                Some(output) => output,
                None if path.is_dir() => {
                    let listing = files::scan(&path).at("read the files of", &path)?;
                    let artifact = listing.artifact();
                    Output { port: port.clone(), artifact, columns: Vec::new(), files: listing.files }
                }
                None if path.exists() => {
                    return Err(StoreError::misuse("publish output", port, "its writer was not finished"));
                }
                None => return Err(StoreError::misuse("publish output", port, "nothing was written to it")),
            });
        }
        Ok(outputs)
    }

    /// Moves an object into place. One that is there already is replaced (a table) or kept if it is sound (files).
    fn place_object(&self, from: &Path, output: &Output, job: &mut SyncJob) -> Result<(), StoreError> {
        let artifact = &output.artifact;
        let layout = self.store.layout();
        let path = layout.artifact(artifact);
        if artifact.kind == ArtifactKind::Files {
            if path.exists() {
                match read::check_object(layout, artifact) {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Damaged(damage)) => self.store.quarantine(&damage.path, &damage.reason)?,
                    Err(other) => return Err(other),
                }
            }
            job.first.extend(output.files.iter().map(|f| path.join(&f.path)));
        }
        fsio::rename(from, &path).at("write", &path)?;
        if artifact.kind == ArtifactKind::Files {
            job.first.extend(files::directories(&path).at("list", &path)?);
        }
        with_parents(&mut job.first, &path);
        // Its bytes were read back when they were hashed.
        if let Ok(stamp) = read::stat_object(layout, artifact) {
            self.store.verified().insert(artifact.object, stamp);
        }
        Ok(())
    }
}

/// A path, the directory that names it, and the one that names that.
pub(crate) fn with_parents(paths: &mut Vec<PathBuf>, path: &Path) {
    let all: BTreeSet<&Path> = path.ancestors().take(3).collect();
    paths.extend(all.into_iter().map(Path::to_owned));
}
