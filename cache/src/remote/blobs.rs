//! Files as objects: whole up to 64 MiB, and beyond that in parts, so that what was cut off goes on where it was. All
//! bytes are hashed as they arrive.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    line::Line,
    names,
    record::Blob,
    transport::{Answer, Content, Transport},
};
use crate::{
    disk::{
        checked_json::{self, Broken},
        paths,
    },
    error::{IoContext, StoreError},
    hash::Digest,
    share::lock,
    store::Store,
};

/// Larger files go in parts of this size.
pub(super) const PART: u64 = 64 << 20;
/// The longest list of parts: some 10 TB.
const MOST_PARTS: u64 = 32 << 20;
const PARTS_FORMAT: u32 = 1;

/// The parts of a large file.
#[derive(Serialize, Deserialize)]
struct Parts {
    format: u32,
    digest: Digest,
    bytes: u64,
    members: Vec<Blob>,
}

/// Writes a file's bytes to `to`, which is not there yet. `Ok(false)` when the remote lacks any of it.
pub(super) fn fetch(line: &Line, store: &Store, blob: &Blob, to: &Path) -> Result<bool, Fault> {
    if blob.bytes > PART {
        return fetch_parts(line, store, blob, to);
    }
    let mut file = File::create_new(to).at("write", to)?;
    fetch_into(line, blob, &mut file, 0)
}

/// A small object in memory.
pub(super) fn fetch_small(line: &Line, blob: &Blob, most: u64) -> Result<Option<Vec<u8>>, Fault> {
    let name = names::blob(&blob.digest);
    let Some(bytes) = line.small("read", &name, blob.bytes.min(most))? else { return Ok(None) };
    if Digest::of_bytes(&bytes) != blob.digest {
        return Err(line.unusable(&name, Fault::Damaged("its bytes do not hash to its name".to_owned())));
    }
    Ok(Some(bytes))
}

/// Writes an object's bytes into a file, from `at` on. What arrived before a connection broke is kept.
fn fetch_into(line: &Line, blob: &Blob, file: &mut File, at: u64) -> Result<bool, Fault> {
    let name = names::blob(&blob.digest);
    let mut incoming = Incoming { blob: *blob, file, at, have: 0, hasher: blake3::Hasher::new() };
    line.ask("read", &name, |transport| incoming.go_on(transport, &name))
}

/// An object on its way into a file.
struct Incoming<'a> {
    blob: Blob,
    file: &'a mut File,
    at: u64,
    have: u64,
    hasher: blake3::Hasher,
}

impl Incoming<'_> {
    fn go_on(&mut self, transport: &dyn Transport, name: &str) -> Result<bool, Fault> {
        let answer = match transport.get(name, self.have) {
            // Nothing stands behind what we have: it is shorter than it should be.
            Err(Fault::Status { status: 416, .. }) => return Err(self.damaged("it ends too early")),
            answer => answer?,
        };
        let Some(Answer { from, mut body }) = answer else { return Ok(false) };
        if from != self.have {
            self.start_over();
            if from != 0 {
                return Err(Fault::Damaged("another part of it was sent than was asked for".to_owned()));
            }
        }
        self.file.seek(SeekFrom::Start(self.at + self.have)).map_err(local)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Fault::broken(&e)),
            };
            if self.have + n as u64 > self.blob.bytes {
                return Err(self.damaged("it is longer than it should be"));
            }
            self.file.write_all(&buffer[..n]).map_err(local)?;
            self.hasher.update(&buffer[..n]);
            self.have += n as u64;
        }
        if self.have < self.blob.bytes {
            return Err(Fault::Broken("it ended before all bytes were there".to_owned()));
        }
        if *self.hasher.finalize().as_bytes() != *self.blob.digest.as_bytes() {
            return Err(self.damaged("its bytes do not hash to its name"));
        }
        Ok(true)
    }

    fn start_over(&mut self) {
        self.have = 0;
        self.hasher = blake3::Hasher::new();
    }

    fn damaged(&mut self, why: &str) -> Fault {
        self.start_over();
        Fault::Damaged(why.to_owned())
    }
}

fn local(e: io::Error) -> Fault {
    Fault::Local(StoreError::io("write", Path::new("an object of the remote"), e))
}

/// A large file is put together in `parts/`, where it is found again by who goes on after a cut, or another process.
fn fetch_parts(line: &Line, store: &Store, blob: &Blob, to: &Path) -> Result<bool, Fault> {
    let Some(parts) = list_of_parts(line, blob)? else { return Ok(false) };
    let path = store.layout().parts(&blob.digest);
    let held = hold(store, &path)?;
    let mine = held.is_some();
    let (mut file, path) = match held {
        Some(file) => (file, path.as_path()),
        None => (File::create_new(to).at("write", to)?, to),
    };
    let mut whole = blake3::Hasher::new();
    let mut at = 0;
    let mut fresh = false;
    for part in &parts {
        // What an earlier attempt left is used as far as its bytes are right.
        fresh = fresh
            || digest_of(&mut file, at..at + part.bytes, &mut whole.clone()).at("read", path)? != Some(part.digest);
        if fresh {
            file.set_len(at).at("write", path)?;
            if !fetch_into(line, part, &mut file, at)? {
                return Ok(false);
            }
        }
        digest_of(&mut file, at..at + part.bytes, &mut whole).at("read", path)?;
        at += part.bytes;
    }
    file.set_len(at).at("write", path)?;
    if *whole.finalize().as_bytes() != *blob.digest.as_bytes() {
        let _ = paths::remove(path);
        let why = "the parts that it names do not make the file".to_owned();
        return Err(line.unusable(&names::parts(&blob.digest), Fault::Damaged(why)));
    }
    // Still held, so that nobody takes it for one that was left behind.
    if mine {
        paths::rename(path, to).at("write", to)?;
    }
    Ok(true)
}

/// Opens the file at `path` for this fetch alone, and makes it where it is missing. `None` when somebody else may be
/// writing to it: then each fetches for himself.
fn hold(store: &Store, path: &Path) -> Result<Option<File>, StoreError> {
    if !store.layout().locks() {
        return Ok(None);
    }
    store.make_dir(path.parent().unwrap_or(path))?;
    loop {
        let file = lock::create(path).at("open", path)?;
        if !lock::try_exclusive(&file).unwrap_or(false) {
            return Ok(None);
        }
        // Whoever had it before may have put it into the store since it was opened here.
        let held = file.metadata().at("read", path)?;
        if fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            return Ok(Some(file));
        }
    }
}

/// The digest of a part of a file, which `whole` takes in, too; `None` where the file ends before it.
fn digest_of(file: &mut File, range: Range<u64>, whole: &mut blake3::Hasher) -> io::Result<Option<Digest>> {
    if file.metadata()?.len() < range.end {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(range.start))?;
    let mut part = blake3::Hasher::new();
    let mut left = file.take(range.end - range.start);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = left.read(&mut buffer)?;
        if n == 0 {
            return Ok((left.limit() == 0).then(|| Digest::from_bytes(*part.finalize().as_bytes())));
        }
        part.update(&buffer[..n]);
        whole.update(&buffer[..n]);
    }
}

/// The objects that a list of parts names; none where it is damaged.
pub(super) fn names_of_parts(line: &Line, list: &str) -> Result<Vec<String>, Fault> {
    let Some(bytes) = line.small("read", list, MOST_PARTS)? else { return Ok(Vec::new()) };
    let parts = match checked_json::decode::<Parts>(&bytes, PARTS_FORMAT) {
        Ok(parts) => parts.members,
        Err(Broken::Damaged(_)) => Vec::new(),
        Err(newer) => return Err(newer.into()),
    };
    Ok(parts.iter().map(|part| names::blob(&part.digest)).collect())
}

fn list_of_parts(line: &Line, blob: &Blob) -> Result<Option<Vec<Blob>>, Fault> {
    let name = names::parts(&blob.digest);
    let Some(bytes) = line.small("read", &name, MOST_PARTS)? else { return Ok(None) };
    // A part of no bytes, or larger than a part, was written by nobody of us.
    let sound = |parts: &Parts| {
        (parts.digest, parts.bytes) == (blob.digest, blob.bytes)
            && parts.members.iter().all(|part| (1..=PART).contains(&part.bytes))
            && parts.members.iter().map(|part| part.bytes).sum::<u64>() == blob.bytes
    };
    let fault = match checked_json::decode::<Parts>(&bytes, PARTS_FORMAT) {
        Ok(parts) if sound(&parts) => return Ok(Some(parts.members)),
        Ok(_) => Fault::Damaged("it is no list of this file's parts".to_owned()),
        Err(broken) => broken.into(),
    };
    Err(line.unusable(&name, fault))
}

/// Writes a verified file to the remote, unless it has it. Returns how many bytes went.
pub(super) fn send(line: &Line, blob: &Blob, path: &Path, overwrite: bool) -> Result<u64, Fault> {
    if blob.bytes <= PART {
        return send_object(line, blob, &Content::File(path, 0..blob.bytes), overwrite);
    }
    let name = names::parts(&blob.digest);
    if !overwrite && !line.is_damaged(&name) && line.ask("look for", &name, |t| t.head(&name))?.is_some() {
        return Ok(0);
    }
    let mut file = File::open(path).at("open", path)?;
    let (mut sent, mut at) = (0, 0);
    let mut parts = Parts { format: PARTS_FORMAT, digest: blob.digest, bytes: blob.bytes, members: Vec::new() };
    let mut whole = blake3::Hasher::new();
    while at < blob.bytes {
        let end = (at + PART).min(blob.bytes);
        let Some(digest) = digest_of(&mut file, at..end, &mut whole).at("read", path)? else {
            return Err(Fault::Broken(format!("{} became shorter", path.display())));
        };
        let part = Blob { digest, bytes: end - at };
        sent += send_object(line, &part, &Content::File(path, at..end), overwrite)?;
        parts.members.push(part);
        at = end;
    }
    line.ask("write", &name, |t| t.put(&name, &Content::Bytes(&checked_json::encode(&parts)), false))?;
    line.mended(&name);
    Ok(sent)
}

/// Writes an object, unless the remote has one of that size.
pub(super) fn send_object(line: &Line, blob: &Blob, content: &Content<'_>, overwrite: bool) -> Result<u64, Fault> {
    let name = names::blob(&blob.digest);
    let there = || line.ask("look for", &name, |t| t.head(&name));
    if !overwrite && !line.is_damaged(&name) && there()? == Some(blob.bytes) {
        return Ok(0);
    }
    line.ask("write", &name, |t| t.put(&name, content, false))?;
    line.mended(&name);
    Ok(blob.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[test]
    fn one_alone_writes_to_a_file_that_is_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("a"), StoreOptions::default()).unwrap();
        let path = store.layout().parts(&Digest::of_bytes(b"large"));
        let mine = hold(&store, &path).unwrap().unwrap();
        assert!(hold(&store, &path).unwrap().is_none());
        // Whoever waited for it with the file open finds that it has gone into the store.
        let waiting = lock::create(&path).unwrap();
        fs::rename(&path, dir.path().join("whole")).unwrap();
        drop(mine);
        let next = hold(&store, &path).unwrap().unwrap();
        assert_ne!(next.metadata().unwrap().ino(), waiting.metadata().unwrap().ino());
        // Where locks reach no other machine, nothing is shared.
        let options = StoreOptions { no_locks: true, ..StoreOptions::default() };
        assert!(hold(&Store::open(dir.path().join("b"), options).unwrap(), &path).unwrap().is_none());
    }
}
