//! Plots: pictures that scale, made of a few shapes with classes that the page's style colours.
//!
//! A plot is an image to those who do not see it, with a label that says what it shows in words. Its numbers are data
//! to download, and mostly a table, too.

mod axis;
mod bars;
mod canvas;
mod cells;
mod forest;
mod heat;
mod legend;
mod lines;
mod scale;

pub(crate) use bars::{Bar, Part, bars};
pub(crate) use cells::{Block, Grid, grid};
pub(crate) use forest::{Forest, Line, Mark, forest};
pub(crate) use heat::{CLASSES, Heat, heat};
pub(crate) use lines::{Plot, Series, plot};
pub(crate) use scale::Scale;
