//! Tests on data that is too large, or not ours, to stand in the repository. They are `#[ignore]`d by name and run when
//! asked for, as `.ci/run` does where the data is there: `PIPE_TEST_DATA=FOLDER cargo test --workspace --tests --
//! --ignored`.

use std::path::{Path, PathBuf};

/// The folder `name` of the test data.
///
/// # Panics
/// `PIPE_TEST_DATA` does not name the folder that holds it: a test that was asked for never passes unseen.
pub(crate) fn folder(name: &str) -> PathBuf {
    let data = std::env::var_os("PIPE_TEST_DATA").expect("PIPE_TEST_DATA names the folder of the test data");
    let folder = Path::new(&data).join(name);
    assert!(folder.is_dir(), "{} is not there", folder.display());
    folder
}
