//! Reporters: they listen to the events of a run, and do nothing else.

mod bars;
mod dots;
mod json;
mod lines;
mod pace;
mod region;
mod results;
pub(crate) mod study;
mod summary;
mod tensorboard;
mod ticker;
mod view;

use std::io::{self, IsTerminal};

use pipe_engine::events::Event;

use crate::{
    cli::{Format, Global},
    output,
};

pub(crate) use {results::print, summary::Summary, tensorboard::TensorBoard, view::live_stage};

/// Takes the events of a run in order.
pub(crate) trait Reporter {
    /// The next event.
    fn event(&mut self, event: &Event);
}

/// The reporter for the flags, and for where stderr goes.
pub(crate) fn reporter(global: &Global, format: Format) -> Box<dyn Reporter> {
    if format == Format::Json {
        return Box::new(json::JsonLines::default());
    }
    if global.quiet {
        return Box::new(lines::Lines::errors_only());
    }
    // Log lines and bars would overwrite each other.
    if global.verbose == 0 && io::stderr().is_terminal() && !output::terminal_is_dumb() {
        return Box::new(bars::Bars::default());
    }
    Box::new(lines::Lines::new())
}
