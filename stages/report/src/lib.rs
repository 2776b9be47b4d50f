//! One HTML page that says what a pipeline found: a single file without network, which works from a disk, in light and
//! dark, on paper, with a keyboard, and read aloud.
//!
//! [`Report`] is what it shows, as plain data; [`html`] makes the page of it. The same data makes the same bytes.
//!
//! Every text of the data is somebody else's: templates escape it, plots and the embedded JSON do so on their own, and
//! the page's policy runs no script but its own. How much is shown is bounded (`caps.rs`).

/// Writes behind a `String`, which cannot fail.
macro_rules! put {
    ($to:expr, $($words:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($to, $($words)*);
    }};
}

mod caps;
mod data;
mod json;
mod page;
mod samples;
mod section;
mod stages;
mod sure;
mod svg;
mod table;
mod tables;
mod text;

pub use data::*;
pub use stages::*;

/// A page that could not be made: a fault of this crate, not of the data.
#[derive(Debug)]
pub struct Error(minijinja::Error);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the page of the report could not be made")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<minijinja::Error> for Error {
    fn from(error: minijinja::Error) -> Self {
        Self(error)
    }
}

/// The page.
pub fn html(report: &Report) -> Result<String, Error> {
    let mut page = page::Page::new();
    section::all(&mut page, report)?;
    page.finish(report)
}
