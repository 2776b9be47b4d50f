//! A kind's documentation on a terminal, at 80 columns.

use std::io::{self, Write};

use super::{ColumnDoc, KindDoc, ParamDoc, PortDoc};
use crate::output::{paint, style};

const WIDTH: usize = 80;

/// Writes all that there is to say of a kind.
pub(crate) fn document(kind: &KindDoc, color: bool, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page { out, color };
    page.line(0, &format!("{} (version {})", page.bold(kind.name), kind.version))?;
    for paragraph in kind.about.split("\n\n").chain([&*kind.again]) {
        page.blank()?;
        page.wrapped(0, paragraph)?;
    }
    if !kind.inputs.is_empty() || kind.open_inputs {
        page.heading("inputs")?;
        kind.inputs.iter().try_for_each(|port| page.port(port))?;
        if kind.open_inputs {
            page.line(2, "Any others, under names of your own.")?;
        }
    }
    if !kind.outputs.is_empty() {
        page.heading("outputs")?;
        kind.outputs.iter().try_for_each(|port| page.port(port))?;
    }
    page.heading("parameters")?;
    kind.params.iter().try_for_each(|param| page.param(2, param))?;
    if let Some(example) = kind.example {
        page.heading("example")?;
        for line in example.0.lines() {
            page.line(2, line)?;
        }
    }
    Ok(())
}

/// Writes the names of all kinds, with what they do.
pub(crate) fn list(kinds: &[KindDoc], color: bool, out: &mut impl Write) -> io::Result<()> {
    let width = kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0) + 2;
    let mut page = Page { out, color };
    for kind in kinds {
        let name = format!("{}{:pad$}", page.bold(kind.name), "", pad = width - kind.name.len());
        for (i, line) in wrap(&kind.summary(), WIDTH.saturating_sub(width)).iter().enumerate() {
            let text = if i == 0 { format!("{name}{line}") } else { format!("{:width$}{line}", "") };
            page.line(0, &text)?;
        }
    }
    Ok(())
}

struct Page<'a, W> {
    out: &'a mut W,
    color: bool,
}

impl<W: Write> Page<'_, W> {
    fn bold(&self, text: &str) -> String {
        paint(text, style::BOLD, self.color)
    }

    fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    fn line(&mut self, indent: usize, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", format!("{:indent$}{text}", "").trim_end())
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        self.blank()?;
        let text = self.bold(text);
        self.line(0, &text)
    }

    fn wrapped(&mut self, indent: usize, text: &str) -> io::Result<()> {
        wrap(text, WIDTH.saturating_sub(indent)).iter().try_for_each(|line| self.line(indent, line))
    }

    /// A name in colour, and what it is behind it, on further lines where there is much of it.
    fn entry(&mut self, indent: usize, name: &str, notes: &str) -> io::Result<()> {
        let lines = wrap(&format!("{name}  {notes}"), WIDTH.saturating_sub(indent + 4));
        for (i, line) in lines.iter().enumerate() {
            let (shown, rest) = if i == 0 { line.split_at(name.len().min(line.len())) } else { ("", &line[..]) };
            let shown = if shown.is_empty() { String::new() } else { paint(shown, style::NEW, self.color) };
            let gap = if i == 0 && !rest.is_empty() { "  " } else { "" };
            let text = format!("{shown}{gap}{}", paint(rest.trim_start(), style::DIM, self.color));
            self.line(if i == 0 { indent } else { indent + 4 }, &text)?;
        }
        Ok(())
    }

    fn port(&mut self, port: &PortDoc) -> io::Result<()> {
        self.entry(2, &port.name, &port.notes)?;
        self.wrapped(6, &port.about)?;
        port.columns.iter().try_for_each(|column| self.column(column))?;
        match port.passes {
            Some(input) => self.line(6, &format!("and the columns of `{input}`")),
            None => Ok(()),
        }
    }

    fn column(&mut self, column: &ColumnDoc) -> io::Result<()> {
        self.explained(6, &column.names.join(" or "), &format!("{}. {}", column.notes, column.about))
    }

    /// A name, and what is to be said of it in one paragraph.
    fn explained(&mut self, indent: usize, name: &str, about: &str) -> io::Result<()> {
        let text = format!("- {name}: {about}");
        for (i, line) in wrap(&text, WIDTH.saturating_sub(indent + 2)).iter().enumerate() {
            self.line(if i == 0 { indent } else { indent + 2 }, line)?;
        }
        Ok(())
    }

    fn param(&mut self, indent: usize, param: &ParamDoc) -> io::Result<()> {
        self.entry(indent, &param.name, &param.notes)?;
        let inside = indent + 4;
        for paragraph in param.about.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.wrapped(inside, paragraph)?;
        }
        param.choices.iter().try_for_each(|(name, about)| self.explained(inside, name, about))?;
        if !param.variables.is_empty() {
            self.line(inside, "A template may use:")?;
            param.variables.iter().try_for_each(|(name, about)| self.explained(inside, name, about))?;
        }
        param.nested.iter().try_for_each(|nested| self.param(inside, nested))
    }
}

/// The text in lines of at most so many characters, where its words allow.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_fits_into_eighty_columns() {
        let registry = pipe_stages::registry();
        for kind in registry.iter() {
            let mut text = Vec::new();
            document(&KindDoc::new(kind.as_ref(), &registry), false, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            // Examples are as wide as they are.
            let (prose, example) = text.split_once("\nexample\n").unwrap();
            let wide: Vec<&str> = prose.lines().filter(|line| line.chars().count() > WIDTH).collect();
            assert!(wide.is_empty(), "{}: {wide:#?}", kind.name());
            assert!(example.contains(&format!("kind: {}", kind.name())), "{example}");
        }
    }
}
