//! `pipe logs --follow`: prints what comes, until nobody writes any more.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use crate::output::{self, color_on_stdout, paint, style};

/// How often is looked for more.
const EVERY: Duration = Duration::from_millis(250);

/// A log that grows.
struct Growing {
    path: PathBuf,
    title: String,
    read_to: u64,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
}

impl Growing {
    /// The lines that have come since the last time; with `all`, also one that is not whole.
    fn news(&mut self, all: bool) -> io::Result<Vec<u8>> {
        let mut text = std::mem::take(&mut self.rest);
        match File::open(&self.path) {
            Ok(mut file) => {
                if file.metadata()?.len() < self.read_to {
                    // Begun anew by another attempt.
                    self.read_to = 0;
                }
                file.seek(SeekFrom::Start(self.read_to))?;
                self.read_to += file.read_to_end(&mut text)? as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let end = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if !all {
            self.rest = text.split_off(end);
        } else if end < text.len() {
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// What there is to follow just now.
pub(super) struct Sources {
    /// Titles and paths of logs; those that are known already are followed on.
    pub logs: Vec<(String, PathBuf)>,
    /// Whether more may come.
    pub goes_on: bool,
}

/// Prints the logs that `look` finds, as they grow, until it says that nothing more comes. Returns whether anything was
/// printed.
pub(super) fn follow<E: From<io::Error>>(mut look: impl FnMut() -> Result<Sources, E>) -> Result<bool, E> {
    let mut growing: Vec<Growing> = Vec::new();
    let mut last = None;
    loop {
        let Sources { logs, goes_on } = look()?;
        for (title, path) in logs {
            if growing.iter().all(|known| known.path != path) {
                growing.push(Growing { path, title, read_to: 0, rest: Vec::new() });
            }
        }
        let several = growing.len() > 1;
        let mut out = output::stdout();
        for (n, log) in growing.iter_mut().enumerate() {
            let text = log.news(!goes_on)?;
            if text.is_empty() {
                continue;
            }
            if several && last.replace(n) != Some(n) {
                writeln!(out, "{}", paint(format!("==> {} <==", log.title), style::BOLD, color_on_stdout()))?;
            }
            last = Some(n);
            out.write_all(&text)?;
        }
        out.flush()?;
        drop(out);
        if !goes_on {
            return Ok(last.is_some());
        }
        thread::sleep(EVERY);
    }
}
