//! The page as it grows: sections of paragraphs, figures and tables, and the data that goes with them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context, escape_formatter};
use serde::Serialize;

use crate::samples::Samples;
use crate::table::Table;
use crate::tables::{Data, Tables};
use crate::text::{clean, count, short};
use crate::{Error, Report, caps, json};

const TEMPLATES: [(&str, &str); 5] = [
    ("page", include_str!("../templates/page.html")),
    ("figure", include_str!("../templates/figure.html")),
    ("table", include_str!("../templates/table.html")),
    ("samples", include_str!("../templates/samples.html")),
    ("stage", include_str!("../templates/stage.html")),
];

/// The page in the making.
pub(crate) struct Page {
    templates: Environment<'static>,
    body: String,
    contents: Vec<Heading>,
    open: bool,
    pub(crate) tables: Tables,
    pub(crate) samples: Samples,
}

#[derive(Serialize)]
struct Heading {
    id: String,
    title: String,
    level: usize,
}

/// A plot with what is said below it.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) svg: String,
    /// The data to download.
    pub(crate) data: Option<String>,
}

/// What is embedded for the page's logic.
#[derive(Serialize)]
struct Embedded<'a> {
    words: &'a [String],
    tables: &'a Tables,
    samples: &'a Samples,
}

impl Page {
    pub(crate) fn new() -> Self {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_filter("short", |text: &str, most: usize| short(text, most));
        if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            templates.set_syntax(syntax);
        }
        templates.set_formatter(|out, state, value| match value.as_str() {
            Some(text) if !value.is_safe() => escape_formatter(out, state, &Value::from(clean(text).as_ref())),
            None if value.is_none() => Ok(()),
            _ => escape_formatter(out, state, value),
        });
        Self {
            templates,
            body: String::new(),
            contents: Vec::new(),
            open: false,
            tables: Tables::default(),
            samples: Samples::default(),
        }
    }

    fn render(&self, name: &str, with: Value) -> Result<String, Error> {
        let source = TEMPLATES.iter().find(|(template, _)| *template == name).map_or("", |(_, source)| source);
        Ok(self.templates.render_named_str(name, source, with)?)
    }

    /// A section of its own, which ends the one before it.
    pub(crate) fn section(&mut self, id: &str, title: &str) {
        self.close();
        self.open = true;
        self.heading(2, id, title);
    }

    /// A heading within a section.
    pub(crate) fn part(&mut self, id: &str, title: &str) {
        self.heading(3, id, title);
    }

    fn heading(&mut self, level: usize, id: &str, title: &str) {
        let title = &short(title, caps::NAME);
        let shown = escaped(title);
        if level == 2 {
            put!(self.body, "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{shown}</h2>\n");
        } else {
            put!(self.body, "<h3 id=\"{id}\">{shown}</h3>\n");
        }
        self.contents.push(Heading { id: id.to_owned(), title: title.to_owned(), level });
    }

    fn close(&mut self) {
        self.body.push_str(if self.open { "</section>\n" } else { "" });
        self.open = false;
    }

    pub(crate) fn paragraph(&mut self, words: &str) {
        put!(self.body, "<p>{}</p>\n", escaped(words));
    }

    /// What is not shown, or holds with a limit.
    pub(crate) fn note(&mut self, words: &str) {
        put!(self.body, "<p class=\"note\">{}</p>\n", escaped(words));
    }

    /// What must not be read past.
    pub(crate) fn warning(&mut self, words: &str) {
        put!(self.body, "<p class=\"warning\" role=\"note\"><b>{}</b></p>\n", escaped(words));
    }

    /// What somebody may want to open.
    pub(crate) fn details(
        &mut self,
        summary: &str,
        inside: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        put!(self.body, "<details><summary>{}</summary>\n", escaped(summary));
        inside(self)?;
        self.body.push_str("</details>\n");
        Ok(())
    }

    /// Plots side by side, where there is room.
    pub(crate) fn figures(&mut self, figures: &[Figure]) -> Result<(), Error> {
        if figures.is_empty() {
            return Ok(());
        }
        let level = self.contents.last().map_or(2, |heading| heading.level) + 1;
        self.body.push_str("<div class=\"figures\">\n");
        for figure in figures {
            let svg = Value::from_safe_string(figure.svg.clone());
            let html = self.render("figure", context! { figure => Value::from(Serde(figure)), svg, level })?;
            self.body.push_str(&html);
        }
        self.body.push_str("</div>\n");
        Ok(())
    }

    /// A table; nothing where it has no rows.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Error> {
        if !table.is_empty() {
            let html = self.render("table", context! { table => Value::from(Serde(table)) })?;
            self.body.push_str(&html);
        }
        Ok(())
    }

    /// The part of a template of its own.
    pub(crate) fn template(&mut self, name: &str, with: Value) -> Result<usize, Error> {
        let html = self.render(name, with)?;
        self.body.push_str(&html);
        Ok(html.len())
    }

    /// Data to download under this name, where there is any. Says so where it has not all rows.
    pub(crate) fn data(&mut self, name: &str, data: Data) -> Option<String> {
        let (fits, left_out) = self.tables.add(name, data);
        if left_out > 0 {
            let left_out = count(left_out as u64);
            self.note(&format!(
                "The download “{name}” leaves out {left_out} rows: the tables of the run have them all."
            ));
        }
        (fits > 0).then(|| name.to_owned())
    }

    /// The whole page.
    pub(crate) fn finish(mut self, report: &Report) -> Result<String, Error> {
        self.close();
        let embedded = Embedded { words: self.tables.words(), tables: &self.tables, samples: &self.samples };
        let data = json::embed(&embedded).map_err(|error| {
            minijinja::Error::new(minijinja::ErrorKind::BadSerialization, "data of the page").with_source(error)
        })?;
        // Scripts with this mark run, and no others: nobody who writes a text for the page can know it.
        let nonce = format!("{:016x}", fnv(data.as_bytes()));
        let failures: Vec<_> = report.failures.iter().take(caps::FAILURES).collect();
        self.render(
            "page",
            context! {
                title => short(&report.title, caps::NAME),
                question => report.question.as_deref().map(|question| short(question, caps::SENTENCE)),
                answer => report.answer.iter().map(|words| short(words, caps::SENTENCE)).collect::<Vec<_>>(),
                made => Value::from(Serde(&report.made)),
                failures => Value::from(Serde(&failures)),
                more_failures => report.failures.len() - failures.len(),
                contents => Value::from(Serde(&self.contents)),
                nonce,
                body => Value::from_safe_string(self.body.clone()),
                data => Value::from_safe_string(data),
                style => Value::from_safe_string(include_str!("page.css").to_owned()),
                logic => Value::from_safe_string(include_str!("page.js").to_owned()),
            },
        )
    }
}

/// Words as the templates would write them.
fn escaped(words: &str) -> String {
    minijinja::HtmlEscape(&short(words, caps::SENTENCE)).to_string()
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
