//! Publishing (I9): write to temp, verify, rename; objects first, the manifest last.
//!
//! Everything is written below the session's temporary directory. [`Publication::commit`] renames objects into place
//! and then the manifest that names them; from then on the key is a hit for everyone. Renames survive the death of the
//! process at once; the background thread of [`crate::share::sync`] makes them survive the death of the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;

use super::{
    Store,
    table_writer::{Outputs, TableWriter},
};
use crate::{
    disk::{
        ArtifactKind, Entry, Manifest, Output, Provenance, TableFile, checked_json, listing,
        manifest::{self, MANIFEST_FORMAT, Unreadable},
        object::{self, Stamp},
        paths,
        stat::Stat,
    },
    error::{IoContext, StoreError},
    hash::Digest,
    share::{Lease, session::Session, sync::SyncJob},
};

/// The outputs of one computation on their way into the store. Dropped without [`Publication::commit`] it leaves
/// nothing.
pub struct Publication {
    store: Store,
    lease: Lease,
    ports: Vec<String>,
    outputs: Outputs,
    parts: Parts,
    session: Arc<Session>,
    /// The manifest that the key had before its lease was taken, which is to be replaced.
    replaces: Option<Stat>,
    /// The stamps of files outputs, as they were hashed.
    stamps: BTreeMap<Digest, Stamp>,
}

/// Where a publication writes: names in the session's directory that begin alike, for a directory of its own would be
/// made and removed for each of thousands of small results. What is left there is removed with it.
struct Parts {
    base: PathBuf,
    ports: usize,
}

const MANIFEST: &str = "manifest";
const SCRATCH: &str = "scratch";

impl Parts {
    fn at(&self, part: impl Display) -> PathBuf {
        self.base.with_extension(part.to_string())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let outputs = (0..self.ports).map(|index| self.at(index));
        outputs.chain([self.at(MANIFEST), self.at(SCRATCH)]).for_each(|path| discard(&path));
    }
}

/// Removes what is of no use any more.
fn discard(path: &Path) {
    if let Err(e) = paths::remove(path) {
        tracing::warn!(path = %path.display(), error = %e, "a temporary file was not removed; gc will");
    }
}

/// A directory below the session's, for one piece of work; removed when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        discard(&self.0);
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
        let parts = Parts { base: session.temp(), ports: ports.len() };
        let outputs = Outputs::default();
        outputs.lock().resize(ports.len(), None);
        let replaces = lease.found;
        let stamps = BTreeMap::new();
        Ok(Publication { store: self.clone(), lease, ports, outputs, parts, session, replaces, stamps })
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
        Ok((index, self.parts.at(index)))
    }

    /// A writer for the table of a port. It may move to another thread. Asked for again, the table starts over: what
    /// was written before is gone, and its writer, if it still lives, fails to finish.
    pub fn table_writer(&self, port: &str, schema: SchemaRef) -> Result<TableWriter, StoreError> {
        let (index, path) = self.place(port)?;
        paths::remove(&path).at("remove", &path)?;
        self.outputs.lock()[index] = None;
        Ok(TableWriter::new(TableFile::create(&path, schema)?, (index, port.to_owned()), self.outputs.clone()))
    }

    /// An empty directory for the files of a port; the regular files in it at [`Publication::commit`], and the links
    /// between them, are the artifact.
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
        let path = self.parts.at(SCRATCH);
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(path)
    }

    /// A directory that belongs to the key rather than to this attempt at it: what is left there by a process that died
    /// is there again for the next one. [`Publication::commit`] removes it.
    pub fn work_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self.store.layout().work(self.lease.key());
        self.store.make_dir(&path)?;
        // Its last user may have been on another machine.
        self.store.layout().refresh(&path);
        Ok(path)
    }

    /// Forgets what earlier attempts left in [`Publication::work_dir`].
    pub fn clear_work_dir(&self) -> Result<(), StoreError> {
        let path = self.store.layout().work(self.lease.key());
        paths::remove(&path).at("remove", &path)
    }

    /// Verifies and publishes. Every port must have its output. From its return on, the result survives the death of
    /// this process (see [`Store::flush`] for the death of the machine). The lease is released.
    ///
    /// Where another process has published the key since [`Store::try_lease`], which happens when it took the lease
    /// over
    /// from one that was stopped for long, its result stands and is returned: of two results of a key, one is ever
    /// seen.
    pub fn commit(mut self, provenance: Provenance) -> Result<Arc<Entry>, StoreError> {
        let key = *self.lease.key();
        let outputs = self.collect()?;
        self.publish(&Manifest { format: MANIFEST_FORMAT, key, outputs, provenance })
    }

    /// Where the object of output number `index` is put by who has it from elsewhere.
    pub(crate) fn received(&self, index: usize) -> PathBuf {
        self.parts.at(index)
    }

    /// [`Publication::commit`] of a result that was computed elsewhere, whose tables have been verified: files are
    /// hashed here, also those that the store had. `Ok(Err(..))` says which output is not what the manifest says.
    pub(crate) fn adopt(mut self, manifest: &Manifest) -> Result<Result<Arc<Entry>, String>, StoreError> {
        for (index, output) in manifest.outputs.iter().enumerate() {
            let path = self.received(index);
            if output.artifact.kind != ArtifactKind::Files {
                continue;
            }
            let here = self.store.layout().artifact(&output.artifact);
            let read = if path.is_dir() {
                object::seal_files(&path).map(|(listing, stamp)| (listing, Some(stamp)))
            } else {
                listing::scan(&here).map(|listing| (listing, None))
            };
            let (listing, stamp) = match read {
                // What cannot be an artifact, as links that lead out of it by way of others.
                Err(e) if e.kind() == io::ErrorKind::Other => return Ok(Err(format!("`{}`: {e}", output.port))),
                read => read.at("read the files of", &path)?,
            };
            if listing.artifact() != output.artifact || listing.files != output.files {
                return Ok(Err(format!("the files of `{}` are not those of its listing", output.port)));
            }
            self.stamps.extend(stamp.map(|stamp| (output.artifact.object, stamp)));
        }
        self.publish(manifest).map(Ok)
    }

    fn publish(self, manifest: &Manifest) -> Result<Arc<Entry>, StoreError> {
        let key = manifest.key;
        let temp = self.parts.at(MANIFEST);
        fs::write(&temp, checked_json::encode(manifest)).at("write", &temp)?;
        object::write_protect(&temp).at("write", &temp)?;

        let lock = self.store.lock(false)?;
        let path = self.store.layout().manifest(&key);
        self.store.make_dir(path.parent().unwrap_or(&path))?;
        if let Some(entry) = self.winner(&path)? {
            return Ok(entry);
        }
        let mut job = SyncJob::default();
        for (index, output) in manifest.outputs.iter().enumerate() {
            self.place_object(&self.parts.at(index), output, &mut job)?;
        }
        while !paths::place(&temp, &path).at("write", &path)? {
            if let Some(entry) = self.winner(&path)? {
                return Ok(entry);
            }
            self.put_aside(&path)?;
        }
        let stat = Stat::at(&path).at("read", &path)?;
        let entry = self.store.index_entry(manifest.entry(), stat);
        drop(lock);
        // The result is published, whatever becomes of this; gc removes the work directories of published keys. A
        // successor may be using it.
        if self.lease.is_current()
            && let Err(error) = self.clear_work_dir()
        {
            tracing::warn!(%error, "the work directory of a published key was not removed");
        }
        with_parents(&mut job.then, &path);
        self.store.submit_sync(job);
        Ok(entry)
    }

    /// The result that another process has published since this began, if it is whole.
    fn winner(&self, path: &Path) -> Result<Option<Arc<Entry>>, StoreError> {
        let stat = Stat::at(path).at("read", path)?;
        if stat.is_none() || stat == self.replaces {
            return Ok(None);
        }
        let Some(manifest) = whole(&self.store, path) else { return Ok(None) };
        tracing::info!(key = ?manifest.key, "another process has published it");
        Ok(Some(self.store.index_entry(manifest.entry(), stat)))
    }

    /// Takes the manifest that is to be replaced out of the way: the one that was there when this began, or one that is
    /// of no use. Another that takes its place at this moment is put back.
    fn put_aside(&self, path: &Path) -> Result<(), StoreError> {
        let aside = self.session.temp();
        match fs::rename(path, &aside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.at("replace", path)?,
        }
        // Moving it changes one of its times.
        let moved = Stat::at(&aside).at("read", &aside)?.map(|stat| Stat { changed_ns: 0, ..stat });
        let replaces = self.replaces.map(|stat| Stat { changed_ns: 0, ..stat });
        match manifest::read_as(&aside, self.lease.key()) {
            Err(Unreadable::Future(format)) => {
                let reason = format!("its format {format} is newer than {MANIFEST_FORMAT}");
                self.store.quarantine_as(&aside, path, &reason)
            }
            Err(Unreadable::Damaged(damage)) => self.store.quarantine_as(&aside, path, &damage.reason),
            Err(Unreadable::Store(e)) => Err(e),
            Ok(manifest) if moved != replaces && outputs_are_there(&self.store, &manifest) => {
                paths::place(&aside, path).map(drop).at("write", path)
            }
            _ => paths::remove(&aside).at("replace", path),
        }
    }

    /// All outputs in declared order, with files hashed.
    fn collect(&mut self) -> Result<Vec<Output>, StoreError> {
        let mut written = std::mem::take(&mut *self.outputs.lock());
        let mut outputs = Vec::with_capacity(self.ports.len());
        for (index, port) in self.ports.iter().enumerate() {
            let path = self.parts.at(index);
            outputs.push(match written[index].take() {
                Some(output) => output,
                None if path.is_dir() => {
                    listing::make_links_relative(&path).at("read the files of", &path)?;
                    let (listing, stamp) = object::seal_files(&path).at("read the files of", &path)?;
                    let artifact = listing.artifact();
                    self.stamps.insert(artifact.object, stamp);
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

    /// Moves an object into place, read-only. One that is there already is kept if it is sound.
    fn place_object(&self, from: &Path, output: &Output, job: &mut SyncJob) -> Result<(), StoreError> {
        let artifact = &output.artifact;
        let layout = self.store.layout();
        let path = layout.artifact(artifact);
        let files = artifact.kind == ArtifactKind::Files;
        self.store.make_dir(path.parent().unwrap_or(&path))?;
        // What is here already is not fetched from elsewhere.
        if !files && paths::is_there(from) {
            object::write_protect(from).at("write", from)?;
        }
        loop {
            if paths::is_there(&path) {
                match object::check_object(layout, artifact) {
                    Ok(_) => return Ok(()),
                    Err(StoreError::Damaged(damage)) => self.store.quarantine(&damage.path, &damage.reason)?,
                    Err(other) => return Err(other),
                }
            }
            match paths::rename(from, &path) {
                // Somebody has put the same there since: a file replaces a file, a directory does not.
                Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {}
                renamed => break renamed.at("write", &path)?,
            }
        }
        if files {
            object::close_directories(&path).at("write", &path)?;
            job.first.extend(output.files.iter().filter(|f| f.link.is_none()).map(|f| path.join(&f.path)));
            job.first.extend(listing::directories(&path).at("list", &path)?);
        }
        with_parents(&mut job.first, &path);
        // Its bytes were read back when they were hashed. Somebody may write to files all the same: then their stamps
        // differ.
        let stamp = match self.stamps.get(&artifact.object) {
            Some(stamp) if stamp.is_settled() => Some(stamp.clone()),
            Some(_) => None,
            None => Stamp::at(artifact.kind, &path).ok(),
        };
        if let Some(stamp) = stamp {
            self.store.verified().insert(artifact.object, stamp);
        }
        Ok(())
    }
}

/// The manifest at that path, if all that it names is there.
fn whole(store: &Store, path: &Path) -> Option<Manifest> {
    manifest::read(path).ok().filter(|manifest| outputs_are_there(store, manifest))
}

fn outputs_are_there(store: &Store, manifest: &Manifest) -> bool {
    manifest.outputs.iter().all(|output| object::stat_object(store.layout(), &output.artifact).is_ok())
}

/// A path, the directory that names it, and the one that names that.
pub(crate) fn with_parents(paths: &mut Vec<PathBuf>, path: &Path) {
    let all: BTreeSet<&Path> = path.ancestors().take(3).collect();
    paths.extend(all.into_iter().map(Path::to_owned));
}
