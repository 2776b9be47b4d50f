//! Tests against programs of others that Python's package index has. They are `#[ignore]`d by name and run when asked
//! for, as `.ci/run` does: `PIPE_TEST_TOOLS=FOLDER cargo test --workspace --tests -- --ignored`.

use std::{path::Path, process::Command};

/// The Python of a virtual environment with the packages of `.ci/run`.
///
/// # Panics
/// `PIPE_TEST_TOOLS` does not name it: a test that was asked for never passes unseen.
pub(crate) fn python() -> Command {
    let tools = std::env::var_os("PIPE_TEST_TOOLS").expect("PIPE_TEST_TOOLS names a virtual environment");
    let python = Path::new(&tools).join("bin/python");
    assert!(python.exists(), "{} is not there", python.display());
    Command::new(python)
}
