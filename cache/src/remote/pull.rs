//! From a remote into the store: the record first, then what it names, each byte hashed as it arrives; the manifest is
//! put in place last, as by who has computed the result.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
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
    store::{Lookup, Store},
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
        match self.receive(store, &manifest) {
            Ok(Some((entry, bytes))) => {
                self.count(|counts| {
                    counts.pulled += 1;
                    counts.bytes_pulled += bytes;
                });
                Some(entry)
            }
            Ok(None) => None,
            Err(fault) => {
                // A record of no use is replaced by who computes the key.
                if matches!(fault, Fault::Damaged(_)) {
                    self.line().note_damaged(names::record(key));
                }
                self.line().warn(format!("the remote's result {} is not used: {fault}", key.short()), "unused");
                None
            }
        }
    }

    /// What the remote has recorded of a key, without any of its outputs.
    pub fn record(&self, key: &Digest) -> Option<Manifest> {
        if let Some(manifest) = self.records_seen().lock().get(key) {
            return Some(Manifest::clone(manifest));
        }
        let name = names::record(key);
        match self.read_record(key) {
            Ok(Some(manifest)) => {
                self.records_seen().lock().insert(*key, Arc::new(manifest.clone()));
                Some(manifest)
            }
            Ok(None) => None,
            Err(fault) => {
                if matches!(fault, Fault::Damaged(_)) {
                    self.line().note_damaged(name);
                }
                None
            }
        }
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
        found.map(Some).inspect_err(|fault| line.failed(format!("failed to read {name}: {fault}"), fault))
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
        for (index, output) in manifest.outputs.iter().enumerate() {
            // Equal artifacts of several keys come once.
            if object::check_object(store.layout(), &output.artifact).is_ok() {
                continue;
            }
            let to = publication.received(index);
            let whole = match output.artifact.kind {
                ArtifactKind::Table => self.receive_table(store, output, &to)?,
                ArtifactKind::Files => self.receive_files(store, output, &to)?,
            };
            if !whole {
                let missing = Fault::Damaged(format!("the bytes of its output `{}` are missing", output.port));
                self.line().failed(format!("failed to read the result {}: {missing}", manifest.key.short()), &missing);
                return Err(missing);
            }
            bytes += output.artifact.bytes;
        }
        match publication.adopt(manifest)? {
            Ok(entry) => Ok(Some((entry, bytes))),
            Err(reason) => {
                let fault = Fault::Damaged(reason);
                self.line().failed(format!("failed to read the result {}: {fault}", manifest.key.short()), &fault);
                Err(fault)
            }
        }
    }

    fn receive_table(&self, store: &Store, output: &Output, to: &Path) -> Result<bool, Fault> {
        let artifact = &output.artifact;
        let blob = Blob { digest: artifact.object, bytes: artifact.bytes };
        if !blobs::fetch(self.line(), store, &blob, to)? {
            return Ok(false);
        }
        // Keys of later stages are made of the digest of the rows, which the record alone says.
        let (rows, digest) = logical(to).map_err(|e| Fault::Damaged(format!("it is no table: {e}")))?;
        if rows != artifact.rows || digest != artifact.digest {
            let fault = Fault::Damaged(format!("the rows of `{}` are not those of its record", output.port));
            self.line().failed(format!("failed to read a table: {fault}"), &fault);
            return Err(fault);
        }
        Ok(true)
    }

    fn receive_files(&self, store: &Store, output: &Output, to: &Path) -> Result<bool, Fault> {
        fs::create_dir(to).at("create", to)?;
        // Links last: nothing is written through one.
        let (links, files): (Vec<_>, Vec<_>) = output.files.iter().partition(|file| file.link.is_some());
        for file in files.into_iter().chain(links) {
            let inside = Path::new(&file.path);
            if !inside.components().all(|part| matches!(part, Component::Normal(_))) || file.path.is_empty() {
                return Err(Fault::Damaged(format!("`{}` names a file outside", output.port)));
            }
            let path = to.join(inside);
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

/// The rows of a table file, and their digest.
fn logical(path: &Path) -> Result<(u64, Digest), StoreError> {
    let table = open_parquet(path, &ReadOptions::default())?;
    let rows = table.total_rows();
    let mut digest = TableDigest::new(table.schema())?;
    for batch in table {
        digest.update(&batch?)?;
    }
    Ok((rows, digest.finish()))
}
