//! Digests of files: of what lies there, and of what is being written.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use super::Digest;
use crate::error::{Damage, damage};

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

/// The words for bytes that do not hash to their name.
pub(crate) fn wrong_digest(path: &Path, expected: &Digest, found: &Digest) -> Damage {
    damage(path, format!("its bytes hash to {found:?}, not {expected:?}"))
}
