//! Reading a pipeline file and everything it includes.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use indexmap::{IndexMap, map::Entry};

use super::{
    PipelineSpec, StageSpec, VarDef,
    builtin::{BUILTIN, Builtins, Content, folder_of, is_builtin, join},
    like,
    read::{FileSpec, read_file},
};
use crate::{
    diag::{Diagnostic, Span, Texts, plain},
    yaml,
};

/// Most files that one pipeline may be made of.
const MAX_FILES: usize = 64;
/// Most that all its files may hold together, in bytes.
const MAX_BYTES: usize = 2 * yaml::MAX_BYTES;
/// Most definitions that files may take from the files that they include, each time that one is included.
const MAX_JOINED: usize = 500_000;

/// Reads a pipeline file and its includes from disk. Never fails: what is wrong travels in [`PipelineSpec::problems`].
pub fn load(path: &Path) -> PipelineSpec {
    load_among(path, Builtins::default())
}

/// Like [`load`], in a program that carries files itself.
pub fn load_among(path: &Path, builtins: Builtins) -> PipelineSpec {
    load_from(path, builtins, &read_file_bytes)
}

/// Reads a regular file, and no more of it than is needed to see that it is too large: `/dev/zero` and a pipe would
/// never end.
fn read_file_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a device, a pipe or a socket, and no file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Like [`load`], from anywhere: `read` gives a file's bytes.
pub fn load_with(path: &Path, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> PipelineSpec {
    load_from(path, Builtins::default(), read)
}

fn load_from(path: &Path, builtins: Builtins, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> PipelineSpec {
    let mut loader = Loader {
        read,
        builtins,
        texts: Texts::default(),
        problems: Vec::new(),
        files: Vec::new(),
        done: HashMap::new(),
        open: Vec::new(),
        bytes: 0,
        joined: 0,
    };
    let path = &loader.canonical(path, None).unwrap_or_else(|| path.to_owned());
    let unknown = !loader.problems.is_empty();
    let mut spec = if unknown { FileSpec::default() } else { loader.read_one(path, None).unwrap_or_default() };
    let mut shared = loader.shared(path, &mut spec);
    like::apply(&mut shared.stages, &mut loader.problems);
    PipelineSpec {
        name: spec.name.unwrap_or_default(),
        about: spec.about,
        // What a built-in pipeline leaves, it leaves where one works.
        base_dir: if is_builtin(path) { PathBuf::new() } else { folder_of(path) },
        files: loader.files,
        vars: shared.vars,
        factors: spec.factors,
        stages: shared.stages,
        texts: Arc::new(loader.texts),
        problems: loader.problems,
    }
}

/// What a file and its includes define together.
#[derive(Clone, Default)]
struct Shared {
    vars: IndexMap<String, VarDef>,
    stages: IndexMap<String, StageSpec>,
}

struct Loader<'r> {
    read: &'r dyn Fn(&Path) -> io::Result<Vec<u8>>,
    builtins: Builtins,
    texts: Texts,
    problems: Vec<Diagnostic>,
    files: Vec<PathBuf>,
    done: HashMap<PathBuf, Shared>,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
    /// How much was read.
    bytes: usize,
    /// How many definitions were taken from included files.
    joined: usize,
}

impl Loader<'_> {
    /// The one name of a file; of a built-in one it is checked that there is one of that name and revision.
    fn canonical(&mut self, path: &Path, from: Option<Span>) -> Option<PathBuf> {
        if !is_builtin(path) {
            return Some(path.to_owned());
        }
        match self.builtins.find(&path.to_string_lossy()) {
            Ok(found) => Some(format!("{BUILTIN}{}", found.name).into()),
            Err(error) => {
                let problem = Diagnostic::error("file::builtin", error.message).maybe_help(error.help);
                self.problems.push(if let Some(span) = from { problem.at(span, "included here") } else { problem });
                None
            }
        }
    }

    fn bytes_of(&self, path: &Path) -> io::Result<Vec<u8>> {
        if !is_builtin(path) {
            return (self.read)(path);
        }
        match self.builtins.find(&path.to_string_lossy()).map(|found| found.content) {
            Ok(Content::File(bytes)) => Ok(bytes.to_vec()),
            Ok(Content::Folder(_)) => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")),
            Err(error) => Err(io::Error::new(io::ErrorKind::NotFound, error.message)),
        }
    }

    /// Reads one file; `from` is where it is included.
    fn read_one(&mut self, path: &Path, from: Option<Span>) -> Option<FileSpec> {
        let name = plain(path).display().to_string();
        let folder = &folder_of(path);
        let located = |d: Diagnostic| if let Some(span) = from { d.at(span, "included here") } else { d };
        let bytes = match self.bytes_of(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let help = from.map(|_| "paths under `include:` are relative to the file they are in".to_owned());
                let problem =
                    Diagnostic::error("file::read", format!("failed to read {name}: {error}")).maybe_help(help);
                self.problems.push(located(problem));
                return None;
            }
        };
        self.files.push(path.to_owned());
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
        self.bytes += bytes.len();
        if bytes.len() > yaml::MAX_BYTES || self.bytes > MAX_BYTES {
            let (what, limit) = if bytes.len() > yaml::MAX_BYTES {
                (format!("{name} is larger"), yaml::MAX_BYTES)
            } else {
                ("the files of the pipeline are larger".to_owned(), MAX_BYTES)
            };
            let problem = Diagnostic::error("yaml::too_large", format!("{what} than {} MiB", limit >> 20));
            self.problems.push(located(problem.help("keep data in files of their own, and read them with a `table`")));
            return None;
        }
        if let Err(error) = std::str::from_utf8(&bytes) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let at = error.valid_up_to();
            let source = self.texts.add(name, text, folder);
            let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
            let help = if utf16 { "it looks like UTF-16; save it as UTF-8" } else { "save it as UTF-8" };
            self.problems.push(
                Diagnostic::error("file::utf8", "the file is not UTF-8")
                    .at(Span::new(source, at, at + '\u{fffd}'.len_utf8()), "this is no character")
                    .help(help),
            );
            return None;
        }
        let text = String::from_utf8(bytes).expect("it was checked");
        let source = self.texts.add(name, text, folder);
        let text = &self.texts.get(source).text;
        let root = yaml::parse(source, text, &mut self.problems)?;
        Some(read_file(root, from.is_some(), &mut self.problems))
    }

    /// What the file and its includes define; the file's own definitions win.
    fn shared(&mut self, path: &Path, spec: &mut FileSpec) -> Shared {
        let folder = folder_of(path);
        let mut merged = Shared::default();
        let mut seen: Vec<PathBuf> = Vec::new();
        self.open.push(plain(path));
        for (name, span) in std::mem::take(&mut spec.includes) {
            let Some(target) = self.canonical(&join(&folder, Path::new(&name)), Some(span)) else { continue };
            if seen.contains(&plain(&target)) {
                self.problems.push(
                    Diagnostic::error("include::twice", format!("`{name}` is included twice")).at(span, "again here"),
                );
                continue;
            }
            seen.push(plain(&target));
            let more = self.included(&target, span);
            self.join(&mut merged, more, spec, span);
        }
        self.open.pop();
        for (name, var) in &mut spec.vars {
            var.is_shared = merged.vars.contains_key(name);
        }
        merged.vars.extend(std::mem::take(&mut spec.vars));
        for (name, stage) in std::mem::take(&mut spec.stages) {
            match (merged.stages.get(&name), stage.overrides) {
                (Some(earlier), None) => self.problems.push(
                    Diagnostic::error(
                        "include::stage",
                        format!("the stage `{name}` is already defined in an included file"),
                    )
                    .at(stage.span, "defined again here")
                    .at(earlier.span, "first defined here")
                    .help("rename one of them, or add `override: true` to this one to replace the included stage"),
                ),
                (None, Some(span)) => self.problems.push(
                    Diagnostic::error("include::override", format!("the stage `{name}` overrides nothing"))
                        .at(span, "no included file has a stage of that name")
                        .maybe_help(crate::diag::one_of(
                            &name,
                            "included stages",
                            merged.stages.keys().map(String::as_str),
                        )),
                ),
                _ => {}
            }
            merged.stages.insert(name, stage);
        }
        merged
    }

    fn included(&mut self, path: &Path, from: Span) -> Shared {
        let key = plain(path);
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        if let Some(start) = self.open.iter().position(|p| *p == key) {
            let mut cycle: Vec<String> = self.open[start..].iter().map(|p| p.display().to_string()).collect();
            cycle.push(key.display().to_string());
            self.problems.push(
                Diagnostic::error("include::cycle", "files include each other in a circle")
                    .at(from, "this closes the circle")
                    .help(cycle.join(" -> ")),
            );
            return Shared::default();
        }
        if self.files.len() >= MAX_FILES {
            self.problems.push(
                Diagnostic::error("include::too_many", format!("a pipeline is made of at most {MAX_FILES} files"))
                    .at(from, "one too many"),
            );
            return Shared::default();
        }
        let mut spec = self.read_one(path, Some(from)).unwrap_or_default();
        let shared = self.shared(path, &mut spec);
        self.done.insert(key, shared.clone());
        shared
    }

    /// Adds an included file's definitions to those of the files before it. `includer` settles what both define.
    fn join(&mut self, merged: &mut Shared, more: Shared, includer: &FileSpec, from: Span) {
        self.joined += more.vars.len() + more.stages.len();
        if self.joined > MAX_JOINED {
            self.problems.push(
                Diagnostic::error("include::budget", format!("files include more than {MAX_JOINED} definitions"))
                    .at(from, "this one goes beyond the limit")
                    .help("a file that is included by several others counts each time"),
            );
            return;
        }
        for (name, var) in more.vars {
            match merged.vars.entry(name) {
                Entry::Vacant(slot) => {
                    slot.insert(var);
                }
                Entry::Occupied(slot) => {
                    if slot.get().span != var.span && !includer.vars.contains_key(slot.key()) {
                        let name = slot.key();
                        self.problems.push(
                            Diagnostic::error(
                                "include::var",
                                format!("two included files define the variable `{name}`"),
                            )
                            .at(from, "this file defines it too")
                            .at(slot.get().span, "one definition")
                            .at(var.span, "the other")
                            .help(format!("define `{name}` in the including file, whose `vars` win")),
                        );
                    }
                }
            }
        }
        for (name, stage) in more.stages {
            match merged.stages.entry(name) {
                Entry::Vacant(slot) => {
                    slot.insert(stage);
                }
                Entry::Occupied(slot) => {
                    let settled = includer.stages.get(slot.key()).is_some_and(|s| s.overrides.is_some());
                    if slot.get().span != stage.span && !settled {
                        let name = slot.key();
                        self.problems.push(
                            Diagnostic::error(
                                "include::stage",
                                format!("two included files define the stage `{name}`"),
                            )
                            .at(from, "this file defines it too")
                            .at(slot.get().span, "one definition")
                            .at(stage.span, "the other")
                            .help("rename one of them, or define it in the including file with `override: true`"),
                        );
                    }
                }
            }
        }
    }
}
