//! A remote that is a folder: what two stores exchange through it, and what is made of damage and lies there.

#[path = "../common/mod.rs"]
mod common;
mod lies;
mod results;
mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{key, open};
use pipe_cache::{Remote, RemoteMode, RemoteOptions, Store};

fn remote(folder: &Path) -> Remote {
    remote_of(folder, RemoteMode::Both)
}

fn remote_of(folder: &Path, mode: RemoteMode) -> Remote {
    Remote::open(&RemoteOptions { mode, ..RemoteOptions::new(format!("file://{}", folder.display())) }).unwrap()
}

fn push(remote: &Remote, store: &Store, n: u64) {
    remote.submit(store, &key(n), false);
    remote.wait(&|| false);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { all.push(path) }
        }
    }
    all.sort();
    all
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self, name: &str) -> Store {
        open(&self.dir.path().join(name))
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("remote")
    }
}
