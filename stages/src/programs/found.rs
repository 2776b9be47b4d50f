//! Where a program is, what of the environment it gets, and what it said last.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use pipe_engine::kind::StageError;

/// Passed on if they are set: without them common programs do not start, or write elsewhere.
pub(crate) const BASIC_ENV: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
];
/// Where programs are looked for if the environment does not say it.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Lines of a log that an error shows.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 << 10;

/// The program's file: as given when it has a `/` (relative to the stage's folder), otherwise from PATH.
pub(crate) fn find(name: &str, base_dir: &Path, path: Option<&str>) -> Result<PathBuf, StageError> {
    let path = path.unwrap_or(USUAL_PATH);
    if name.contains('/') {
        let file = base_dir.join(name);
        return if file.is_file() {
            Ok(file)
        } else {
            Err(StageError::user(format!("there is no program {}", file.display())))
        };
    }
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        StageError::user_help(format!("there is no program `{name}` in PATH ({path})"), "install it, or give its path")
    })
}

/// The last lines of a log that a program printed, from the byte `start` on.
pub(crate) fn tail(log: &File, start: u64) -> String {
    let end = log.metadata().map_or(start, |m| m.len());
    let from = start.max(end.saturating_sub(TAIL_BYTES));
    let mut bytes = vec![0; (end - from) as usize];
    if log.read_exact_at(&mut bytes, from).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    // The rest of a line that was cut is left out.
    let lines: Vec<&str> = text.lines().skip(usize::from(from > start)).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
