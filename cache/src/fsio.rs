//! Small file-system operations that the other modules share.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Digest, StoreError, error::IoContext};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Renames into place, making the parent directory where it is missing.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::rename(from, to)
        }
        other => other,
    }
}

/// Replaces `target` by `bytes` in one step, through `temp` on the same file system. Not synced.
pub(crate) fn replace(temp: &Path, target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(temp).and_then(|mut f| f.write_all(bytes)).at("write", temp);
    written.and_then(|()| rename(temp, target).at("write", target)).inspect_err(|_| {
        let _ = fs::remove_file(temp);
    })
}

/// Removes a file or a whole directory; missing is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let done = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The entries of a directory, sorted by name; none when it does not exist.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("list", dir, e)),
    };
    let mut paths = entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>().at("list", dir)?;
    paths.sort();
    Ok(paths)
}

/// The entries of the directories in a directory (`objects/ab/...`), sorted.
pub(crate) fn list_fanned(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    for sub in list(dir)? {
        paths.extend(list(&sub)?);
    }
    Ok(paths)
}

/// The name of a path without its extension, as a digest.
pub(crate) fn digest_name(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Size of a file, or of all files below a directory.
pub(crate) fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => list(path).unwrap_or_default().iter().map(|p| size_of(p)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

/// The digest of a file's bytes, and their number. Large files are hashed on all cores.
///
/// The file is read rather than mapped: a mapped file that somebody truncates kills the process.
pub(crate) fn hash_file(path: &Path) -> io::Result<(Digest, u64)> {
    const CHUNK: usize = 8 << 20;
    let mut file = File::open(path)?;
    let size = file.metadata()?.len() as usize;
    let mut buffer = vec![0; size.clamp(1, CHUNK)];
    let mut hasher = blake3::Hasher::new();
    let mut total = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if filled >= 1 << 20 {
            hasher.update_rayon(&buffer[..filled]);
        } else {
            hasher.update(&buffer[..filled]);
        }
        total += filled as u64;
        if filled < buffer.len() || filled == 0 {
            return Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), total));
        }
    }
}

/// A file that is hashed as it is written.
pub(crate) struct HashingFile {
    file: File,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    bytes: u64,
}

impl HashingFile {
    const BUFFER: usize = 128 << 10;

    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        Ok(Self { file, hasher: blake3::Hasher::new(), buffer: Vec::new(), bytes: 0 })
    }

    fn drain(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes out what is buffered; returns the digest of all bytes, and their number.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.drain()?;
        Ok((Digest::from_bytes(*self.hasher.finalize().as_bytes()), self.bytes))
    }
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > Self::BUFFER {
            self.drain()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
