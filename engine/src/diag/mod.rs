//! What is wrong with a pipeline file, and where: data only, no rendering.
//!
//! Every piece of the front half (yaml, include, spec, variables, resolve) pushes [`Diagnostic`]s instead of stopping
//! at the first problem. [`Diagnostics`] is the sorted, deduplicated whole together with the texts it points into.

mod report;
mod shown;
mod suggest;
mod text;

use std::{collections::HashSet, fmt, sync::Arc};

pub use report::Report;
pub use shown::{blot, escape, is_hostile, redact, redacted, shown};
pub use suggest::{SHOWN_OF_CIRCLE, advice, circle, did_you_mean, list_names, one_of};
pub use text::{BUILTIN, Span, Text, TextId, Texts, plain};

/// Whether a problem stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The pipeline cannot be run.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One marked place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Whether it stops the run.
    pub severity: Severity,
    /// A stable name for scripts, for example `params::unknown`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; the first is the primary one. Empty only for a file that cannot be read.
    pub places: Vec<Place>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error; add places with [`Diagnostic::at`].
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), places: Vec::new(), help: None }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.places.push(Place { span, text: text.into() });
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do about it, where something is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// Most problems that are told of one pipeline.
const MAX_TOLD: usize = 1_000;

/// Problems in file order, each said once, with the texts they point into.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    /// The problems.
    pub items: Vec<Diagnostic>,
    /// How many more there are.
    pub more: usize,
    /// The texts.
    pub texts: Arc<Texts>,
}

impl Diagnostics {
    /// Sorts by place (files in the order they were read), drops repetitions, and counts what goes beyond a thousand.
    pub fn new(mut items: Vec<Diagnostic>, texts: Arc<Texts>) -> Self {
        let mut seen = HashSet::new();
        items.retain(|d| seen.insert(d.clone()));
        items.sort_by_key(|d| d.places.first().map_or((TextId::default(), 0), |l| (l.span.text, l.span.start)));
        // Errors first where there are too many.
        if items.len() > MAX_TOLD {
            items.sort_by_key(|d| d.severity == Severity::Warning);
        }
        let more = items.len().saturating_sub(MAX_TOLD);
        items.truncate(MAX_TOLD);
        Self { items, more, texts }
    }

    /// Whether any of them stops the run.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// The problems as miette reports, ready to be rendered by the binary.
    pub fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        self.items.iter().map(|d| Report::new(d, &self.texts))
    }
}

/// One line per problem, `file:line:column: message`: for logs and tests. People get the rendered [`Report`]s.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.items.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            if let Some(label) = d.places.first() {
                let (line, column) = self.texts.position(label.span);
                write!(f, "{}:{line}:{column}: ", self.texts.get(label.span.text).name)?;
            }
            f.write_str(&d.message)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
