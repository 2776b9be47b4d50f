//! From what is written to the files that are read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use pipe_engine::{
    keys,
    kind::{Finder, Source, SourceHost, StageError, WRITTEN, written},
};
use serde_json::{Value, json};

use super::{
    TableParams, TextRows, is_pattern,
    remote::{Address, Around},
};
use crate::tabular::{Format, ReadOptions};

/// What is read: the files, and how.
pub(super) struct Reading {
    pub files: Vec<PathBuf>,
    pub format: Format,
    pub options: ReadOptions,
}

/// A file, and what it is called below the folder or in front of the pattern that was named.
struct Found {
    path: PathBuf,
    name: String,
}

impl Reading {
    pub(super) fn of(params: &TableParams, around: &dyn Around) -> Result<Self, StageError> {
        let format = params.resolved_format().map_err(StageError::user)?;
        let found = find(params, format, around)?;
        let mut options = params.options();
        if params.rows != TextRows::Line {
            options.names = found.iter().map(|file| file.name.clone()).collect();
        }
        Ok(Self { files: found.into_iter().map(|file| file.path).collect(), format, options })
    }
}

/// The files in reading order.
fn find(params: &TableParams, format: Format, around: &dyn Around) -> Result<Vec<Found>, StageError> {
    let base_dir = around.folder();
    let mut found = Vec::new();
    for path in params.path.as_slice() {
        if let Some(address) = Address::of(path) {
            let address = address.map_err(|(message, help)| StageError::user_help(message, help))?;
            let fetched = address.fetch(format, around)?;
            found.extend(fetched.into_iter().map(|(name, path)| Found { path, name }));
            continue;
        }
        let place = base_dir.join(path);
        if place.is_dir() {
            found.extend(below(&place, path, format)?);
        } else if is_pattern(path) {
            let matched = keys::expand(base_dir, path)
                .map_err(|problem| StageError::user(format!("`{}` {problem}", written(path))))?;
            let start = in_front(base_dir, path);
            found.extend(matched.into_iter().map(|path| Found { name: name_below(&start, &path), path }));
        } else {
            let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.push(Found { path: place, name });
        }
    }
    if params.rows == TextRows::File {
        for file in &mut found {
            file.name = file.name.rsplit('/').next().unwrap_or_default().to_owned();
        }
    }
    if params.cuts_files() {
        // Their order is that of their names, so that it is the same wherever they lie.
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let (name, one, other) = (&pair[0].name, pair[0].path.display(), pair[1].path.display());
            return Err(StageError::user_help(
                format!("{one} and {other} would both be called `{name}`, and the ids of chunks begin with that"),
                "put them below one folder and name that, or rename one of them",
            ));
        }
    }
    Ok(found)
}

/// The folder in front of a pattern's first wildcard.
fn in_front(base_dir: &Path, pattern: &str) -> PathBuf {
    let start = pattern.split_once(WRITTEN).map_or(base_dir, |(start, _)| Path::new(start));
    let fixed = Path::new(written(pattern)).components();
    let fixed: PathBuf = fixed.take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).collect();
    start.join(fixed)
}

/// A file's name below a folder, with `/` on every system.
fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// What is read of a folder that is written as `path`.
fn below(folder: &Path, path: &str, format: Format) -> Result<Vec<Found>, StageError> {
    let mut found = Vec::new();
    walk(folder, folder, format, &mut found)?;
    if found.is_empty() {
        let what: Vec<String> = format.extensions().iter().map(|extension| format!("`.{extension}`")).collect();
        let what = what.join(" or ");
        return Err(StageError::user_help(
            format!("the folder `{}` has no file that ends in {what} below it", written(path)),
            "name another folder, or the files by a pattern, with `format`",
        ));
    }
    Ok(found)
}

/// All files of a format below a folder, without hidden ones and what programs leave beside them.
fn walk(root: &Path, folder: &Path, format: Format, found: &mut Vec<Found>) -> Result<(), StageError> {
    let failed = |e: io::Error| StageError::other(format!("failed to look into {}", folder.display()), e);
    let mut entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        if name.to_string_lossy().starts_with('.') || pipe_cache::is_leaving(&name) {
            continue;
        }
        // A linked folder could lead back to where it is.
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(root, &path, format, found)?;
        } else if path.is_file() && Format::of(&path) == Some(format) {
            found.push(Found { name: name_below(root, &path), path });
        }
    }
    Ok(())
}

/// What of the files enters the key.
pub(super) fn sources(params: &TableParams) -> Result<Vec<Source>, StageError> {
    let format = params.resolved_format().map_err(StageError::user)?;
    let mut sources = vec![Source::Value { label: "format".into(), value: json!(format) }];
    let label = || "path".to_owned();
    if params.cuts_files() {
        let near = params.path.as_slice().iter().filter(|path| Address::of(path).is_none()).cloned().collect();
        let params = params.clone();
        let find = move |host: &dyn SourceHost| named(&find(&params, format, &host)?, host);
        sources.push(Source::Found { label: label(), near, find: Finder::new(find) });
        return Ok(sources);
    }
    let whole_files = params.rows == TextRows::File;
    for path in params.path.as_slice() {
        if let Some(address) = Address::of(path) {
            let address = address.map_err(|(message, help)| StageError::user_help(message, help))?;
            if whole_files {
                let name = Address::file_name(path).rsplit('/').next();
                sources.push(Source::Value { label: "file".into(), value: json!(name) });
            }
            sources.push(address.source("path"));
            continue;
        }
        let otherwise = if is_pattern(path) {
            Source::Glob { label: label(), pattern: path.clone(), names: whole_files }
        } else {
            if whole_files {
                let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
                sources.push(Source::Value { label: "file".into(), value: json!(name) });
            }
            Source::Path { label: label(), path: path.into() }
        };
        let written = path.clone();
        let find = move |host: &dyn SourceHost| listed(&written, format, whole_files, host);
        let (find, otherwise) = (Finder::new(find), Box::new(otherwise));
        sources.push(Source::Folder { label: label(), path: path.into(), find, otherwise });
    }
    Ok(sources)
}

/// The digests of those files of a folder that are read, in their order, with their names where rows have them.
fn listed(path: &str, format: Format, names: bool, host: &dyn SourceHost) -> Result<Value, StageError> {
    let file = |file: Found| -> Result<Value, StageError> {
        let digest = host.digest(&file.path)?.to_string();
        let name = file.name.rsplit('/').next().unwrap_or_default();
        Ok(if names { json!({ "name": name, "digest": digest }) } else { json!(digest) })
    };
    below(&host.base_dir().join(path), path, format)?.into_iter().map(file).collect()
}

/// The files' digests by their names.
fn named(found: &[Found], host: &dyn SourceHost) -> Result<Value, StageError> {
    let mut files = serde_json::Map::new();
    for file in found {
        if !file.path.exists() {
            return Err(StageError::user(format!("`path` names a file that does not exist: {}", file.path.display())));
        }
        files.insert(file.name.clone(), json!(host.digest(&file.path)?.to_string()));
    }
    Ok(Value::Object(files))
}
