//! Locks of the kernel on whole files. It frees them when their owner dies, however it dies.
//!
//! On network file systems such a lock is a range lock of the whole file, which wants a descriptor that may do what the
//! lock is for: write for an exclusive one, read for a shared one. All that is locked is therefore opened here, for
//! both.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
};

/// Opens a file that is there, to be locked.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Opens a file to be locked, making it where it is missing.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Locks a file without waiting: `false` when somebody else has it, an error where the file system has no locks.
pub(crate) fn try_exclusive(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Waits for the lock of a file: `false` where the file system has no locks.
pub(crate) fn exclusive(file: &File) -> io::Result<bool> {
    none_is_false(file.lock())
}

/// Waits for a share in the lock of a file: `false` where the file system has no locks.
pub(crate) fn shared(file: &File) -> io::Result<bool> {
    none_is_false(file.lock_shared())
}

fn none_is_false(locked: io::Result<()>) -> io::Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(e) if unsupported(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether an error says that the file system has no locks (ENOSYS, EOPNOTSUPP, ENOLCK).
pub(crate) fn unsupported(e: &io::Error) -> bool {
    const ENOLCK: i32 = 37;
    e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(ENOLCK)
}
