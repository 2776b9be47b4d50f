//! What may be reused of a kind's earlier rows.

/// How far a kind can reuse its own earlier rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increment {
    /// The result is computed as a whole.
    Whole,
    /// Each output row depends on one row of the input port `primary` and on the side inputs alone.
    RowWise {
        /// The port whose rows are mapped.
        primary: &'static str,
    },
    /// An endless deterministic sequence of attempts; the parameter `extent` says how much of it is wanted and is not
    /// part of the recipe.
    Stream {
        /// The parameter that is left out of the recipe.
        extent: &'static str,
    },
}
