//! Where the files of a model are read from: a folder, or the program itself.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

/// A model that a program carries with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Its name, such as `models/nano`; in messages `builtin:` stands in front of it.
    pub name: &'static str,
    /// Its files, as they would lie in a folder.
    pub files: &'static [(&'static str, &'static [u8])],
}

impl Carried {
    /// What it is called in messages.
    pub fn place(&self) -> PathBuf {
        format!("builtin:{}", self.name).into()
    }
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Carried({})", self.name)
    }
}

/// A model's folder.
#[derive(Debug, Clone, Copy)]
pub enum Folder<'a> {
    /// On this machine.
    Disk(&'a Path),
    /// In the program.
    Carried(Carried),
}

impl<'a> From<&'a Path> for Folder<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Disk(path)
    }
}

impl<'a> From<&'a PathBuf> for Folder<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::Disk(path)
    }
}

impl From<Carried> for Folder<'_> {
    fn from(carried: Carried) -> Self {
        Self::Carried(carried)
    }
}

impl Folder<'_> {
    /// A file's path, for messages and, on disk, to be read.
    pub fn place(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(dir) => dir.join(name),
            Self::Carried(carried) => carried.place().join(name),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// As [`std::fs::read`].
    pub fn bytes(&self, name: &str) -> io::Result<Cow<'static, [u8]>> {
        match self {
            Self::Disk(dir) => std::fs::read(dir.join(name)).map(Cow::Owned),
            Self::Carried(carried) => {
                let file = carried.files.iter().find(|(file, _)| *file == name);
                file.map(|(_, bytes)| Cow::Borrowed(*bytes)).ok_or_else(|| io::ErrorKind::NotFound.into())
            }
        }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// As [`std::fs::read_to_string`].
    pub fn text(&self, name: &str) -> io::Result<String> {
        match self {
            Self::Disk(dir) => std::fs::read_to_string(dir.join(name)),
            Self::Carried(_) => String::from_utf8(self.bytes(name)?.into_owned())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8")),
        }
    }
}
