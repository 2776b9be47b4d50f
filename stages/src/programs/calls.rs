//! Calling a program for a stage: its file, its environment, its log, and what is said when it fails.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use pipe_engine::{
    context::StageContext,
    diag,
    kind::{Source, StageError, written},
};

use super::{BASIC_ENV, End, Patience, Scene, find, run, tail};

/// How many threads a program should use.
pub(crate) const THREADS: &str = "PIPE_THREADS";

/// Who talks with the program while it runs.
#[derive(Default)]
pub(crate) struct Attendance<'a> {
    /// Told when it has been started, to take its pipes.
    pub started: Option<&'a dyn Fn(&mut Child)>,
    /// Whether nobody wants its work any more.
    pub given_up: Option<&'a dyn Fn() -> bool>,
}

/// The program `argv` in the stage's folder: with an empty standard input, its words going to the stage's log, and of
/// the environment what every program needs and the variables `pass`.
///
/// # Errors
/// There is no such program; the log cannot be opened.
pub(crate) fn program<'a>(
    argv: &[String],
    cx: &StageContext,
    pass: impl Iterator<Item = &'a str>,
) -> Result<Command, StageError> {
    let [name, arguments @ ..] = argv else { return Err(StageError::contract("a program without a name")) };
    let mut program = Command::new(find(name, cx.base_dir(), cx.env("PATH"))?);
    program.args(arguments).current_dir(cx.base_dir()).env_clear();
    for name in BASIC_ENV.into_iter().chain(pass) {
        if let Some(value) = cx.env(name) {
            program.env(name, value);
        }
    }
    let log = |e| StageError::other("hand the log to the program", e);
    program
        .stdin(Stdio::null())
        .stdout(cx.log()?.try_clone().map_err(log)?)
        .stderr(cx.log()?.try_clone().map_err(log)?);
    Ok(program)
}

/// What a program reads besides its inputs: files and patterns by content, variables by value.
pub(crate) fn sources<'a>(paths: &'a [String], env: &'a [String]) -> impl Iterator<Item = Source> + 'a {
    let files = paths.iter().map(|path| {
        let label = written(path).to_owned();
        if label.contains(['*', '?', '[']) {
            Source::Glob { label, pattern: path.clone(), names: true }
        } else {
            Source::Path { label, path: path.into() }
        }
    });
    files.chain(env.iter().map(|name| Source::Env { name: name.clone() }))
}

/// Runs the program to the end of its work.
pub(crate) fn execute(
    program: &mut Command,
    cx: &StageContext,
    outputs: Vec<PathBuf>,
    attendance: &Attendance<'_>,
) -> Result<(), StageError> {
    let mut log = cx.log()?;
    writeln!(log, "$ {}", shown(program)).map_err(|e| StageError::other("write to the stage's log", e))?;
    let start = log.metadata().map_or(0, |m| m.len());
    let scene = Scene {
        outputs,
        patience: Patience::default(),
        warn: &|message| cx.warn(message),
        started: attendance.started.unwrap_or(&|_| ()),
        given_up: attendance.given_up.unwrap_or(&|| false),
    };
    let end = run(program, &scene, cx.cancel_token()).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => StageError::user_help(
            format!("failed to start {}: {e}", shown(program)),
            "make the file executable (`chmod +x`)",
        ),
        _ => StageError::other(format!("start {}", shown(program)), e),
    })?;
    cx.check_cancelled()?;
    let status = match end {
        End::Done(status) if status.success() => return Ok(()),
        End::Done(status) => status,
        End::Unfinished(what) => {
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

fn shown(program: &Command) -> String {
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    diag::redact(&words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")).into_owned()
}
