//! What a remote knows of a key: the manifest, or, where that is large, which object it is.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::{
    disk::{
        Manifest,
        checked_json::{self, Broken},
        manifest::MANIFEST_FORMAT,
    },
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
    let record: Record = checked_json::decode(bytes, FORMAT).map_err(broken)?;
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
    checked(checked_json::decode(bytes, MANIFEST_FORMAT).map_err(broken)?, key)
}

fn checked(manifest: Manifest, key: &Digest) -> Result<Manifest, Fault> {
    if manifest.key != *key {
        return Err(Fault::Damaged(format!("it has the manifest of key {:?}", manifest.key)));
    }
    if manifest.format > MANIFEST_FORMAT {
        return Err(broken(Broken::Future(manifest.format)));
    }
    Ok(manifest)
}

fn broken(broken: Broken) -> Fault {
    Fault::Damaged(match broken {
        Broken::Damaged(reason) => reason,
        Broken::Future(format) => format!("a newer version wrote it (format {format})"),
    })
}
