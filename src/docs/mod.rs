//! The reference, as `pipe kinds` shows it and `pipe docs` writes it: all of it is made from the kinds, the metrics and
//! the command line themselves.

mod commands;
mod markdown;
mod schema;
mod text;

use pipe_engine::kind::{Column, DynKind, Example, Increment, PortType, Registry, usual_ports};
use serde_json::Value;

pub(crate) use self::{
    commands::command,
    markdown::pages,
    text::{document, list},
};

/// What there is to say of a kind.
pub(crate) struct KindDoc {
    pub name: &'static str,
    pub version: u32,
    /// What it does; paragraphs are parted by empty lines.
    pub about: String,
    /// What it computes again when something has changed, in a sentence.
    pub again: String,
    pub inputs: Vec<PortDoc>,
    /// Whether inputs under any other name are taken.
    pub open_inputs: bool,
    pub outputs: Vec<PortDoc>,
    pub params: Vec<ParamDoc>,
    pub example: Option<Example>,
}

/// An input or an output.
pub(crate) struct PortDoc {
    pub name: String,
    /// `table, required`.
    pub notes: String,
    pub about: String,
    pub columns: Vec<ColumnDoc>,
    /// The input whose columns it has besides.
    pub passes: Option<&'static str>,
}

/// A column of a table.
pub(crate) struct ColumnDoc {
    /// `output` or `references`.
    pub names: Vec<String>,
    /// `text, optional`.
    pub notes: String,
    pub about: &'static str,
}

/// A parameter.
pub(crate) struct ParamDoc {
    pub name: String,
    /// `whole number, default 3, not part of the key`.
    pub notes: String,
    pub about: String,
    /// Values that have something to say of themselves.
    pub choices: Vec<(String, String)>,
    /// What a template may use.
    pub variables: Vec<(String, String)>,
    /// The parameters inside it.
    pub nested: Vec<ParamDoc>,
}

impl KindDoc {
    pub(crate) fn new(kind: &dyn DynKind, registry: &Registry) -> Self {
        let schema = kind.schema().to_value();
        let ports = usual_ports(kind).unwrap_or_default();
        let input = |port: &pipe_engine::kind::InputPort| PortDoc {
            name: port.name.to_string(),
            notes: format!("{}{}", sort(port.accepts), if port.required { ", required" } else { "" }),
            about: one_line(port.about),
            columns: port.columns.iter().map(|column| ColumnDoc::new(column, "optional")).collect(),
            passes: None,
        };
        let output = |port: &pipe_engine::kind::OutputPort| PortDoc {
            name: port.name.to_string(),
            notes: sort(port.produces).to_owned(),
            about: one_line(port.about),
            columns: port.columns.iter().map(|column| ColumnDoc::new(column, "not always")).collect(),
            passes: port.passes,
        };
        Self {
            name: kind.name(),
            version: kind.version(),
            about: schema::description(&schema).to_owned(),
            again: again(kind),
            inputs: ports.inputs.iter().map(input).collect(),
            open_inputs: ports.open_inputs,
            outputs: ports.outputs.iter().map(output).collect(),
            params: schema::parameters(&schema, &schema, 1),
            example: registry.example(kind.name()),
        }
    }

    /// The first sentence or two, for lists.
    pub(crate) fn summary(&self) -> String {
        one_line(self.about.split("\n\n").next().unwrap_or_default())
    }
}

impl ColumnDoc {
    fn new(column: &Column, otherwise: &str) -> Self {
        let always = if column.always { String::new() } else { format!(", {otherwise}") };
        Self {
            names: [&*column.name].into_iter().chain(column.alternatives.iter().copied()).map(str::to_owned).collect(),
            notes: format!("{}{always}", column.holds),
            about: column.about,
        }
    }
}

/// What a kind computes again, from how it keeps rows.
fn again(kind: &dyn DynKind) -> String {
    let rows = match kind.usual_increment() {
        Increment::Whole => {
            let whole = "A change of anything that its key holds computes all of it again";
            // What is applied to rows afterwards is a matter of stages that keep rows.
            let unless = if kind.afterwards().is_empty() { "" } else { ", unless it works row by row" };
            return format!("{whole}{unless}.");
        }
        Increment::RowWise { primary } => {
            format!("Row by row: of `{primary}`, rows that were computed before are taken from the store.")
        }
        Increment::Stream { extent } => {
            format!("Attempt by attempt: a larger `{extent}` goes on where a smaller one ended.")
        }
    };
    let afterwards: Vec<String> = kind.afterwards().iter().map(|name| format!("`{name}`")).collect();
    match &afterwards[..] {
        [] => rows,
        [only] => format!("{rows} A change of {only} computes no row again."),
        [first @ .., last] => format!("{rows} A change of {} or {last} computes no row again.", first.join(", ")),
    }
}

fn sort(port: PortType) -> &'static str {
    match port {
        PortType::Table => "table",
        PortType::Files => "files",
        PortType::Any => "table or files",
    }
}

/// A text without the line breaks of the source that it is from.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schema of the parameters, with the ports and an example beside it, for scripts.
pub(crate) fn described(kind: &dyn DynKind, registry: &Registry) -> Value {
    let mut schema = kind.schema().to_value();
    let ports = usual_ports(kind).unwrap_or_default();
    schema["inputs"] = serde_json::json!(ports.inputs);
    schema["outputs"] = serde_json::json!(ports.outputs);
    schema["example"] = serde_json::json!(registry.example(kind.name()).map(|example| example.0));
    schema
}
