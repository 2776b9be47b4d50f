//! From a remote into the store: the record first, then what it names, each byte hashed as it arrives; the manifest is
//! put in place last, as by who has computed the result.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use super::{
    Remote, blobs,
    fault::Fault,
    names,
    record::{self, Blob, Found},
};
use crate::{
    disk::{ArtifactKind, Entry, Manifest, Output, ReadOptions, object, open_parquet},
    error::{IoContext, StoreError},
    hash::{Digest, TableDigest},
    share::LeaseAttempt,
    store::{Lookup, Store, columns},
};

/// The longest manifest: a million files have less.
const MOST: u64 = 256 << 20;

impl Remote {
    /// Brings the result of a key into the store, if the remote has it and all of it is what it should be. What goes
    /// wrong is counted and told of in a warning, and the key counts as missing.
    pub fn pull(&self, store: &Store, key: &Digest) -> Option<Arc<Entry>> {
        if !self.pulls() || store.read_only() {
            return None;
        }
        let manifest = self.record(key)?;
        self.records_seen().lock().remove(key);
        match self.line().guarded("receive a result", || self.receive(store, &manifest)) {
            Ok(Some((entry, bytes))) => {
                self.count(|counts| {
                    counts.pulled += 1;
                    counts.bytes_pulled += bytes;
                });
                Some(entry)
            }
            Ok(None) | Err(Fault::Cancelled | Fault::LeftAlone) => None,
            Err(fault) => {
                // A record of no use is replaced by who computes the key.
                if matches!(fault, Fault::Damaged(_) | Fault::Panicked(_)) {
                    self.line().note_damaged(names::record(key));
                }
                self.line().warn(format!("the remote's result {} is not used: {fault}", key.short()), "unused");
                None
            }
        }
    }

    /// A record that [`Remote::record`] found is of no use, for a reason that only the caller knows: it counts as
    /// damaged, and is replaced by who computes the key.
    pub fn refuse(&self, key: &Digest, reason: &str) {
        self.records_seen().lock().remove(key);
        self.line().unusable(&names::record(key), Fault::Damaged(reason.to_owned()));
    }

    /// What the remote has recorded of a key, without any of its outputs.
    pub fn record(&self, key: &Digest) -> Option<Manifest> {
        if let Some(manifest) = self.records_seen().lock().get(key) {
            return Some(Manifest::clone(manifest));
        }
        let manifest = self.line().guarded("read a record", || self.read_record(key)).ok()??;
        self.records_seen().lock().insert(*key, Arc::new(manifest.clone()));
        Some(manifest)
    }

    /// [`Remote::record`] of many keys, asked at the same time. What is found is remembered.
    pub fn records(&self, keys: &[Digest]) -> Vec<Option<Manifest>> {
        super::at_once(keys, |key| self.record(key))
    }

    pub(super) fn read_record(&self, key: &Digest) -> Result<Option<Manifest>, Fault> {
        Ok(self.read_record_and_object(key)?.map(|(manifest, _)| manifest))
    }

    /// The manifest of a record, and the object that it is, if it is one of its own.
    pub(super) fn read_record_and_object(&self, key: &Digest) -> Result<Option<(Manifest, Option<Blob>)>, Fault> {
        let (line, name) = (self.line(), names::record(key));
        let Some(bytes) = line.small("read", &name, record::MOST)? else { return Ok(None) };
        let found = match record::decode(&bytes, key) {
            Ok(Found::Manifest(manifest)) => return Ok(Some((*manifest, None))),
            Ok(Found::Elsewhere(blob)) => match blobs::fetch_small(line, &blob, MOST)? {
                Some(bytes) => record::decode_manifest(&bytes, key).map(|manifest| (manifest, Some(blob))),
                None => Err(Fault::Damaged("the manifest that it names is missing".to_owned())),
            },
            Err(fault) => Err(fault),
        };
        found.map(Some).map_err(|fault| line.unusable(&name, fault))
    }

    /// `None` when somebody else here is computing the key, or the remote lacks a part of it.
    fn receive(&self, store: &Store, manifest: &Manifest) -> Result<Option<(Arc<Entry>, u64)>, Fault> {
        let LeaseAttempt::Acquired(lease) = store.try_lease(&manifest.key)? else { return Ok(None) };
        if let Lookup::Hit(entry) = store.lookup(&manifest.key)? {
            return Ok(Some((entry, 0)));
        }
        let ports: Vec<&str> = manifest.outputs.iter().map(|output| output.port.as_str()).collect();
        let publication = store.begin(lease, &ports)?;
        let mut bytes = 0;
        let refused = |fault: Fault| self.line().unusable(&names::record(&manifest.key), fault);
        for (index, output) in manifest.outputs.iter().enumerate() {
            let (artifact, to) = (&output.artifact, publication.received(index));
            // Equal artifacts of several keys come once.
            let is_here = object::check_object(store.layout(), artifact).is_ok();
            if !is_here {
                let whole = match artifact.kind {
                    ArtifactKind::Table => {
                        let blob = Blob { digest: artifact.object, bytes: artifact.bytes };
                        blobs::fetch(self.line(), store, &blob, &to)?
                    }
                    ArtifactKind::Files => self.receive_files(store, output, &to)?,
                };
                if !whole {
                    return Err(refused(Fault::Damaged(format!("the bytes of `{}` are missing", output.port))));
                }
                bytes += artifact.bytes;
            }
            if artifact.kind == ArtifactKind::Table {
                let path = if is_here { store.layout().artifact(artifact) } else { to };
                check_table(output, &path)
                    .map_err(|fault| if fault.is_the_remotes() { refused(fault) } else { fault })?;
            }
        }
        match publication.adopt(manifest)? {
            Ok(entry) => Ok(Some((entry, bytes))),
            Err(reason) => Err(refused(Fault::Damaged(reason))),
        }
    }

    /// Whoever read the record has made sure that all names in it are those of files inside.
    fn receive_files(&self, store: &Store, output: &Output, to: &Path) -> Result<bool, Fault> {
        fs::create_dir(to).at("create", to)?;
        // Links last: nothing is written through one.
        let (links, files): (Vec<_>, Vec<_>) = output.files.iter().partition(|file| file.link.is_some());
        for file in files.into_iter().chain(links) {
            let path = to.join(&file.path);
            let parent = path.parent().unwrap_or(to);
            fs::create_dir_all(parent).at("create", parent)?;
            if let Some(link) = &file.link {
                std::os::unix::fs::symlink(link, &path).at("create", &path)?;
                continue;
            }
            if !blobs::fetch(self.line(), store, &Blob { digest: file.digest, bytes: file.bytes }, &path)? {
                return Ok(false);
            }
            let mode = if file.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).at("write", &path)?;
        }
        Ok(true)
    }
}

/// Checks the bytes of a table, which are those of its object, against what the record says of them: keys of later
/// stages are made of the digest of its rows.
fn check_table(output: &Output, path: &Path) -> Result<(), Fault> {
    let Output { port, artifact, .. } = output;
    let read = || {
        let table = open_parquet(path, &ReadOptions::default())?;
        let (rows, columns) = (table.total_rows(), columns(table.schema()));
        let mut digest = TableDigest::new(table.schema())?;
        for batch in table {
            digest.update(&batch?)?;
        }
        Ok((rows, digest.finish(), columns))
    };
    match read() {
        Ok(found) if found == (artifact.rows, artifact.digest, output.columns.clone()) => Ok(()),
        Ok(_) => Err(Fault::Damaged(format!("the rows of `{port}` are not those of its record"))),
        Err(error @ StoreError::Io { .. }) => Err(Fault::Local(error)),
        Err(error) => Err(Fault::Damaged(format!("`{port}` is no table: {error}"))),
    }
}
