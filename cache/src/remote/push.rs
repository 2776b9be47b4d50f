//! From the store to a remote: what a result names first, its record last. Who comes second finds a record there, and
//! leaves it.

use super::{
    Remote, blobs,
    fault::Fault,
    names,
    record::{self, Blob},
    transport::Content,
};
use crate::{
    disk::{ArtifactKind, Manifest, Output},
    hash::Digest,
    store::Store,
};

/// What became of a result that was to be pushed.
pub(super) enum Pushed {
    /// The remote has it now, and these bytes went.
    New(u64),
    /// It was there already, or somebody else came first.
    There,
    /// The store has no such result.
    Missing,
}

impl Remote {
    /// Whether the remote has a record of a key. What cannot be asked counts as missing.
    fn has(&self, key: &Digest) -> bool {
        let name = names::record(key);
        !self.line().is_damaged(&name) && matches!(self.line().ask("look for", &name, |t| t.head(&name)), Ok(Some(_)))
    }

    /// Pushes results in the background that the remote does not have: it is asked for all of them first. Returns how
    /// many are on their way; [`Remote::wait`] waits for them.
    pub fn submit_all(&self, store: &Store, keys: &[Digest]) -> usize {
        let known = super::at_once(keys, |key| self.has(key));
        let new: Vec<&Digest> = keys.iter().zip(known).filter(|(_, known)| !known).map(|(key, _)| key).collect();
        for key in &new {
            self.submit(store, key, false);
        }
        self.count(|counts| counts.there += (keys.len() - new.len()) as u64);
        new.len()
    }

    /// Writes a result to the remote. With `replace`, a record that is there is replaced.
    pub(super) fn push_result(&self, store: &Store, key: &Digest, replace: bool) -> Result<Pushed, Fault> {
        let Some(manifest) = store.manifest(key)? else { return Ok(Pushed::Missing) };
        let name = names::record(key);
        let overwrite = self.line().is_damaged(&name);
        if replace && matches!(self.read_record(key), Err(Fault::Newer(_))) {
            return Ok(Pushed::There);
        }
        let mut bytes = 0;
        for output in &manifest.outputs {
            bytes += self.push_output(store, output, overwrite)?;
        }
        let encoded = record::encode(&manifest);
        if let Some((blob, manifest)) = &encoded.manifest {
            bytes += blobs::send_object(self.line(), blob, &Content::Bytes(manifest), overwrite)?;
        }
        let content = Content::Bytes(&encoded.record);
        let write = |only_new| self.line().ask("write", &name, |t| t.put(&name, &content, only_new));
        if !write(!(overwrite || replace))? {
            if self.is_of_use(&manifest)? {
                return Ok(Pushed::There);
            }
            // One that nobody can read is in everybody's way.
            write(false)?;
        }
        self.line().mended(&name);
        Ok(Pushed::New(bytes + content.len()))
    }

    /// Whether the record that is there can be used; whether it says the same is told.
    fn is_of_use(&self, ours: &Manifest) -> Result<bool, Fault> {
        let theirs = match self.read_record(&ours.key) {
            Ok(Some(theirs)) => theirs,
            Ok(None) | Err(Fault::Damaged(_)) => return Ok(false),
            // Not by this version, and not for this version to replace.
            Err(Fault::Newer(_)) => return Ok(true),
            Err(fault) => return Err(fault),
        };
        let outputs = |manifest: &Manifest| manifest.outputs.iter().map(|o| o.artifact.digest).collect::<Vec<_>>();
        if outputs(&theirs) != outputs(ours) {
            let key = ours.key.short();
            self.line().warn(
                format!(
                    "the remote has another result of {key} than was computed here; the remote's stays (a stage that \
                     is not a function of its inputs?)"
                ),
                "another result",
            );
        }
        Ok(true)
    }

    fn push_output(&self, store: &Store, output: &Output, overwrite: bool) -> Result<u64, Fault> {
        // Its bytes are verified, once in a process: what is damaged here stays here.
        let path = store.artifact_path(&output.artifact)?;
        if output.artifact.kind == ArtifactKind::Table {
            let blob = Blob { digest: output.artifact.object, bytes: output.artifact.bytes };
            return blobs::send(self.line(), &blob, &path, overwrite);
        }
        let mut bytes = 0;
        for file in output.files.iter().filter(|file| file.link.is_none()) {
            let blob = Blob { digest: file.digest, bytes: file.bytes };
            bytes += blobs::send(self.line(), &blob, &path.join(&file.path), overwrite)?;
        }
        Ok(bytes)
    }
}
