//! The program: how it is called, and how its end is waited for.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command as Program, Stdio},
};

use pipe_engine::{context::StageContext, diag, keys, kind::StageError};

use super::params::CommandParams;
use crate::programs;

/// Passed on if they are set: without them common programs do not start, or write elsewhere.
const BASIC_ENV: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
];
/// Where programs are looked for if the environment does not say it.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Lines of the log that an error shows.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 << 10;
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

/// Who talks with the program while it runs.
#[derive(Default)]
pub(super) struct Attendance<'a> {
    /// Told when it has been started, to take its pipes.
    pub started: Option<&'a dyn Fn(&mut Child)>,
    /// Whether nobody wants its work any more.
    pub given_up: Option<&'a dyn Fn() -> bool>,
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
    let mut program = Program::new(find(&argv[0], cx.base_dir(), cx.env("PATH"))?);
    program.args(&argv[1..]).current_dir(cx.base_dir()).env_clear();
    for name in BASIC_ENV.into_iter().chain(params.env.iter().chain(&params.pass_env).map(String::as_str)) {
        if let Some(value) = cx.env(name) {
            program.env(name, value);
        }
    }
    program.env("PIPE_THREADS", threads.to_string());
    for (prefix, group) in [("PIPE_INPUT_", &paths.inputs), ("PIPE_OUTPUT_", &paths.outputs)] {
        for (name, path) in group {
            program.env(format!("{prefix}{}", name.replace('-', "_")), path);
        }
    }
    program.envs(paths.scratch.iter().map(|folder| (SCRATCH, folder)));
    let log = |e| StageError::other("hand the log to the program", e);
    program
        .stdin(Stdio::null())
        .stdout(cx.log()?.try_clone().map_err(log)?)
        .stderr(cx.log()?.try_clone().map_err(log)?);
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
    variable == "PIPE_THREADS"
        || variable == SCRATCH
        || variable.starts_with("PIPE_INPUT_")
        || variable.starts_with("PIPE_OUTPUT_")
}

/// Runs the program to the end of its work.
pub(super) fn execute(
    program: &mut Program,
    cx: &StageContext,
    outputs: Vec<PathBuf>,
    attendance: &Attendance<'_>,
) -> Result<(), StageError> {
    let mut log = cx.log()?;
    writeln!(log, "$ {}", shown(program)).map_err(|e| StageError::other("write to the stage's log", e))?;
    let start = log.metadata().map_or(0, |m| m.len());
    let scene = programs::Scene {
        outputs,
        patience: programs::Patience::default(),
        warn: &|message| cx.warn(message),
        started: attendance.started.unwrap_or(&|_| ()),
        given_up: attendance.given_up.unwrap_or(&|| false),
    };
    let end = programs::run(program, &scene, cx.cancel_token()).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => StageError::user_help(
            format!("failed to start {}: {e}", shown(program)),
            "make the file executable (`chmod +x`)",
        ),
        _ => StageError::other(format!("start {}", shown(program)), e),
    })?;
    cx.check_cancelled()?;
    let status = match end {
        programs::End::Done(status) if status.success() => return Ok(()),
        programs::End::Done(status) => status,
        programs::End::Unfinished(what) => {
            let help = "let the command wait for what it starts (in a shell script: `wait`), or end it";
            return Err(StageError::user_help(what, help));
        }
    };
    let tail = tail(log, start);
    let message = if tail.is_empty() {
        format!("the program said nothing of it; {status}")
    } else {
        format!("{status}; it printed:\n{tail}")
    };
    Err(StageError::transient(message))
}

fn shown(program: &Program) -> String {
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    diag::redact(&words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")).into_owned()
}

/// The last lines that the program printed.
fn tail(log: &File, start: u64) -> String {
    let end = log.metadata().map_or(start, |m| m.len());
    let from = start.max(end.saturating_sub(TAIL_BYTES));
    let mut bytes = vec![0; (end - from) as usize];
    if log.read_exact_at(&mut bytes, from).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    // The rest of a line that was cut is left out.
    let lines: Vec<&str> = text.lines().skip(usize::from(from > start)).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
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

/// The program's file: as given when it has a `/` (relative to the stage's folder), otherwise from PATH.
pub(super) fn find(name: &str, base_dir: &Path, path: Option<&str>) -> Result<PathBuf, StageError> {
    let path = path.unwrap_or(USUAL_PATH);
    if name.contains('/') {
        let file = base_dir.join(name);
        return if file.is_file() {
            Ok(file)
        } else {
            Err(StageError::user(format!("there is no program {}", file.display())))
        };
    }
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        StageError::user_help(format!("there is no program `{name}` in PATH ({path})"), "install it, or give its path")
    })
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
