//! An append-only file of small checksummed records: the form of the index, of the stat cache, and of references while
//! a run goes on.
//!
//! ```text
//! file   = "PIPELOG1" record*
//! record = length (u32, little endian), first 8 bytes of blake3(payload), payload
//! ```
//!
//! Appending is one `write` with `O_APPEND`, so records of several processes do not mix; but for machines that remember
//! where the end of a file was, so that each has to be alone there. What follows a bad record is lost; its owner builds
//! the log anew.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
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
pub(crate) fn decode(bytes: &[u8], visit: impl FnMut(&[u8]) -> bool) -> bool {
    bytes.strip_prefix(MAGIC).is_some_and(|records| take(records, visit).is_empty())
}

/// Calls `visit` for every record, until one is bad or `visit` says so. Returns what is left from there on.
fn take(mut rest: &[u8], mut visit: impl FnMut(&[u8]) -> bool) -> &[u8] {
    while let Some((head, tail)) = rest.split_at_checked(12) {
        let length = u32::from_le_bytes(head[..4].try_into().expect("4 bytes")) as usize;
        let Some((payload, tail)) = tail.split_at_checked(length) else { break };
        if blake3::hash(payload).as_bytes()[..8] != head[4..] || !visit(payload) {
            break;
        }
        rest = tail;
    }
    rest
}

/// Follows a log that other processes append to: reads what has come since the last time.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Held open, so that no other file has its number.
    file: Option<File>,
    id: (u64, u64),
    read_to: u64,
    /// How often in succession there was more, and nothing of it could be read.
    stuck: u32,
}

impl Follower {
    /// A record may be read while it is being written. What cannot be read so often is damaged.
    const STUCK: u32 = 50;

    /// Whether there is another log than the one that was read before: then all of it is read.
    pub(crate) fn is_another(&self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(there) => Ok(self.file.is_none() || (there.dev(), there.ino()) != self.id),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Calls `visit` for every record that is new, until one is bad or `visit` says so. A log that is missing says
    /// nothing.
    pub(crate) fn follow(&mut self, path: &Path, visit: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        if self.is_another(path)? {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e),
            };
            let meta = file.metadata()?;
            *self = Self { id: (meta.dev(), meta.ino()), file: Some(file), read_to: 0, stuck: 0 };
        }
        let Some(file) = &self.file else { return Ok(()) };
        let new = file.metadata()?.len().saturating_sub(self.read_to);
        if new == 0 || self.stuck > Self::STUCK {
            return Ok(());
        }
        let mut bytes = vec![0; new as usize];
        file.read_exact_at(&mut bytes, self.read_to)?;
        let records = if self.read_to == 0 { bytes.strip_prefix(MAGIC).unwrap_or_default() } else { &bytes };
        let left = take(records, visit).len();
        let read = if records.is_empty() { 0 } else { bytes.len() - left };
        self.stuck = if read == 0 { self.stuck + 1 } else { 0 };
        self.read_to += read as u64;
        Ok(())
    }
}

/// Appends records to a log that exists. A log that does not exist is left so: its owner builds it whole.
pub(crate) fn append<'a>(path: &Path, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    write(path, OpenOptions::new().append(true), records, |mut file, bytes| file.write_all(bytes))
}

/// [`append`] by who is alone there. Where the end is, is asked for anew: a network file system may take the end that
/// it remembers, and have one machine's records over another's.
pub(crate) fn append_alone<'a>(path: &Path, records: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    // `O_APPEND` would put them at the end that is remembered, wherever they are told to go.
    write(path, OpenOptions::new().write(true), records, |file, bytes| file.write_all_at(bytes, file.metadata()?.len()))
}

fn write<'a>(
    path: &Path,
    options: &OpenOptions,
    records: impl IntoIterator<Item = &'a [u8]>,
    write: impl FnOnce(&File, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        frame(&mut bytes, record);
    }
    if bytes.is_empty() {
        return Ok(());
    }
    match options.open(path) {
        Ok(file) => write(&file, &bytes),
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

    #[test]
    fn a_follower_reads_what_is_new_once_and_another_log_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut follower = Follower::default();
        let mut news = || {
            let mut seen = Vec::new();
            let read = follower.follow(&path, |r| {
                seen.push(String::from_utf8(r.to_vec()).unwrap());
                true
            });
            read.map(|()| seen).unwrap()
        };
        let none: [&str; 0] = [];
        assert_eq!(news(), none, "no log");
        std::fs::write(&path, encode([])).unwrap();
        assert_eq!(news(), none);
        append(&path, [b"one".as_slice(), b"two"]).unwrap();
        assert_eq!(news(), ["one", "two"]);
        append(&path, [b"three".as_slice()]).unwrap();
        assert_eq!(news(), ["three"]);
        assert_eq!(news(), none);
        // Half of a record, as it is being written.
        let mut four = Vec::new();
        frame(&mut four, b"four");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&four[..14]).unwrap();
        assert_eq!(news(), none);
        file.write_all(&four[14..]).unwrap();
        assert_eq!(news(), ["four"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(news(), none);
        std::fs::write(&path, encode([b"new".as_slice()])).unwrap();
        assert_eq!(news(), ["new"]);
    }
}
