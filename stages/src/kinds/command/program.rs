//! The program: how it is called.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command as Program,
};

use pipe_engine::{context::StageContext, keys, kind::StageError};

use super::params::{CommandParams, InputFormats};
use crate::programs::calls;

/// A folder of the program's own, for what it writes besides answers.
pub(super) const SCRATCH: &str = "PIPE_SCRATCH";

/// Where inputs and outputs lie.
#[derive(Default, Clone)]
pub(super) struct Paths {
    pub inputs: BTreeMap<String, PathBuf>,
    pub outputs: BTreeMap<String, PathBuf>,
    /// A folder of its own, where that has a name.
    pub scratch: Option<PathBuf>,
}

/// The program with its arguments, folder, environment and log.
pub(super) fn program(
    params: &CommandParams,
    cx: &StageContext,
    paths: &Paths,
    threads: usize,
) -> Result<Program, StageError> {
    let argv: Vec<String> = match &params.shell {
        Some(script) => ["sh", "-e", "-c", script].map(str::to_owned).to_vec(),
        None => params.argv.iter().map(|argument| fill(argument, paths)).collect::<Result<_, _>>()?,
    };
    let mut program = calls::program(&argv, cx, params.env.iter().chain(&params.pass_env).map(String::as_str))?;
    program.env(calls::THREADS, threads.to_string());
    for (prefix, group) in [("PIPE_INPUT_", &paths.inputs), ("PIPE_OUTPUT_", &paths.outputs)] {
        for (name, path) in group {
            program.env(format!("{prefix}{}", name.replace('-', "_")), path);
        }
    }
    program.envs(paths.scratch.iter().map(|folder| (SCRATCH, folder)));
    Ok(program)
}

/// Warns of scripts that the program reads and that nobody declared.
pub(super) fn warn_of_undeclared(params: &CommandParams, cx: &StageContext) {
    let relative = params.argv.iter().filter(|argument| !Path::new(argument).is_absolute());
    for argument in relative.filter(|argument| cx.base_dir().join(argument).is_file()) {
        if !is_declared(argument, &params.sources, cx.base_dir()) {
            cx.warn(format!(
                "the command reads `{argument}`, which is not among its `sources`: edits to it go unnoticed"
            ));
        }
    }
}

/// Warns of formats for inputs that are not there: that which was meant is handed over in the usual one.
pub(super) fn warn_of_formats(params: &CommandParams, cx: &StageContext) {
    let InputFormats::Each(formats) = &params.input_format else { return };
    for name in formats.keys().filter(|name| cx.inputs().all(|(input, _)| input != **name)) {
        let inputs: Vec<String> = cx.inputs().map(|(input, _)| format!("`{input}`")).collect();
        cx.warn(format!("`input_format` names `{name}`, which is no input: these are {}", inputs.join(", ")));
    }
}

/// Whether a file is among the sources: named itself, matched by a pattern, or inside a folder.
fn is_declared(file: &str, sources: &[String], base_dir: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let Some(file) = real(&base_dir.join(file)) else { return false };
    sources.iter().any(|source| {
        let found = keys::expand(base_dir, source).unwrap_or_default();
        found.iter().filter_map(|path| real(path)).any(|path| file.starts_with(path))
    })
}

/// Whether programs find something of ours under that name.
pub(super) fn is_ours(variable: &str) -> bool {
    variable == calls::THREADS
        || variable == SCRATCH
        || variable.starts_with("PIPE_INPUT_")
        || variable.starts_with("PIPE_OUTPUT_")
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The `{inputs.NAME}` and `{outputs.NAME}` of a text: the whole, the group, the name. Other braces are plain text.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.match_indices('{').filter_map(|(start, _)| {
        let end = start + text[start..].find('}')?;
        let (group, name) = text[start + 1..end].split_once('.')?;
        (matches!(group, "inputs" | "outputs") && !name.is_empty()).then(|| (&text[start..=end], group, name))
    })
}

/// The argument with paths in place of placeholders.
fn fill(argument: &str, paths: &Paths) -> Result<String, StageError> {
    let mut filled = argument.to_owned();
    for (whole, group, name) in placeholders(argument) {
        let path = if group == "inputs" { paths.inputs.get(name) } else { paths.outputs.get(name) };
        let path = path.ok_or_else(|| {
            let known = paths.inputs.keys().cloned().collect::<Vec<_>>().join(", ");
            StageError::user_help(
                format!("`{whole}` in `argv`: nothing is connected under that name"),
                if known.is_empty() {
                    "connect it under `inputs:`".to_owned()
                } else {
                    format!("the inputs are: {known}")
                },
            )
        })?;
        let path =
            path.to_str().ok_or_else(|| StageError::user(format!("the path {} is not UTF-8", path.display())))?;
        filled = filled.replace(whole, path);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_other_braces() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(placeholders(text).map(|(whole, ..)| whole).collect::<Vec<_>>(), expect, "{text}");
        };
        check("{inputs.a} {outputs.b}.gz", &["{inputs.a}", "{outputs.b}"]);
        check("awk '{print $1}' ${x} {} {inputs} {other.x}", &[]);
    }
}
