//! `command`: any program as a stage.

mod handover;
mod params;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command as Program, Stdio},
};

use pipe_cache::ArtifactKind;
use pipe_engine::{
    context::StageContext,
    diag, keys,
    kind::{
        Column, OutputPort, ParamProblem, PortType, Ports, Preview, Source, SourceHost, StageError, StageKind, written,
    },
};

use crate::programs;

pub use self::params::{CommandParams, InputFormat, InputFormats, OutputFormat, OutputSpec};

/// The kind.
pub struct Command;

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

impl StageKind for Command {
    type Params = CommandParams;
    const NAME: &'static str = "command";
    // 1: the first.
    // 2: what a program leaves behind is waited for; tables come and go with their numbers whole; times have zones.
    const VERSION: u32 = 2;

    fn ports(&self, params: &CommandParams) -> Ports {
        let output = |(name, spec): (&String, &OutputSpec)| {
            let produces = if spec.format == OutputFormat::Files { PortType::Files } else { PortType::Table };
            let columns = spec.columns.keys().map(|name| Column::new(name.clone(), "as declared", ""));
            // What a program writes beside the declared columns is not known.
            OutputPort::new(name.clone(), produces).may_give(columns)
        };
        Ports { inputs: Vec::new(), open_inputs: true, outputs: params.outputs.iter().map(output).collect() }
    }

    fn check(&self, params: &CommandParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: String, message: String, help: &str| {
            problems.push(ParamProblem { pointer, message, help: Some(help.into()) });
        };
        match (&params.shell, params.argv.is_empty()) {
            (None, true) => problem(
                String::new(),
                "there is nothing to run".into(),
                "give `argv: [program, argument, ...]` or `shell: ...`",
            ),
            (Some(_), false) => {
                problem("/shell".into(), "`argv` and `shell` exclude each other".into(), "keep one of them");
            }
            (Some(script), true) if placeholders(script).next().is_some() => {
                let help =
                    "in a shell script use the variables \"$PIPE_INPUT_NAME\" and \"$PIPE_OUTPUT_NAME\", in quotes";
                problem("/shell".into(), "`{inputs...}` and `{outputs...}` are for `argv`".into(), help);
            }
            _ => {}
        }
        if params.outputs.is_empty() {
            problem(
                "/outputs".into(),
                "a stage has at least one output".into(),
                "for example `outputs: { rows: { format: jsonl } }`",
            );
        }
        for (name, spec) in &params.outputs {
            if !is_name(name) {
                let help = "use letters, digits and `_`: it becomes part of an environment variable's name";
                problem(format!("/outputs/{name}"), format!("`{name}` cannot name an output"), help);
            }
            if spec.format == OutputFormat::Files && !spec.columns.is_empty() {
                problem(format!("/outputs/{name}/columns"), "a directory has no columns".into(), "leave them out");
            }
        }
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        for name in params.outputs.keys() {
            if let Some(first) = names.insert(name.to_lowercase(), name) {
                let help = "give them names that differ in more than case: they name files";
                let message = format!("the outputs `{first}` and `{name}` are one where case means nothing");
                problem(format!("/outputs/{name}"), message, help);
            }
        }
        for (list, names) in [("env", &params.env), ("pass_env", &params.pass_env)] {
            for (i, name) in names.iter().enumerate().filter(|(_, name)| is_ours(name)) {
                problem(format!("/{list}/{i}"), format!("`{name}` is set by pipe itself"), "use a name of your own");
            }
        }
        let words = params.argv.iter().enumerate().map(|(i, word)| (format!("/argv/{i}"), word));
        for (pointer, word) in words.chain(params.shell.iter().map(|script| ("/shell".to_owned(), script))) {
            if diag::redact(word) != *word {
                let help = "keep them in an environment variable, and name it under `pass_env`";
                problem(pointer, "credentials in an address would be kept with every result".into(), help);
            }
        }
        for (i, argument) in params.argv.iter().enumerate() {
            for (_, group, name) in placeholders(argument) {
                if group == "outputs" && !params.outputs.contains_key(name) {
                    let known = params.outputs.keys().cloned().collect::<Vec<_>>().join(", ");
                    problem(
                        format!("/argv/{i}"),
                        format!("there is no output `{name}`"),
                        &format!("the outputs are: {known}"),
                    );
                }
            }
        }
        problems
    }

    fn sources(&self, params: &CommandParams) -> Result<Vec<Source>, StageError> {
        let files = params.sources.iter().map(|path| {
            let label = written(path).to_owned();
            if label.contains(['*', '?', '[']) {
                Source::Glob { label, pattern: path.clone(), names: true }
            } else {
                Source::Path { label, path: path.into() }
            }
        });
        Ok(files.chain(params.env.iter().map(|name| Source::Env { name: name.clone() })).collect())
    }

    fn preview(&self, params: &CommandParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if let Some(name) = params.argv.first().filter(|name| placeholders(name).next().is_none()) {
            find_program(name, host.base_dir(), host.env("PATH").unwrap_or(USUAL_PATH))?;
        }
        Ok(Preview::default())
    }

    fn run(&self, params: &CommandParams, cx: &mut StageContext) -> Result<(), StageError> {
        let cx: &StageContext = cx;
        let workdir = cx.workdir()?;
        let mut paths = Paths::default();
        for (name, kind) in cx.inputs() {
            let path = match kind {
                ArtifactKind::Files => handover::files(cx, name, &workdir)?,
                ArtifactKind::Table => handover::table(cx, name, params.input_format.of(name), &workdir)?,
            };
            paths.inputs.insert(name.to_owned(), path);
        }
        for (name, spec) in &params.outputs {
            let path = match spec.format {
                OutputFormat::Files => cx.output_dir(name)?,
                format => workdir.join(format!("{name}.{}", handover::extension(format))),
            };
            paths.outputs.insert(name.clone(), path);
        }
        let mut program = program(params, cx, &paths)?;
        // Whatever they write there may still become an output.
        let written = paths.outputs.values().cloned().chain([workdir]).collect();
        execute(&mut program, cx, written)?;
        for (name, spec) in &params.outputs {
            handover::collect(cx, name, spec, &paths.outputs[name])?;
        }
        Ok(())
    }
}

/// Where inputs and outputs lie.
#[derive(Default)]
struct Paths {
    inputs: BTreeMap<String, PathBuf>,
    outputs: BTreeMap<String, PathBuf>,
}

/// The program with its arguments, folder, environment and log.
fn program(params: &CommandParams, cx: &StageContext, paths: &Paths) -> Result<Program, StageError> {
    let argv: Vec<String> = match &params.shell {
        Some(script) => ["sh", "-e", "-c", script].map(str::to_owned).to_vec(),
        None => params.argv.iter().map(|argument| fill(argument, paths)).collect::<Result<_, _>>()?,
    };
    let path = cx.env("PATH").unwrap_or(USUAL_PATH);
    let mut program = Program::new(find_program(&argv[0], cx.base_dir(), path)?);
    program.args(&argv[1..]).current_dir(cx.base_dir()).env_clear();
    for name in BASIC_ENV.into_iter().chain(params.env.iter().chain(&params.pass_env).map(String::as_str)) {
        if let Some(value) = cx.env(name) {
            program.env(name, value);
        }
    }
    program.env("PIPE_THREADS", cx.threads().to_string());
    for (prefix, group) in [("PIPE_INPUT_", &paths.inputs), ("PIPE_OUTPUT_", &paths.outputs)] {
        for (name, path) in group {
            program.env(format!("{prefix}{}", name.replace('-', "_")), path);
        }
    }
    let log = |e| StageError::other("hand the log to the program", e);
    program
        .stdin(Stdio::null())
        .stdout(cx.log()?.try_clone().map_err(log)?)
        .stderr(cx.log()?.try_clone().map_err(log)?);
    let relative = params.argv.iter().filter(|argument| !Path::new(argument).is_absolute());
    for argument in relative.filter(|argument| cx.base_dir().join(argument).is_file()) {
        if !is_declared(argument, &params.sources, cx.base_dir()) {
            cx.warn(format!(
                "the command reads `{argument}`, which is not among its `sources`: edits to it go unnoticed"
            ));
        }
    }
    Ok(program)
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
fn is_ours(variable: &str) -> bool {
    variable == "PIPE_THREADS" || variable.starts_with("PIPE_INPUT_") || variable.starts_with("PIPE_OUTPUT_")
}

/// Runs the program to the end of its work.
fn execute(program: &mut Program, cx: &StageContext, outputs: Vec<PathBuf>) -> Result<(), StageError> {
    let mut log = cx.log()?;
    writeln!(log, "$ {}", shown(program)).map_err(|e| StageError::other("write to the stage's log", e))?;
    let start = log.metadata().map_or(0, |m| m.len());
    let scene = programs::Scene { outputs, patience: programs::Patience::default(), warn: &|message| cx.warn(message) };
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
        format!("the program printed nothing; {status}")
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

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The `{inputs.NAME}` and `{outputs.NAME}` of a text: the whole, the group, the name. Other braces are plain text.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
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
fn find_program(name: &str, base_dir: &Path, path: &str) -> Result<PathBuf, StageError> {
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

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: r#"inputs: { rows: table }, params: { shell: 'sort "$PIPE_INPUT_rows" > "$PIPE_OUTPUT_sorted"',
        input_format: jsonl, outputs: { sorted: { format: jsonl } } }"#,
    version: 2,
    outputs: &[("sorted", "b0be4a0e81e78483ffd40b5d5bece46b997419a1240527f6ce834bb08d1e4db8")],
};

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn placeholders_are_told_from_other_braces() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(placeholders(text).map(|(whole, ..)| whole).collect::<Vec<_>>(), expect, "{text}");
        };
        check("{inputs.a} {outputs.b}.gz", &["{inputs.a}", "{outputs.b}"]);
        check("awk '{print $1}' ${x} {} {inputs} {other.x}", &[]);
    }

    #[test]
    fn parameters_that_make_no_sense() {
        let check = |json: serde_json::Value, expect: &[&str]| {
            let params: CommandParams = serde_json::from_value(json).unwrap();
            let found: Vec<_> = StageKind::check(&Command, &params)
                .into_iter()
                .map(|p| format!("{}: {}", p.pointer, p.message))
                .collect();
            assert_eq!(found, expect);
        };
        let outputs = json!({ "rows": { "format": "jsonl" } });
        check(json!({ "outputs": outputs }), &[": there is nothing to run"]);
        check(
            json!({ "argv": ["x"], "shell": "y", "outputs": outputs }),
            &["/shell: `argv` and `shell` exclude each other"],
        );
        check(json!({ "argv": ["x", "{outputs.z}"], "outputs": outputs }), &["/argv/1: there is no output `z`"]);
        check(json!({ "argv": ["x"], "outputs": {} }), &["/outputs: a stage has at least one output"]);
        check(
            json!({ "shell": "cat {inputs.x}", "outputs": { "a \
            b": { "format": "files", "columns": { "x": "int" } } } }),
            &[
                "/shell: `{inputs...}` and `{outputs...}` are for `argv`",
                "/outputs/a b: `a b` cannot name an output",
                "/outputs/a b/columns: a directory has no columns",
            ],
        );
        check(json!({ "argv": ["x", "{inputs.a}", "{outputs.rows}"], "outputs": outputs }), &[]);
    }
}
