//! What of a stage's results stands in the table of arms that ends a run.

use std::borrow::Cow;

/// Something in a stage's result that stands in the table of arms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Highlight {
    /// A score. A stage that declares one is a row of the table of arms.
    Score {
        /// The name under which scripts find it.
        name: Cow<'static, str>,
        /// The heading of its column.
        heading: Cow<'static, str>,
        /// The output table.
        port: &'static str,
        /// The row: the first one that has this text in this column.
        row: (&'static str, &'static str),
        /// The column with the score.
        value: Cow<'static, str>,
        /// The column with its standard error.
        standard_error: Option<Cow<'static, str>>,
    },
    /// An output table with the columns `outcome` and `count`, of which the rows `attempted` and `kept` are shown.
    Yield {
        /// The output table.
        port: &'static str,
    },
    /// A count that the stage kept with its result, added up over the stages that an arm stands on.
    Count {
        /// The counter's name.
        counter: &'static str,
        /// The heading of its column.
        heading: &'static str,
    },
}
