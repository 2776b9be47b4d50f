//! `file://`: a folder, as on a disk that several machines mount.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::UNIX_EPOCH,
};

use super::{
    fault::Fault,
    names,
    stop::Stop,
    transport::{Answer, Content, Listed, Transport},
};
use crate::disk::paths;

/// A folder whose files are the objects.
pub(super) struct Folder {
    root: PathBuf,
    /// Whether objects were seen there. If they are gone then, the folder is: what is mounted may go, and what is found
    /// in its place says nothing of what there is.
    seen: AtomicBool,
    stop: Stop,
}

impl Folder {
    pub(super) fn new(root: PathBuf, stop: Stop) -> Self {
        let seen = root.join(names::VERSION).is_dir().into();
        Self { root, seen, stop }
    }

    /// An error where objects were seen, and there is nothing now.
    fn look(&self) -> io::Result<()> {
        if self.root.join(names::VERSION).is_dir() {
            self.seen.store(true, Ordering::Relaxed);
        } else if self.seen.load(Ordering::Relaxed) {
            let said = format!("the folder {} is gone, or what was in it", self.root.display());
            return Err(io::Error::new(io::ErrorKind::NotConnected, said));
        }
        Ok(())
    }

    /// What there is of an object; nothing is an answer only while the folder is there.
    fn found<T>(&self, outcome: io::Result<T>) -> Result<Option<T>, Fault> {
        let found = found(outcome)?;
        if found.is_none() {
            self.look().map_err(|e| failed(&e))?;
        }
        Ok(found)
    }

    fn write(&self, name: &str, reader: &mut impl Read, only_new: bool) -> io::Result<bool> {
        self.look()?;
        let path = self.root.join(name);
        if only_new && path.exists() {
            return Ok(false);
        }
        let unfinished = self.root.join(names::UNFINISHED);
        fs::create_dir_all(&unfinished)?;
        // Its name is drawn, and nobody else's: hosts may be called the same, and count their processes the same.
        // Others may read it, as far as the umask lets them.
        let temp = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(&unfinished)?;
        let (mut file, temp) = temp.into_parts();
        io::copy(reader, &mut file)?;
        drop(file);
        // Once it has its name there is nothing left to remove.
        if only_new { paths::place(&temp, &path) } else { paths::rename(&temp, &path).map(|()| true) }
    }
}

/// What a failure of the file system says to who asked.
fn failed(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Fault::forbidden(),
        _ => Fault::broken(error),
    }
}

fn found<T>(outcome: io::Result<T>) -> Result<Option<T>, Fault> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(failed(&e)),
    }
}

impl Transport for Folder {
    fn head(&self, name: &str) -> Result<Option<u64>, Fault> {
        Ok(self.found(fs::metadata(self.root.join(name)))?.map(|meta| meta.len()))
    }

    fn get(&self, name: &str, from: u64) -> Result<Option<Answer>, Fault> {
        let Some(mut file) = self.found(File::open(self.root.join(name)))? else { return Ok(None) };
        file.seek(SeekFrom::Start(from)).map_err(|e| failed(&e))?;
        Ok(Some(Answer { from, body: Box::new(self.stop.watch(file)) }))
    }

    fn put(&self, name: &str, content: &Content<'_>, only_new: bool) -> Result<bool, Fault> {
        let mut reader = content.reader(&self.stop)?;
        self.write(name, &mut reader, only_new).map_err(|e| reader.failed().unwrap_or_else(|| failed(&e)))
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, Fault> {
        // Prefixes of ours end in `/`: they are folders.
        let mut all = Vec::new();
        self.look().map_err(|e| failed(&e))?;
        walk(&self.root.join(prefix), prefix.trim_end_matches('/'), &mut all).map_err(|e| failed(&e))?;
        all.retain(|listed| after.is_none_or(|after| listed.name.as_str() > after));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn delete(&self, names: &[String]) -> Result<(), Fault> {
        for name in names {
            found(fs::remove_file(self.root.join(name)))?;
        }
        Ok(())
    }
}

fn walk(dir: &Path, name: &str, all: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let name = if name.is_empty() { file } else { format!("{name}/{file}") };
        let meta = match entry.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        if meta.is_dir() {
            walk(&entry.path(), &name, all)?;
        } else {
            let written = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let written_ms = written.map_or(0, |since| since.as_millis() as u64);
            all.push(Listed { name, bytes: meta.len(), written_ms });
        }
    }
    Ok(())
}
