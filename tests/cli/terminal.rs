//! The binary on a terminal of its own: what a person sees, column by column.

use std::{
    fs::File,
    io::Read,
    num::NonZero,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
    ptr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A process on a pseudo-terminal, and the screen that it has written so far.
pub(crate) struct Terminal {
    child: Child,
    ours: OwnedFd,
    bytes: mpsc::Receiver<Vec<u8>>,
    pub(crate) screen: vt100::Parser,
    /// All that was written.
    pub(crate) written: Vec<u8>,
}

impl Terminal {
    /// Starts a command on a terminal of that size. What it prints as data goes to `stdout`, or to the terminal.
    pub(crate) fn start(mut command: Command, (rows, columns): (u16, u16), stdout: Option<Stdio>) -> Self {
        let (mut ours, mut theirs) = (-1, -1);
        let size = winsize(rows, columns);
        // SAFETY: the numbers are written to, the size is read, and null asks for nothing.
        let opened =
            unsafe { libc::openpty(&raw mut ours, &raw mut theirs, ptr::null_mut(), ptr::null(), &raw const size) };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: both were opened just now, and nobody else has them.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let own = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(own()).stdout(stdout.unwrap_or_else(own)).stderr(own());
        let control = || {
            // SAFETY: system calls without memory of ours; stdin is the terminal.
            let done = unsafe { libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) >= 0 };
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec, this makes two system calls and allocates nothing.
        unsafe { command.pre_exec(control) };
        let child = command.spawn().unwrap();
        drop((command, theirs));
        let mut reader = File::from(ours.try_clone().unwrap());
        let (sender, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last end of the terminal that is closed makes reading fail.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, ours, bytes, screen: vt100::Parser::new(some(rows), some(columns), 1000), written: Vec::new() }
    }

    /// Follows what is written, piece by piece, until `enough` says so of the screen.
    pub(crate) fn until(&mut self, mut enough: impl FnMut(&vt100::Screen) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !enough(self.screen.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it was waited for in vain:\n{}", self.screen.screen().contents());
            match self.bytes.recv_timeout(left.min(Duration::from_millis(100))) {
                Ok(bytes) => self.take(&bytes),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(e) => panic!("{e}: it ended before:\n{}", self.screen.screen().contents()),
            }
        }
    }

    /// Follows it to its end; `seen` looks at every screen on the way.
    pub(crate) fn ended(&mut self, mut seen: impl FnMut(&vt100::Screen)) -> ExitStatus {
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_secs(60)) {
            self.take(&bytes);
            seen(self.screen.screen());
        }
        self.child.wait().unwrap()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.written.extend_from_slice(bytes);
    }

    /// Gives the terminal another size, and tells the process.
    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        let size = winsize(rows, columns);
        // SAFETY: the size is read; the number is that of the open terminal.
        let told = unsafe { libc::ioctl(self.ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(told, 0);
        self.screen.screen_mut().set_size(some(rows), some(columns));
    }

    /// Types a key.
    pub(crate) fn key(&self, key: u8) {
        // SAFETY: one byte is read from `key`, which outlives the call.
        let written = unsafe { libc::write(self.ours.as_raw_fd(), (&raw const key).cast(), 1) };
        assert_eq!(written, 1);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

fn winsize(ws_row: u16, ws_col: u16) -> libc::winsize {
    libc::winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The lines of a screen, each as it was written however many rows it takes, without the empty ones at its end.
pub(crate) fn lines(screen: &vt100::Screen) -> Vec<String> {
    let columns = screen.size().1.get();
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for (row, text) in (0..).zip(screen.rows(0, columns)) {
        match lines.last_mut().filter(|_| goes_on) {
            Some(line) => *line += &text,
            None => lines.push(text),
        }
        goes_on = screen.row_wrapped(row);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}
