//! Diagnostics as miette sees them. miette is used without its renderers here: the binary chooses one.

use std::fmt::{self, Display};

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::{Diagnostic, Place, Severity, Text, TextId, Texts, shown};

/// One diagnostic with the text around it. A diagnostic that points into several files becomes a report with one
/// related report for each further file.
#[derive(Debug)]
pub struct Report<'a> {
    severity: miette::Severity,
    code: Option<&'static str>,
    message: String,
    help: Option<String>,
    file: Option<&'a Text>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Report<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(diagnostic: &'a Diagnostic, texts: &'a Texts) -> Self {
        let mut files: Vec<TextId> = Vec::new();
        for label in &diagnostic.places {
            if !files.contains(&label.span.text) {
                files.push(label.span.text);
            }
        }
        // What people can change comes first: a mistake that shows in a built-in file was made in one of theirs.
        files.sort_by_key(|&file| texts.get(file).is_builtin());
        let labels_in = |file: TextId| {
            let labels = diagnostic.places.iter().enumerate().filter(move |(_, l)| l.span.text == file);
            labels.map(|(i, l)| labeled(l, i == 0, texts)).collect::<Vec<_>>()
        };
        let elsewhere = files.iter().skip(1).map(|&id| {
            let file = texts.get(id);
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
            message: shown(&diagnostic.message).into_owned(),
            help: diagnostic.help.as_deref().map(|help| shown(help).into_owned()),
            file: files.first().map(|&id| texts.get(id)),
            labels: files.first().map_or_else(Vec::new, |&id| labels_in(id)),
            elsewhere: elsewhere.collect(),
        }
    }
}

fn labeled(label: &Place, primary: bool, texts: &Texts) -> LabeledSpan {
    let span = texts.first_line(label.span);
    let text = (!label.text.is_empty()).then(|| shown(&label.text).into_owned());
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
        self.help.as_deref().map(|h| Box::new(h) as Box<dyn Display>)
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

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // miette looks for lines from the start of what it is given: a few lines, not the whole file for every problem.
        let last = (span.offset() + span.len()).min(self.text.len());
        let first_line = self.line_of(span.offset()).0.saturating_sub(context_lines_before);
        let start = self.line_start(first_line);
        let end = self.line_start(self.line_of(last).0.saturating_add(context_lines_after).saturating_add(1));
        let within = SourceSpan::from((span.offset() - start, span.len()));
        let inner = self.shown()[start..end].read_span(&within, context_lines_before, context_lines_after)?;
        let read = SourceSpan::from((inner.span().offset() + start, inner.span().len()));
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            read,
            inner.line() + first_line,
            inner.column(),
            // It counts lines from the start of the text to the end of what is shown.
            inner.line_count() + first_line,
        )))
    }
}
