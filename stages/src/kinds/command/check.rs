//! What makes no sense in the parameters.

use std::collections::BTreeMap;

use pipe_engine::{diag, kind::ParamProblem};

use super::{
    each,
    params::{CommandParams, InputFormats, OutputFormat, Rows},
    program::{is_name, is_ours, placeholders},
    scores,
};

/// What makes no sense in parameters that are of the right types.
pub(super) fn problems(params: &CommandParams) -> Vec<ParamProblem> {
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
            let help = "in a shell script use the variables \"$PIPE_INPUT_NAME\" and \"$PIPE_OUTPUT_NAME\", in quotes";
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
    problems.extend(by_row(params));
    problems.extend(scored(params));
    problems
}

/// What a program for rows cannot have.
fn by_row(params: &CommandParams) -> Vec<ParamProblem> {
    let mut problems = Vec::new();
    let mut problem = |pointer: &str, message: &str, help: &str| {
        problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
    };
    if params.rows == Rows::All {
        let help = "leave it out, or set `rows: each`";
        for (given, pointer) in [(params.batch.is_some(), "/batch"), (params.processes.is_some(), "/processes")] {
            if given {
                problem(pointer, "it is for `rows: each`", help);
            }
        }
        return problems;
    }
    if params.outputs.len() > 1 {
        let help = "give it more columns, or make another stage";
        problem("/outputs", "a program for rows has one output, its standard output", help);
    }
    for (name, spec) in &params.outputs {
        if spec.format != OutputFormat::Jsonl {
            let help = "`format: jsonl`: one line of JSON for each row";
            problem(&format!("/outputs/{name}/format"), "answers to rows come as JSON Lines", help);
        }
        if name == "yield" {
            problem("/outputs/yield", "`yield` is where kept and dropped rows are counted", "choose another name");
        }
    }
    if matches!(&params.input_format, InputFormats::Each(formats) if formats.contains_key(each::ROWS)) {
        let place = format!("/input_format/{}", each::ROWS);
        problem(&place, "the rows come by standard input, as JSON Lines", "leave it out, and name other inputs here");
    }
    for (i, argument) in params.argv.iter().enumerate() {
        let place = format!("/argv/{i}");
        for (_, group, name) in placeholders(argument) {
            if group == "outputs" {
                problem(&place, "answers go to standard output", "leave `{outputs...}` out and print them");
            } else if name == each::ROWS {
                problem(&place, "the rows come by standard input", "leave `{inputs.rows}` out and read them there");
            }
        }
    }
    problems
}

/// What is no score.
fn scored(params: &CommandParams) -> Vec<ParamProblem> {
    let mut problems = Vec::new();
    let Some((output, spec)) = params.outputs.first().filter(|_| !params.scores.is_empty()) else { return problems };
    let mut problem = |pointer: String, message: String, help: String| {
        problems.push(ParamProblem { pointer, message, help: Some(help) });
    };
    for name in params.outputs.keys().filter(|name| matches!(name.as_str(), "scores" | "tasks")) {
        let message = format!("`{name}` is the table that `scores` asks for");
        problem(format!("/outputs/{name}"), message, "choose another name".into());
    }
    for (i, score) in params.scores.iter().enumerate() {
        let declared = spec.columns.get(score);
        if params.scores[..i].contains(score) {
            problem(format!("/scores/{i}"), format!("`{score}` is given twice"), "keep it once".into());
        } else if declared.is_none() && params.rows == Rows::Each {
            // It may be one that the row has itself: told when the columns are known.
        } else if !declared.is_some_and(scores::is_number) {
            let message = format!("`{score}` is not declared as a number");
            let help = format!("declare it: `outputs: {{ {output}: {{ columns: {{ {score}: float }} }} }}`");
            problem(format!("/scores/{i}"), message, help);
        } else if let Some(other) = params.scores.iter().find(|other| scores::is_made_of(score, other)) {
            let message = format!("`{score}` is a column that the score `{other}` makes in the table of scores");
            problem(format!("/scores/{i}"), message, "give it another name".into());
        } else if scores::RESERVED.contains(&score.as_str()) {
            let message = format!("`{score}` is a column of every table of scores");
            problem(format!("/scores/{i}"), message, "give it another name".into());
        }
    }
    problems
}
