//! Where the words of an index are: in memory, or in a file.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use memmap2::Mmap;

/// What an index is written to, word by word.
pub trait WriteWords {
    /// Goes on with some words.
    ///
    /// # Errors
    /// They cannot be written.
    fn put(&mut self, words: &[u32]) -> io::Result<()>;
}

impl WriteWords for Vec<u32> {
    fn put(&mut self, words: &[u32]) -> io::Result<()> {
        self.extend_from_slice(words);
        Ok(())
    }
}

/// A file of words, little end first.
pub struct FileWords(BufWriter<File>);

impl FileWords {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }

    /// Writes what is still held.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WriteWords for FileWords {
    fn put(&mut self, words: &[u32]) -> io::Result<()> {
        let mut bytes = [0; 4096];
        for words in words.chunks(bytes.len() / 4) {
            for (four, word) in bytes.chunks_exact_mut(4).zip(words) {
                four.copy_from_slice(&word.to_le_bytes());
            }
            self.0.write_all(&bytes[..4 * words.len()])?;
        }
        Ok(())
    }
}

/// The words of an index.
pub(super) enum Storage {
    Memory(Vec<u32>),
    Mapped(Mmap),
}

impl Storage {
    /// Maps a file; where words do not have their little end first in memory, it is read.
    pub(crate) fn map(path: &Path) -> io::Result<Self> {
        if cfg!(target_endian = "big") {
            let bytes = std::fs::read(path)?;
            let (words, _) = bytes.as_chunks::<4>();
            return Ok(Self::Memory(words.iter().map(|word| u32::from_le_bytes(*word)).collect()));
        }
        let file = File::open(path)?;
        // SAFETY: the files of a store are read-only, and put aside rather than changed when they are found damaged.
        Ok(Self::Mapped(unsafe { Mmap::map(&file) }?))
    }

    pub(crate) fn words(&self) -> &[u32] {
        match self {
            Self::Memory(words) => words,
            Self::Mapped(map) => {
                // SAFETY: every bit pattern is a u32. A map begins at a page, so that nothing is cut off in front.
                let (before, words, _) = unsafe { map.align_to::<u32>() };
                debug_assert!(before.is_empty(), "a map begins at a page");
                words
            }
        }
    }
}
