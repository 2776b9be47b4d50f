//! Diagnostics as miette sees them. miette is used without its renderers here: the binary chooses one.

use std::fmt::{self, Display};

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::{Diagnostic, Label, Severity, SourceFile, SourceId, SourceMap};

/// One diagnostic with the text around it. A diagnostic that points into several files becomes a report with one related
/// report for each further file.
#[derive(Debug)]
pub struct Report<'a> {
    severity: miette::Severity,
    code: Option<&'static str>,
    message: String,
    help: Option<&'a str>,
    file: Option<&'a SourceFile>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Report<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Self {
        let mut files: Vec<SourceId> = Vec::new();
        for label in &diagnostic.labels {
            if !files.contains(&label.span.source) {
                files.push(label.span.source);
            }
        }
        let labels_in = |file: SourceId| {
            let labels = diagnostic.labels.iter().enumerate().filter(move |(_, l)| l.span.source == file);
            labels.map(|(i, l)| labeled(l, i == 0, sources)).collect::<Vec<_>>()
        };
        let elsewhere = files.iter().skip(1).map(|&id| {
            let file = sources.get(id);
            Report {
                severity: miette::Severity::Advice,
                code: None,
                message: format!("the other place is in {}", file.name),
                help: None,
                file: Some(file),
                labels: labels_in(id),
                elsewhere: Vec::new(),
            }
        });
        Report {
            severity: match diagnostic.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            code: Some(diagnostic.code),
            message: diagnostic.message.clone(),
            help: diagnostic.help.as_deref(),
            file: files.first().map(|&id| sources.get(id)),
            labels: files.first().map_or_else(Vec::new, |&id| labels_in(id)),
            elsewhere: elsewhere.collect(),
        }
    }
}

fn labeled(label: &Label, primary: bool, sources: &SourceMap) -> LabeledSpan {
    let span = sources.first_line(label.span);
    let text = (!label.text.is_empty()).then(|| label.text.clone());
    let range = SourceSpan::from(span.start as usize..span.end as usize);
    if primary { LabeledSpan::new_primary_with_span(text, range) } else { LabeledSpan::new_with_span(text, range) }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.code.map(|c| Box::new(c) as Box<dyn Display>)
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help.map(|h| Box::new(h) as Box<dyn Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.file.map(|f| f as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty())
            .then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|r| r as &dyn miette::Diagnostic)))
    }
}

impl SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, context_lines_before, context_lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}
