//! `stage`, `stage.output`, `stage[*]`: what an input names, and whether the kind's ports agree.

use serde_json::Value;

use super::around::Around;
use crate::{
    diag::{Diagnostic, Span, advice, did_you_mean, list_names, one_of},
    kind::{PortType, Ports},
    spec::{InputSpec, StageSpec},
    yaml::shorten,
};

/// What one input names.
pub(crate) struct Reference<'s> {
    /// The port.
    pub port: &'s str,
    /// Where the stage is named.
    pub span: Span,
    /// Index of the stage.
    pub stage: usize,
    /// The output's name; `None` is the first.
    pub output: Option<String>,
    /// Whether it gathers all variants.
    pub gather: bool,
}

/// The meaning without the places: equal for references that do the same.
impl std::fmt::Debug for Reference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?} {}", self.port, self.stage, self.output, self.gather)
    }
}

/// Reads one input. `Ok(None)` is an input that is `null`: the port is left out. `Err` has been reported.
pub(crate) fn parse_reference<'s>(
    input: &'s InputSpec,
    value: &Value,
    cx: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Result<Option<Reference<'s>>, ()> {
    let span = input.value.span;
    let refuse = |problems: &mut Vec<Diagnostic>, code, message: String, help: Option<String>| {
        problems.push(Diagnostic::error(code, message).at(span, "").maybe_help(help));
        Err(())
    };
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.as_str(),
        other => {
            let message =
                format!("the input `{}` names a stage, not {}", shorten(&input.port), super::phrases::describe(other));
            return refuse(problems, "inputs::type", message, None);
        }
    };
    let name_end = text.find(['[', '.']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let gather = rest.starts_with("[*]");
    if gather {
        rest = &rest[3..];
    }
    let output = rest.strip_prefix('.').map(str::to_owned);
    let well_formed = match &output {
        Some(output) => !output.is_empty() && !output.contains(['[', ']', '.']),
        None => rest.is_empty(),
    } && !name.is_empty();
    if !well_formed {
        let help = "an input is `stage`, `stage.output`, or gathered over all variants `stage[*]`, `stage[*].output`";
        return refuse(
            problems,
            "inputs::syntax",
            format!("`{}` names no stage", shorten(text)),
            Some(help.to_owned()),
        );
    }
    let Some(&stage) = cx.stages.get(name) else {
        let help = if cx.vars.defs.contains_key(name) {
            Some(format!("`{name}` is a variable: write \"${{{name}}}\""))
        } else {
            advice(problems, name, "stages", cx.names.iter().copied())
        };
        return refuse(problems, "inputs::unknown_stage", format!("there is no stage `{}`", shorten(name)), help);
    };
    Ok(Some(Reference { port: &input.port, span, stage, output, gather }))
}

/// Inputs without a port, and ports without their input. `complete` is false when an input could not be read, so that
/// a port that seems to be left out may not be.
pub(crate) fn check_ports(
    stage: &str,
    spec: &StageSpec,
    ports: &Ports,
    inputs: &[Reference<'_>],
    complete: bool,
    problems: &mut Vec<Diagnostic>,
) {
    let kind = spec.kind.as_ref().map_or("", |(kind, _)| kind.as_str());
    let mut meant = Vec::new();
    for input in &spec.inputs {
        if !ports.open_inputs && !ports.inputs.iter().any(|p| p.name == input.port) {
            let names: Vec<&str> = ports.inputs.iter().map(|p| &*p.name).collect();
            let help = if names.is_empty() {
                Some(format!("`{kind}` takes no inputs"))
            } else {
                one_of(&input.port, "inputs", names.iter().copied())
            };
            meant.extend(did_you_mean(&input.port, names.iter().copied()).map(str::to_owned));
            problems.push(
                Diagnostic::error("inputs::unknown_port", format!("`{kind}` has no input `{}`", shorten(&input.port)))
                    .at(input.span, "unknown input")
                    .maybe_help(help),
            );
        }
    }
    if ports.open_inputs {
        check_names(spec, problems);
    }
    for port in ports.inputs.iter().filter(|p| p.required && complete) {
        // A misspelt name has been reported as such.
        if inputs.iter().any(|r| r.port == port.name) || meant.iter().any(|m| *m == port.name) {
            continue;
        }
        let given = spec.inputs.iter().find(|i| i.port == port.name);
        let (span, text) = match given {
            Some(input) => (input.value.span, "this is null"),
            None => (spec.span, ""),
        };
        let connect = || format!("`{kind}` needs it: add `{}: <stage>` under `inputs:`", port.name);
        problems.push(
            Diagnostic::error("inputs::missing", format!("the input `{}` of `{}` is missing", port.name, stage))
                .at(span, text)
                .help(port.help.map_or_else(connect, str::to_owned)),
        );
    }
}

/// Inputs of any name become files and environment variables, in which `a-b` is `a_b`, and on some file systems `A` is
/// `a`.
fn check_names(spec: &StageSpec, problems: &mut Vec<Diagnostic>) {
    let inputs = &spec.inputs;
    for (i, input) in inputs.iter().enumerate() {
        let same = |other: &&InputSpec| program_name(&other.port) == program_name(&input.port);
        if let Some(first) = inputs[..i].iter().find(same) {
            let message =
                format!("the inputs `{}` and `{}` are one to a program", shorten(&first.port), shorten(&input.port));
            problems.push(
                Diagnostic::error("inputs::same_name", message)
                    .at(input.span, "the same file or environment variable")
                    .at(first.span, "as this")
                    .help("give them names that differ in more than case and `-` or `_`"),
            );
        }
    }
}

/// What is left of a name where it becomes part of an environment variable's, or a file's where case means nothing.
pub(crate) fn program_name(name: &str) -> String {
    name.replace('-', "_").to_lowercase()
}

/// The output a reference means, as an index; a wrong name or type is reported.
pub(crate) fn connect(
    reference: &Reference<'_>,
    consumer: &Ports,
    producer: (&str, &Ports),
    problems: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let (name, ports) = producer;
    let names: Vec<&str> = ports.outputs.iter().map(|o| &*o.name).collect();
    let wanted = reference.output.as_deref().or(names.first().copied())?;
    let Some(index) = names.iter().position(|&n| n == wanted) else {
        problems.push(
            Diagnostic::error("inputs::unknown_output", format!("`{name}` has no output `{}`", shorten(wanted)))
                .at(reference.span, "unknown output")
                .maybe_help(one_of(wanted, "outputs", names.iter().copied())),
        );
        return None;
    };
    let produces = ports.outputs.get(index)?.produces;
    let accepts = consumer.inputs.iter().find(|p| p.name == reference.port).map_or(PortType::Any, |p| p.accepts);
    if accepts == produces || accepts == PortType::Any || produces == PortType::Any {
        return Some(index);
    }
    let word = |t: PortType| if t == PortType::Table { "a table" } else { "files" };
    let others: Vec<String> =
        ports.outputs.iter().filter(|o| o.produces == accepts).map(|o| format!("{name}.{}", o.name)).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    problems.push(
        Diagnostic::error(
            "inputs::port_type",
            format!(
                "the input `{}` takes {}, but `{name}.{}` is {}",
                reference.port,
                word(accepts),
                names[index],
                word(produces)
            ),
        )
        .at(reference.span, format!("this is {}", word(produces)))
        .maybe_help((!others.is_empty()).then(|| format!("{} of `{name}`: {}", word(accepts), list_names(&others)))),
    );
    None
}
