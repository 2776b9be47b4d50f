//! How much a page shows. What is left out is said where it is missing; all of it stands in the tables that the run
//! left. The sum of these bounds is what keeps four arms of 660 items below 1.5 MB, and 500 arms readable.

/// Comparisons.
pub(crate) const COMPARISONS: usize = 12;
/// Arms (or lines) in one plot.
pub(crate) const LINES: usize = 40;
/// Metrics that have plots.
pub(crate) const METRICS: usize = 3;
/// Maps of items.
pub(crate) const MAPS: usize = 2;
/// Cells of all maps of one comparison.
pub(crate) const MAP_CELLS: usize = 14_000;
/// Rows of a table, and of those of all comparisons together.
pub(crate) const ROWS: usize = 200;
pub(crate) const ALL_ROWS: usize = 1_200;
/// Bytes of all data to download, and characters of a word in it.
pub(crate) const DATA: usize = 560_000;
pub(crate) const WORD: usize = 160;
/// Bytes of samples and the rows they lead to.
pub(crate) const SAMPLES: usize = 420_000;
/// Arms whose answers a sample shows.
pub(crate) const ANSWERS: usize = 12;
/// Rows that resemble one question, references, passages.
pub(crate) const RESEMBLING: usize = 3;
pub(crate) const REFERENCES: usize = 6;
pub(crate) const PASSAGES: usize = 6;
/// What one row comes from.
pub(crate) const FROM: usize = 24;
/// Characters of one text of a sample, of a passage, of a field of a row.
pub(crate) const TEXT: usize = 1_500;
pub(crate) const PASSAGE: usize = 700;
pub(crate) const FIELD: usize = 600;
/// Points of all curves of a stage, and curves.
pub(crate) const POINTS: usize = 3_600;
pub(crate) const CURVES: usize = 48;
/// Stages with plots of their own: curves, yields.
pub(crate) const STAGES: usize = 12;
/// Variants and stages in the sharing picture.
pub(crate) const VARIANTS: usize = 40;
pub(crate) const COLUMNS: usize = 30;
/// Bytes of provenance, and of the parameters of one stage.
pub(crate) const PROVENANCE: usize = 70_000;
pub(crate) const PARAMETERS: usize = 6_000;
/// Failures.
pub(crate) const FAILURES: usize = 30;
/// Characters of a sentence, of what the pointer shows, of the words for a plot.
pub(crate) const SENTENCE: usize = 1_000;
pub(crate) const TITLE: usize = 160;
pub(crate) const LABEL: usize = 1_000;
/// Characters of a name in a table.
pub(crate) const NAME: usize = 120;
