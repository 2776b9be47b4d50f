//! The exit codes; `pipe --help` lists them.

use std::process::ExitCode;

/// How the process ends. Clap's own usage errors end with [`Exit::Usage`]'s code, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// A stage failed; for `plan`, one cannot run; for `check`, data does not fit; for `compare`, a gate does not hold.
    StageFailed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The pipeline file is wrong.
    InvalidPipeline = 3,
    /// A file or the store could not be read or written.
    Io = 4,
    /// `verify` found damage.
    Damaged = 5,
    /// There is no stage, variant, run or result of that name.
    NotFound = 6,
    /// A worker ended in good order, because it was told to or its time was up, and there is more to do.
    MoreToDo = 75,
    /// Cancelled by Ctrl-C or another signal (SIGTERM, SIGHUP, SIGQUIT, ...).
    Cancelled = 130,
}

/// The table at the end of `pipe --help`.
pub(crate) const HELP: &str = "Exit codes:
    0  all is well
    1  a stage failed (plan: cannot run; check: data does not fit; compare: a gate does not hold)
    2  the command line makes no sense
    3  the pipeline file is wrong
    4  a file or the store could not be read or written
    5  `verify` found damage
    6  there is no stage, variant, run or result of that name
   75  `run --worker` was told to end, or has too little time left, and there is more to do: start another
  130  cancelled by Ctrl-C, SIGTERM or another signal";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
