//! `command`: any program as a stage.

mod check;
mod each;
mod handover;
mod params;
mod program;
mod scores;

use pipe_cache::ArtifactKind;
use pipe_engine::{
    context::StageContext,
    diag::one_of,
    kind::{
        Arriving, Column, Highlight, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Source,
        SourceHost, StageError, StageKind,
    },
};

use self::{params::Rows, program::Paths};
use crate::{
    programs::{
        self,
        calls::{self, Attendance},
    },
    rows::{ports, scores as summed},
};

pub use self::params::{CommandParams, InputFormat, InputFormats, OutputFormat, OutputSpec};

/// The kind.
pub struct Command;

impl StageKind for Command {
    type Params = CommandParams;
    const NAME: &'static str = "command";
    // 1: the first.
    // 2: what a program leaves behind is waited for; tables come and go with their numbers whole; times have zones.
    const VERSION: u32 = 2;
    // By row in some stages, see `increment`.
    const AFTERWARDS: &'static [&'static str] = &["scores"];

    fn increment(&self, params: &CommandParams) -> Increment {
        match params.rows {
            Rows::All => Increment::Whole,
            Rows::Each => Increment::RowWise { primary: each::ROWS },
        }
    }

    fn ports(&self, params: &CommandParams) -> Ports {
        let by_row = params.rows == Rows::Each;
        let output = |(name, spec): (&String, &OutputSpec)| {
            let produces = if spec.format == OutputFormat::Files { PortType::Files } else { PortType::Table };
            let columns = spec.columns.keys().map(|name| Column::new(name.clone(), "as declared", ""));
            let port = OutputPort::new(name.clone(), produces);
            // What a program writes beside the declared columns is not known; nor what a row has itself.
            if by_row { port.gives(columns) } else { port.may_give(columns) }
        };
        let mut outputs: Vec<OutputPort> = params.outputs.iter().map(output).collect();
        if !params.scores.is_empty() {
            outputs.extend(summed::ports(params.scores.iter().map(String::as_str)));
        }
        let mut inputs = Vec::new();
        if by_row {
            let rows = InputPort::new(each::ROWS, PortType::Table, true).about("What the program is asked about.");
            inputs.push(rows.with_help("with `rows: each` the program is given the rows of the input `rows`"));
            outputs.push(ports::yields());
        }
        Ports { inputs, open_inputs: true, outputs }
    }

    fn check(&self, params: &CommandParams) -> Vec<ParamProblem> {
        check::problems(params)
    }

    fn highlights(&self, params: &CommandParams) -> Vec<Highlight> {
        let rows = (params.rows == Rows::Each).then_some(Highlight::Yield { port: "yield" });
        rows.into_iter().chain(params.scores.iter().map(|name| summed::highlight(name.clone(), name.clone()))).collect()
    }

    fn follow(&self, params: &CommandParams, arriving: &Arriving) -> Result<Preview, StageError> {
        let given = arriving.get(each::ROWS).filter(|_| params.rows == Rows::Each);
        let Some((columns, (output, spec))) = given.zip(params.outputs.first()) else { return Ok(Preview::default()) };
        let is_there = |score: &&String| spec.columns.contains_key(*score) || columns.contains(score);
        if let Some(score) = params.scores.iter().find(|score| !is_there(score)) {
            let known = spec.columns.keys().chain(columns).map(String::as_str);
            return Err(StageError::User {
                message: format!("the score `{score}` is no column of the output `{output}`"),
                help: one_of(score, "the columns are", known),
            });
        }
        let added = spec.columns.keys().filter(|name| !columns.contains(name));
        Ok(Preview::columns(output, columns.iter().chain(added).cloned().collect()))
    }

    fn sources(&self, params: &CommandParams) -> Result<Vec<Source>, StageError> {
        Ok(calls::sources(&params.sources, &params.env).collect())
    }

    fn preview(&self, params: &CommandParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if let Some(name) = params.argv.first().filter(|name| program::placeholders(name).next().is_none()) {
            programs::find(name, host.base_dir(), host.env("PATH"))?;
        }
        Ok(Preview::default())
    }

    fn run(&self, params: &CommandParams, cx: &mut StageContext) -> Result<(), StageError> {
        let cx: &StageContext = cx;
        let workdir = cx.workdir()?;
        let mut paths = Paths::default();
        let by_row = params.rows == Rows::Each;
        for (name, kind) in cx.inputs().filter(|(name, _)| !by_row || *name != each::ROWS) {
            let path = match kind {
                ArtifactKind::Files => handover::files(cx, name, &workdir)?,
                ArtifactKind::Table => handover::table(cx, name, params.input_format.of(name), &workdir)?,
            };
            paths.inputs.insert(name.to_owned(), path);
        }
        if by_row {
            return each::run(params, cx, &paths, &workdir);
        }
        for (name, spec) in &params.outputs {
            let path = match spec.format {
                OutputFormat::Files => cx.output_dir(name)?,
                format => workdir.join(format!("{name}.{}", handover::extension(format))),
            };
            paths.outputs.insert(name.clone(), path);
        }
        let mut program = program::program(params, cx, &paths, cx.threads())?;
        program::warn_of_undeclared(params, cx);
        program::warn_of_formats(params, cx);
        // Whatever they write there may still become an output.
        let written = paths.outputs.values().cloned().chain([workdir]).collect();
        calls::execute(&mut program, cx, written, &Attendance::default())?;
        let mut scored = scores::Scored::new(params);
        for (number, (name, spec)) in params.outputs.iter().enumerate() {
            let scored = (number == 0).then_some(&mut scored);
            handover::collect(cx, name, spec, &paths.outputs[name], scored)?;
        }
        scored.write(cx)
    }
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
