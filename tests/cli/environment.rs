//! A folder with files in it, and the binary to run there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A project of its own, gone at the end.
pub(crate) struct TestEnvironment {
    dir: TempDir,
}

/// What a run of the binary left.
pub(crate) struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl TestEnvironment {
    /// An empty project.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Marks the project's root, so that a store further up is never found.
        fs::create_dir(dir.path().join(".git")).unwrap();
        Self { dir }
    }

    /// A project with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let this = Self::new();
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// The binary with these arguments, in an environment that holds nothing but PATH.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Runs it to its end.
    pub(crate) fn pipe(&self, arguments: &[&str]) -> Outcome {
        self.outcome(self.command(arguments).output().unwrap())
    }

    /// Runs it, and expects success.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.pipe(arguments);
        assert_eq!(outcome.code, Some(0), "pipe {}\n{}{}", arguments.join(" "), outcome.stdout, outcome.stderr);
        outcome
    }

    /// Runs it, and parses what it prints as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(arguments).stdout).unwrap()
    }

    /// Runs the pipeline; returns the sorted labels of the stages that were computed.
    pub(crate) fn ran(&self, arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<&str> = ["run", "p.yaml", "--format", "json"].iter().chain(arguments).copied().collect();
        let mut labels: Vec<String> = (self.ok(&arguments).stdout.lines())
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|event| event["event"] == "finished")
            .map(|event| event["node"]["label"].as_str().unwrap().to_owned())
            .collect();
        labels.sort();
        labels
    }

    /// What came out, with this folder's name taken out.
    pub(crate) fn outcome(&self, output: Output) -> Outcome {
        let text = |bytes: Vec<u8>| {
            let folder = format!("{}/", self.path().display());
            String::from_utf8(bytes).unwrap().replace(&folder, "")
        };
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
