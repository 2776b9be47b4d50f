//! What a remote knows of a key: the manifest, or, where that is large, which object it is.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::{
    disk::{ArtifactKind, FileEntry, Manifest, Output, checked_json, manifest::MANIFEST_FORMAT},
    hash::Digest,
};

/// The newest format of records that this version reads and writes.
const FORMAT: u32 = 1;
/// A record is never larger.
pub(super) const MOST: u64 = 64 << 10;
/// Larger manifests are objects of their own.
const INLINE: usize = 48 << 10;

/// Bytes that are named by their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    key: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Blob>,
}

/// A record in two pieces: the second is an object that goes first.
pub(super) struct Encoded {
    pub(super) record: Vec<u8>,
    pub(super) manifest: Option<(Blob, Vec<u8>)>,
}

pub(super) fn encode(manifest: &Manifest) -> Encoded {
    let bytes = checked_json::encode(manifest);
    let key = manifest.key;
    if bytes.len() <= INLINE {
        let record = Record { format: FORMAT, key, manifest: Some(manifest.clone()), object: None };
        return Encoded { record: checked_json::encode(&record), manifest: None };
    }
    let blob = Blob { digest: Digest::of_bytes(&bytes), bytes: bytes.len() as u64 };
    let record = Record { format: FORMAT, key, manifest: None, object: Some(blob) };
    Encoded { record: checked_json::encode(&record), manifest: Some((blob, bytes)) }
}

/// What a record leads to.
pub(super) enum Found {
    Manifest(Box<Manifest>),
    /// The manifest is this object.
    Elsewhere(Blob),
}

/// Reads the record of a key.
pub(super) fn decode(bytes: &[u8], key: &Digest) -> Result<Found, Fault> {
    let record: Record = checked_json::decode(bytes, FORMAT)?;
    if record.key != *key {
        return Err(Fault::Damaged(format!("it is the record of key {:?}", record.key)));
    }
    match (record.manifest, record.object) {
        (Some(manifest), _) => checked(manifest, key).map(|manifest| Found::Manifest(Box::new(manifest))),
        (None, Some(object)) => Ok(Found::Elsewhere(object)),
        (None, None) => Err(Fault::Damaged("it has no manifest".to_owned())),
    }
}

/// Reads a manifest that is an object of its own.
pub(super) fn decode_manifest(bytes: &[u8], key: &Digest) -> Result<Manifest, Fault> {
    checked(checked_json::decode(bytes, MANIFEST_FORMAT)?, key)
}

fn checked(manifest: Manifest, key: &Digest) -> Result<Manifest, Fault> {
    if manifest.key != *key {
        return Err(Fault::Damaged(format!("it has the manifest of key {:?}", manifest.key)));
    }
    if manifest.format > MANIFEST_FORMAT {
        return Err(Fault::Newer(manifest.format));
    }
    for (index, output) in manifest.outputs.iter().enumerate() {
        let twice = manifest.outputs[..index].iter().any(|other| other.port == output.port);
        let wrong = if twice { Err("it is there twice".to_owned()) } else { sound(output) };
        wrong.map_err(|why| Fault::Damaged(format!("its output `{}` cannot be: {why}", output.port.escape_debug())))?;
    }
    Ok(manifest)
}

/// Whether an output can be put into a store: nothing of it lies anywhere but inside its own folder.
fn sound(output: &Output) -> Result<(), String> {
    match output.artifact.kind {
        ArtifactKind::Table if !output.files.is_empty() => return Err("a table has no files".to_owned()),
        ArtifactKind::Files if !output.columns.is_empty() => return Err("files have no columns".to_owned()),
        _ => {}
    }
    let files = &output.files;
    for (file, next) in files.iter().zip(files.iter().skip(1)) {
        if file.path >= next.path {
            return Err("its files are not in the order of their names".to_owned());
        }
    }
    for file in files {
        let named = || file.path.escape_debug();
        if !is_inside(&file.path) {
            return Err(format!("`{}` is no name of a file in it", named()));
        }
        // A link, or a file, is no folder of other files.
        let folders = file.path.match_indices('/').map(|(end, _)| &file.path[..end]);
        for folder in folders {
            if files.binary_search_by(|other| other.path.as_str().cmp(folder)).is_ok() {
                return Err(format!("`{}` lies below what is no folder", named()));
            }
        }
        if leads_out(file) {
            return Err(format!("the link `{}` leads out of it", named()));
        }
    }
    Ok(())
}

/// Whether a name is that of a file in a folder, as listings write it.
fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
}

/// Whether a link says a path that is absolute, or goes up beyond the artifact's own folder.
fn leads_out(file: &FileEntry) -> bool {
    let Some(link) = &file.link else { return false };
    let mut depth = file.path.matches('/').count();
    let mut goes_down = |part: &str| {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            _ => depth += 1,
        }
        true
    };
    link.is_empty() || link.starts_with('/') || link.contains('\0') || !link.split('/').all(&mut goes_down)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{ArtifactRef, Provenance};

    fn file(path: &str, link: Option<&str>) -> FileEntry {
        let digest = Digest::of_bytes(link.unwrap_or_default().as_bytes());
        FileEntry { path: path.to_owned(), bytes: 0, digest, executable: false, link: link.map(str::to_owned) }
    }

    fn record(files: Vec<FileEntry>) -> Vec<u8> {
        let digest = Digest::of_bytes(b"");
        let artifact = ArtifactRef { kind: ArtifactKind::Files, digest, object: digest, bytes: 0, rows: 0 };
        let output = Output { port: "out".to_owned(), artifact, columns: Vec::new(), files };
        let (outputs, provenance) = (vec![output], Provenance::default());
        encode(&Manifest { format: MANIFEST_FORMAT, key: Digest::of_bytes(b"key"), outputs, provenance }).record
    }

    #[test]
    fn names_and_links_that_lead_out_of_an_artifact_are_refused() {
        let read = |files| decode(&record(files), &Digest::of_bytes(b"key"));
        let sound = vec![file("a", None), file("b/c", Some("../a")), file("b/d", Some("c")), file("e", Some("b"))];
        assert!(read(sound).is_ok());
        for wrong in [
            vec![file("/etc/x", None)],
            vec![file("../x", None)],
            vec![file("a/../../x", None)],
            vec![file("a//b", None)],
            vec![file("a/", None)],
            vec![file("", None)],
            vec![file("b", None), file("a", None)],
            vec![file("a", None), file("a", None)],
            vec![file("l", Some("/etc"))],
            vec![file("l", Some(".."))],
            vec![file("l", Some(""))],
            vec![file("d/l", Some("../../x"))],
            vec![file("d/l", Some("../d/../../x"))],
            // What lies below a link would be written where it leads.
            vec![file("l", Some("d")), file("l/x", Some("d"))],
            vec![file("l", Some("d")), file("l-", None), file("l/m/x", None)],
        ] {
            assert!(matches!(read(wrong.clone()), Err(Fault::Damaged(_))), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_damage() {
        let key = Digest::of_bytes(b"key");
        let newer = Record { format: FORMAT + 1, key, manifest: None, object: None };
        assert!(matches!(decode(&checked_json::encode(&newer), &key), Err(Fault::Newer(2))));
        let manifest = Manifest { format: 7, key, outputs: Vec::new(), provenance: Provenance::default() };
        assert!(matches!(decode(&encode(&manifest).record, &key), Err(Fault::Newer(7))));
    }
}
