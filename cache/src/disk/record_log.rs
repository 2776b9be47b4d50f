//! An append-only file of small checksummed records: the form of the index, of the stat cache, and of references while
//! a run goes on.
//!
//! ```text
//! file   = "PIPELOG1" record*
//! record = length (u32, little endian), first 8 bytes of blake3(payload), payload
//! ```
//!
//! Appending is one `write` with `O_APPEND`, so records of several processes do not mix. What follows a
//! bad record is lost; its owner builds the log anew.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

const MAGIC: &[u8; 8] = b"PIPELOG1";

fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&blake3::hash(payload).as_bytes()[..8]);
    out.extend_from_slice(payload);
}

/// The bytes of a log with these records.
pub(crate) fn encode<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for record in records {
        frame(&mut bytes, record);
    }
    bytes
}

/// Calls `visit` for every record. `Ok(false)` when the log is missing, or bad from some record on.
pub(crate) fn read(path: &Path, visit: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(decode(&bytes, visit)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Calls `visit` for every record of a log with those bytes, until one is bad or `visit` says so. `false` when one was.
pub(crate) fn decode(bytes: &[u8], mut visit: impl FnMut(&[u8]) -> bool) -> bool {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return false };
    while !rest.is_empty() {
        let Some((head, tail)) = rest.split_at_checked(12) else { return false };
        let length = u32::from_le_bytes(head[..4].try_into().expect("4 bytes")) as usize;
        let Some((payload, tail)) = tail.split_at_checked(length) else { return false };
        if blake3::hash(payload).as_bytes()[..8] != head[4..] || !visit(payload) {
            return false;
        }
        rest = tail;
    }
    true
}

/// Appends records to a log that exists. A log that does not exist is left so: its owner builds it whole.
pub(crate) fn append<'a>(path: &Path, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        frame(&mut bytes, record);
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let open: io::Result<File> = OpenOptions::new().append(true).open(path);
    match open {
        Ok(mut file) => file.write_all(&bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_appended_and_stops_at_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let collect = || {
            let mut seen = Vec::new();
            let whole = read(&path, |r| {
                seen.push(r.to_vec());
                true
            });
            (whole.unwrap(), seen)
        };
        assert_eq!(collect(), (false, vec![]));
        std::fs::write(&path, encode([b"one".as_slice()])).unwrap();
        append(&path, [b"two".as_slice(), b""]).unwrap();
        assert_eq!(collect(), (true, vec![b"one".to_vec(), b"two".to_vec(), vec![]]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8 + 12 + 3 + 12] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(collect(), (false, vec![b"one".to_vec()]));
    }
}
