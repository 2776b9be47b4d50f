//! What a remote must be able to do: six questions. Everything else is made of them.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use super::{
    fault::Fault,
    stop::{Stop, Stopped, Watched},
};
use crate::error::{IoContext, StoreError};

/// A place that keeps objects under names (`v1/ac/ab/abc...`). Nothing that it says is believed: whoever reads checks
/// what arrives against a digest.
pub(crate) trait Transport: Send + Sync {
    /// The size of an object; `None` where there is none.
    fn head(&self, name: &str) -> Result<Option<u64>, Fault>;

    /// An object, from byte `from` on if the remote can do that, else from its beginning; `None` where there is none.
    fn get(&self, name: &str, from: u64) -> Result<Option<Answer>, Fault>;

    /// Writes an object as a whole. With `only_new`, one that is there stays, and `false` is returned.
    fn put(&self, name: &str, content: &Content<'_>, only_new: bool) -> Result<bool, Fault>;

    /// Objects whose names begin with `prefix`, sorted by name, from behind `after` on: some of them, and none only
    /// when there are no more.
    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault>;

    /// Removes up to [`DELETED_AT_ONCE`] objects; one that is not there is no failure.
    fn delete(&self, names: &[String]) -> Result<(), Fault>;

    /// Nobody waits for what is under way: whatever is asked just now, by any thread, fails at once, and what is asked
    /// later, too.
    fn cancel(&self) {}
}

/// What S3 takes in one request.
pub(crate) const DELETED_AT_ONCE: usize = 1000;

/// An object on its way here.
pub(crate) struct Answer {
    /// Where it begins.
    pub(crate) from: u64,
    /// The bytes.
    pub(crate) body: Box<dyn Read + Send>,
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The name.
    pub(crate) name: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was written, in milliseconds since 1970, by the remote's clock.
    pub(crate) written_ms: u64,
}

/// What is to be written.
pub(crate) enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part of a file.
    File(&'a Path, Range<u64>),
}

impl Content<'_> {
    /// How many bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, range) => range.end - range.start,
        }
    }

    /// Opens it.
    pub(super) fn reader(&self, stop: &Stop) -> Result<ContentReader<'_>, Fault> {
        let (path, inner): (_, Box<dyn Read + Send>) = match self {
            Self::Bytes(bytes) => (Path::new("memory"), Box::new(Cursor::new(*bytes))),
            Self::File(path, range) => {
                let open = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(range.start))?;
                    Ok(file.take(range.end - range.start))
                };
                (path, Box::new(open().at("read", path)?))
            }
        };
        Ok(ContentReader { path, inner: stop.watch(inner), failed: None })
    }
}

/// Content on its way to a remote, which knows when it was its own side that failed.
pub(super) struct ContentReader<'a> {
    path: &'a Path,
    inner: Watched<Box<dyn Read + Send + 'a>>,
    failed: Option<Fault>,
}

impl ContentReader<'_> {
    /// What went wrong while it was read.
    pub(super) fn failed(self) -> Option<Fault> {
        self.failed
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|e| {
            self.failed = match e.kind() {
                io::ErrorKind::Interrupted => None,
                _ if Stopped::is(e) => Some(Fault::Cancelled),
                kind => Some(Fault::Local(StoreError::io("read", self.path, kind.into()))),
            };
        })
    }
}
