//! `select`: a table made of another one, step by step.

mod apply;
mod columns;
mod computed;
mod expression;
mod join;
mod params;
mod row;
#[cfg(test)]
mod tests;
mod types;
mod wrong;

use pipe_engine::{
    context::StageContext,
    kind::{Arriving, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, StageError, StageKind},
};

pub use self::params::{Computed, Concatenate, Direction, How, Join, Keys, Sample, SelectParams, SortBy, Step};
use self::wrong::Wrong;

/// The kind.
pub struct Select;

impl StageKind for Select {
    type Params = SelectParams;
    const NAME: &'static str = "select";
    // 1: the first.
    // 2: what has no order (`null < 3`) is not compared, and 0 is -0 to `distinct` and `join`.
    const VERSION: u32 = 2;

    fn ports(&self, params: &SelectParams) -> Ports {
        let two = params.steps.iter().any(Step::reads_other);
        Ports {
            inputs: vec![
                InputPort::new("rows", PortType::Table, true).about("The rows that the steps begin with."),
                InputPort::new("other", PortType::Table, two)
                    .about("For the steps `join` and `concatenate`: the second table.")
                    .with_help("`join` and `concatenate` take it: `inputs: { rows: ..., other: ... }`"),
            ],
            open_inputs: false,
            outputs: vec![OutputPort::table("rows").about("What the last step leaves.")],
        }
    }

    fn check(&self, params: &SelectParams) -> Vec<ParamProblem> {
        (params.steps.iter().enumerate())
            .flat_map(|(at, step)| {
                let begins = format!("/steps/{at}/{}", step.name());
                problems(step).into_iter().map(move |(place, wrong)| ParamProblem {
                    pointer: format!("{begins}{place}"),
                    message: wrong.message,
                    help: wrong.help,
                })
            })
            .collect()
    }

    fn follow(&self, params: &SelectParams, arriving: &Arriving) -> Result<Preview, StageError> {
        let Some(rows) = arriving.get("rows") else { return Ok(Preview::default()) };
        let other = arriving.get("other").map(Vec::as_slice);
        let left = columns::after(params, rows.clone(), other)?;
        Ok(left.map_or_else(Preview::default, |columns| Preview::columns("rows", columns)))
    }

    fn run(&self, params: &SelectParams, cx: &mut StageContext) -> Result<(), StageError> {
        let rows = cx.table("rows")?.read()?;
        let other = cx.optional_table("other")?.map(|table| table.read()).transpose()?;
        if other.is_some() && !params.steps.iter().any(Step::reads_other) {
            cx.warn("no step takes the input `other`: `join` and `concatenate` do");
        }
        let before = rows.num_rows() as u64;
        let mut left = before;
        let mut tell = |number: usize, now: u64| {
            if now != left {
                cx.note(format!("step {number} (`{}`): {left} rows -> {now}", params.steps[number - 1].name()));
            }
            left = now;
        };
        let made = apply::apply(params, rows, other.as_ref(), cx.cancel_token(), &mut tell)?;
        cx.write_batches("rows", made.schema_ref(), [&made])?;
        Ok(())
    }
}

/// What is wrong with a step, whatever the table: where in it, and what.
fn problems(step: &Step) -> Vec<(String, Wrong)> {
    let mut found = Vec::new();
    let mut wrong = |place: &str, wrong: Wrong| found.push((place.to_owned(), wrong));
    let empty = |what: &str| Wrong::new(format!("no column is named {what}"), "name one or more");
    match step {
        Step::Filter(expression) => {
            if let Err(e) = expression::syntax(expression) {
                wrong("", e);
            }
        }
        Step::Set(made) => {
            for (name, value) in made {
                if let Computed::Expression(expression) = value
                    && let Err(e) = expression::syntax(expression)
                {
                    wrong(&format!("/{}", name.replace('~', "~0").replace('/', "~1")), e);
                }
            }
        }
        Step::Keep(names) | Step::DropEmpty(names) | Step::Distinct(names) if names.is_empty() => {
            wrong("", empty("to go by"));
        }
        Step::Sample(sample) if sample.rows.is_some() == sample.fraction.is_some() => {
            let help = "for example `sample: { rows: 100 }` or `sample: { fraction: 0.1 }`";
            wrong("", Wrong::new("a sample has either `rows` or a `fraction`", help));
        }
        Step::Sort(by) => {
            if by.is_empty() {
                wrong("", empty("to sort by"));
            }
            for (at, _) in by.iter().enumerate().filter(|(_, by)| by.parts().is_none()) {
                let help = "write `- sort: [{ score: desc }, id]`";
                wrong(&format!("/{at}"), Wrong::new("one column, with its direction, is an entry", help));
            }
        }
        Step::Join(join) if join.on.pairs().is_empty() => wrong("/on", empty("as the key")),
        _ => {}
    }
    found
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { rows: table, other: table }, params: { steps: [ { filter: \"id > 0 and 'item' in instruction\" \
            }, { set: { words: 'instruction|wordcount', twice: 'labels + labels', origin: \"'hand'\", weight: 0.5 } }, \
            { rename: { output: answer } }, { join: { on: id, columns: [output], how: left } }, { sample: { rows: 3, \
            seed: 1 } }, { concatenate: fill }, { drop_empty: [labels] }, { sort: [{ id: desc }] }, { drop: [task] }, \
            { distinct: [id] } ] }",
    version: 2,
    outputs: &[("rows", "b9b3e2cb2ebfc73a0be0a59373ec2695c3962b1902539cc5a58f3ede43cf06f0")],
};
