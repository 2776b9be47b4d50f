//! The parameter `engine`: which program trains, and what of it enters the key.

use std::{collections::BTreeMap, path::Path};

use pipe_cache::Digest;
use pipe_engine::{
    diag,
    kind::{Finder, ParamProblem, Source, SourceHost, StageError},
    spec::{BUILTIN, is_builtin, join},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::versions;
use crate::{
    builtin,
    model::NUMERIC_CLASS,
    programs::{self, calls},
};

/// A trainer of yours, in place of the built-in one: a program that is given tokenised rows, step by step, and leaves
/// an adapter in PEFT's layout.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The program and its arguments; no shell looks at them. Behind them comes the folder with `config.json` and
    /// `rows.parquet`. The files that it names enter the key by content, but for a program that is looked up in PATH or
    /// lies in a folder `bin`. `builtin:peft_trainer.py` is the one that pipe carries, for transformers and PEFT.
    #[schemars(length(min = 1), extend("x-words" = true))]
    pub program: Vec<String>,
    /// Further files that the program reads, such as modules of its own; they enter the key by content. Patterns are
    /// allowed.
    #[serde(default)]
    #[schemars(extend("x-path" = true))]
    pub sources: Vec<String>,
    /// The versions that it must run with, by name: `{ torch: 2.9.1, peft: 0.18.0 }`. They enter the key, and the
    /// trainer says what it has before it begins. In place of those that the script's own list of dependencies
    /// (`# /// script`) pins with `==`, name by name.
    #[serde(default)]
    #[schemars(extend("x-words" = true))]
    pub versions: BTreeMap<String, String>,
    /// Environment variables that the result depends on.
    #[serde(default)]
    pub env: Vec<String>,
    /// Environment variables that the program needs and that do not change its result, besides those that say which
    /// GPUs there are.
    #[serde(default)]
    pub pass_env: Vec<String>,
}

/// Variables by which a machine, or its scheduler, tells programs of its GPUs.
const GPU_ENV: [&str; 9] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "CUBLAS_WORKSPACE_CONFIG",
];

impl Engine {
    /// What makes no sense.
    pub(in crate::kinds::train) fn problems(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: String, message: String, help: &str| {
            problems.push(ParamProblem { pointer, message, help: Some(help.into()) });
        };
        if self.program.first().is_none_or(String::is_empty) {
            let help = "for example `program: [python3, trainer.py]`";
            problem("/engine/program".into(), "there is nothing to run".into(), help);
        }
        for (i, word) in self.program.iter().enumerate() {
            if diag::redact(word) != *word {
                let help = "keep them in an environment variable, and name it under `pass_env`";
                let message = "credentials in an address would be shown with every result".into();
                problem(format!("/engine/program/{i}"), message, help);
            }
        }
        for (list, names) in [("env", &self.env), ("pass_env", &self.pass_env)] {
            for (i, name) in names.iter().enumerate().filter(|(_, name)| name.starts_with("PIPE_")) {
                let message = format!("`{name}` is set by pipe itself");
                problem(format!("/engine/{list}/{i}"), message, "use a name of your own");
            }
        }
        problems
    }

    /// What of the program enters the key: the numeric class `external` with its digest, in place of this machine's,
    /// and what it reads besides.
    pub(in crate::kinds::train) fn key_sources(&self) -> Vec<Source> {
        let engine = self.clone();
        let class = Source::Found {
            label: NUMERIC_CLASS.to_owned(),
            near: self.program.iter().filter(|word| !is_builtin(Path::new(word))).cloned().collect(),
            find: Finder::new(move |host| engine.class(host)),
        };
        std::iter::once(class).chain(calls::sources(&self.sources, &self.env)).collect()
    }

    fn class(&self, host: &dyn SourceHost) -> Result<Value, StageError> {
        let word = |(i, word): (usize, &String)| {
            Ok(match self.file(i, host.base_dir()) {
                Some(File::Disk(path)) => json!({ "file": host.digest(&path)?.to_string() }),
                // As of a file with these bytes: it is the same program.
                Some(File::Carried(bytes)) => json!({ "file": Digest::of_bytes(bytes).to_string() }),
                None if i == 0 => json!(name_of(word)),
                None => json!(word),
            })
        };
        let program = self.program.iter().enumerate().map(word).collect::<Result<Vec<_>, StageError>>()?;
        Ok(json!({ "external": { "program": program, "versions": self.pinned(host.base_dir())? } }))
    }

    /// The versions that it must run with: those of its own list, and those that are given.
    ///
    /// # Errors
    /// Its list of dependencies cannot be read; there is no such built-in file.
    pub(super) fn pinned(&self, folder: &Path) -> Result<BTreeMap<String, String>, StageError> {
        let mut pinned = BTreeMap::new();
        for i in 0..self.program.len() {
            let text = match self.file(i, folder) {
                Some(File::Disk(path)) => std::fs::read(&path).unwrap_or_default(),
                Some(File::Carried(bytes)) => bytes.to_vec(),
                None => continue,
            };
            pinned.extend(versions::of_script(&self.program[i], &String::from_utf8_lossy(&text))?);
        }
        pinned.extend(self.versions.iter().map(|(name, version)| (versions::normal(name), version.clone())));
        Ok(pinned)
    }

    /// The file that a word names, if it is one that counts.
    fn file(&self, i: usize, folder: &Path) -> Option<File> {
        let word = self.program.get(i)?;
        if is_builtin(Path::new(word)) {
            // That there is none is told by `look`, and by `words`.
            return builtin::file(word).ok().map(|(_, bytes)| File::Carried(bytes));
        }
        let path = join(folder, Path::new(word));
        let installed = i == 0 && (!word.contains('/') || path.parent().is_some_and(|parent| parent.ends_with("bin")));
        (!installed && path.is_file()).then_some(File::Disk(path))
    }

    /// The words of the command, with a copy in `workdir` of each file that pipe carries.
    ///
    /// # Errors
    /// A copy cannot be written; there is no such built-in file.
    pub(super) fn words(&self, workdir: &Path) -> Result<Vec<String>, StageError> {
        let word = |word: &String| {
            if !is_builtin(Path::new(word)) {
                return Ok(word.clone());
            }
            let (name, bytes) = builtin::file(word).map_err(builtin::told)?;
            let copy = workdir.join(name.rsplit('/').next().unwrap_or(name));
            std::fs::write(&copy, bytes).map_err(|e| StageError::other(format!("write {}", copy.display()), e))?;
            Ok(copy.to_string_lossy().into_owned())
        };
        self.program.iter().map(word).collect()
    }

    /// The variables that are handed over, if they are set.
    pub(super) fn passed(&self) -> impl Iterator<Item = &str> {
        GPU_ENV.into_iter().chain(self.env.iter().chain(&self.pass_env).map(String::as_str))
    }

    /// Whether it can be called: before a run.
    ///
    /// # Errors
    /// There is no such program or built-in file; its list of dependencies cannot be read.
    pub(in crate::kinds::train) fn look(&self, host: &dyn SourceHost) -> Result<(), StageError> {
        for word in self.program.iter().filter(|word| is_builtin(Path::new(word))) {
            builtin::file(word).map_err(builtin::told)?;
        }
        if let Some(name) = self.program.first().filter(|word| !is_builtin(Path::new(word))) {
            programs::find(name, host.base_dir(), host.env("PATH"))?;
        }
        self.pinned(host.base_dir()).map(drop)
    }

    /// What it is called in messages: the first file that it names, or else its first word.
    pub(in crate::kinds::train) fn name(&self, folder: &Path) -> &str {
        let file = (0..self.program.len()).find(|i| self.file(*i, folder).is_some()).unwrap_or(0);
        self.program.get(file).map_or("", |word| name_of(word))
    }
}

enum File {
    Disk(std::path::PathBuf),
    Carried(&'static [u8]),
}

/// The last part of a path. Of Python's interpreters no more than that they are: they have many names, and `versions`
/// tells them apart.
fn name_of(word: &str) -> &str {
    let word = word.strip_prefix(BUILTIN).unwrap_or(word);
    let name = word.rsplit('/').next().unwrap_or(word);
    if name.starts_with("python") && !name.contains(".py") { "python" } else { name }
}
