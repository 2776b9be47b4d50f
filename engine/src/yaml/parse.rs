//! From parser events to the marked tree, within budgets.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{
    Data, Entry, MAX_ALIASED, MAX_BYTES, MAX_DEPTH, MAX_VALUES, Tree,
    advice::help,
    mapping::{drop_duplicates, merge},
    scalar::{BadNumber, resolve_plain},
    shorten,
};
use crate::diag::{Diagnostic, Span, TextId};

/// Parses one document. `None` when the text is no YAML at all (the reason is in `problems`); other problems are
/// collected and the offending value becomes [`Data::Invalid`]. An empty text is [`Data::Null`].
pub fn parse(source: TextId, text: &str, problems: &mut Vec<Diagnostic>) -> Option<Tree> {
    parse_at(source, text, 0, problems)
}

/// Like [`parse`], for a text that begins `offset` bytes into its source.
pub fn parse_at(source: TextId, text: &str, offset: usize, problems: &mut Vec<Diagnostic>) -> Option<Tree> {
    let positions = Positions::new(source, text, offset);
    if text.len() > MAX_BYTES {
        problems.push(
            Diagnostic::error("yaml::too_large", format!("the file is larger than {} MiB", MAX_BYTES >> 20))
                .at(Span::new(source, offset, offset), ""),
        );
        return None;
    }
    let mut builder =
        Builder { positions, problems, stack: Vec::new(), anchors: HashMap::new(), aliased: 0, values: 0, root: None };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.syntax_error(text, &error);
                return None;
            }
        };
        let span = builder.positions.span(span);
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                builder.problems.push(
                    Diagnostic::error("yaml::documents", "a pipeline file holds one document")
                        .at(span, "a second one starts here")
                        .help("remove the `---`, or put it into a file of its own"),
                );
                break;
            }
        }
        builder.event(event, span)?;
    }
    let nothing = Tree { span: Span::new(source, offset, offset), data: Data::Null };
    Some(builder.root.unwrap_or(nothing))
}

/// Turns the parser's character positions into bytes.
struct Positions<'t> {
    source: TextId,
    text: &'t str,
    /// Where the text begins in its source.
    offset: usize,
    /// Byte offset of each character; empty for ASCII, where they are the same.
    bytes: Vec<u32>,
}

impl<'t> Positions<'t> {
    fn new(source: TextId, text: &'t str, offset: usize) -> Self {
        let bytes =
            if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(byte, _)| byte as u32).collect() };
        Self { source, text, offset, bytes }
    }

    fn byte(&self, index: usize) -> usize {
        let len = self.text.len();
        if self.bytes.is_empty() { index.min(len) } else { self.bytes.get(index).map_or(len, |&b| b as usize) }
    }

    /// The span without white space at its end, which the parser counts in.
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        Span::new(self.source, self.offset + start, self.offset + start + self.text[start..end].trim_end().len())
    }
}

struct Frame {
    start: Span,
    anchor: usize,
    /// The highest number of levels below.
    height: usize,
    items: Items,
}

enum Items {
    List(Vec<Tree>),
    Map { entries: Vec<Entry>, merges: Vec<Tree>, key: Option<Key> },
}

struct Key {
    text: String,
    span: Span,
    merge: bool,
    /// False when the key was refused; its value is dropped.
    valid: bool,
}

/// What an anchor stands for, with what it costs to copy.
struct Anchored {
    node: Tree,
    size: usize,
    height: usize,
}

struct Builder<'t, 'p> {
    positions: Positions<'t>,
    problems: &'p mut Vec<Diagnostic>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    values: usize,
    root: Option<Tree>,
}

impl Builder<'_, '_> {
    /// Takes one event; `None` when a budget is spent and reading must stop.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        self.values += 1;
        if self.values > MAX_VALUES {
            let message = format!("the file holds more than {MAX_VALUES} keys and values");
            self.problems.push(
                Diagnostic::error("yaml::values", message)
                    .at(span, "this one goes beyond the limit")
                    .help("keep data in files of their own, and read them with a `table`"),
            );
            return None;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    self.set_key(Key { text: text.into_owned(), span, merge, valid: true });
                    return Some(());
                }
                let data = self.scalar(&text, style, tag.as_deref(), span);
                let node = Tree { span, data };
                self.remember(anchor, &node, 0)?;
                self.push(node, 0);
            }
            Event::SequenceStart(anchor, tag) => self.open(Items::List(Vec::new()), span, anchor, tag.as_deref())?,
            Event::MappingStart(anchor, tag) => {
                let items = Items::Map { entries: Vec::new(), merges: Vec::new(), key: None };
                self.open(items, span, anchor, tag.as_deref())?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { items: Items::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Frame { items: Items::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(new);
        }
    }

    fn open(&mut self, items: Items, span: Span, anchor: usize, tag: Option<&Tag>) -> Option<()> {
        self.depth_allows(1, span)?;
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "seq" | "map"))
        {
            self.unknown_tag(tag, span);
        }
        if self.wants_key() {
            self.problems.push(
                Diagnostic::error("yaml::key", "a key must be a plain text")
                    .at(span, "this key is a list or a mapping")
                    .help("a `{` or `[` at the start of a text must be quoted; so must a lone `${...}` after `{`"),
            );
            self.set_key(Key { text: String::new(), span, merge: false, valid: false });
            // The collection itself is read as a value of nothing: it takes the key's place, and the real value
            // follows.
            self.stack.push(Frame { start: span, anchor: KEY, height: 0, items });
            return Some(());
        }
        self.stack.push(Frame { start: span, anchor, height: 0, items });
        Some(())
    }

    fn close(&mut self, end: Span) -> Option<()> {
        let frame = self.stack.pop()?;
        let height = frame.height + 1;
        let (data, last) = match frame.items {
            Items::List(items) => {
                let last = items.last().map_or(frame.start.end, |n| n.span.end);
                (Data::List(items), last)
            }
            Items::Map { mut entries, merges, .. } => {
                let last = entries.iter().map(|e| e.value.span.end.max(e.key_span.end)).max();
                drop_duplicates(&mut entries, self.problems);
                merge(&mut entries, merges, self.problems);
                (Data::Map(entries), last.unwrap_or(frame.start.end))
            }
        };
        if frame.anchor == KEY {
            return Some(());
        }
        // Block collections end where their last value does; flow collections have a closing bracket.
        let closed = end.end > end.start;
        let span = Span { end: if closed { end.end } else { last.max(frame.start.end) }, ..frame.start };
        let node = Tree { span, data };
        self.remember(frame.anchor, &node, height)?;
        self.push(node, height);
        Some(())
    }

    fn push(&mut self, node: Tree, height: usize) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.height = frame.height.max(height);
        match &mut frame.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, merges, key } => {
                let key = key.take().expect("a value follows its key");
                if key.merge {
                    merges.push(node);
                } else if key.valid {
                    entries.push(Entry { key: key.text, key_span: key.span, value: node });
                }
            }
        }
    }

    /// Keeps what an anchor stands for; the copy is charged like an alias, since anchors can be nested too.
    fn remember(&mut self, anchor: usize, node: &Tree, height: usize) -> Option<()> {
        if anchor == 0 || anchor == KEY {
            return Some(());
        }
        let size = node.size();
        self.charge(size, node.span)?;
        self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        Some(())
    }

    fn charge(&mut self, size: usize, span: Span) -> Option<()> {
        self.aliased += size;
        if self.aliased <= MAX_ALIASED {
            return Some(());
        }
        self.problems.push(
            Diagnostic::error(
                "yaml::alias_budget",
                format!("anchors and aliases stand for more than {MAX_ALIASED} values"),
            )
            .at(span, "this one goes beyond the limit")
            .help("share stages with `include:` and values with `vars:` in place of nested aliases"),
        );
        None
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some((size, height)) = self.anchors.get(&anchor).map(|a| (a.size, a.height)) else {
            self.problems.push(
                Diagnostic::error("yaml::alias", "an alias stands for the very value it is part of")
                    .at(span, "this alias")
                    .help("a value cannot contain itself"),
            );
            if self.wants_key() {
                self.set_key(Key { text: String::new(), span, merge: false, valid: false });
            } else {
                self.push(Tree { span, data: Data::Invalid }, 0);
            }
            return Some(());
        };
        self.charge(size, span)?;
        self.depth_allows(height, span)?;
        let node = self.anchors[&anchor].node.clone();
        if self.wants_key() {
            if let Data::String(text) = node.data {
                self.set_key(Key { text, span, merge: false, valid: true });
            } else {
                self.problems.push(
                    Diagnostic::error("yaml::key", "a key must be a plain text").at(span, "this alias is not one"),
                );
                self.set_key(Key { text: String::new(), span, merge: false, valid: false });
            }
            return Some(());
        }
        self.push(node, height);
        Some(())
    }

    fn depth_allows(&mut self, more: usize, span: Span) -> Option<()> {
        if self.stack.len() + more <= MAX_DEPTH {
            return Some(());
        }
        self.too_deep(span);
        None
    }

    fn too_deep(&mut self, span: Span) {
        self.problems.push(
            Diagnostic::error("yaml::depth", format!("values are nested more than {MAX_DEPTH} deep"))
                .at(span, "too deep from here on"),
        );
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Data {
        if let Some(tag) = tag {
            let core = tag.is_yaml_core_schema().then_some(tag.suffix.as_str());
            match core {
                Some("str") => return Data::String(text.to_owned()),
                Some("int" | "float" | "bool" | "null") => {
                    let data = self.plain(text, span);
                    let fits = match (core, &data) {
                        (Some("int"), Data::Number(n, _)) => !n.is_f64(),
                        (Some("float"), Data::Number(..))
                        | (Some("bool"), Data::Bool(_))
                        | (Some("null"), Data::Null)
                        | (_, Data::Invalid) => true,
                        _ => false,
                    };
                    if !fits {
                        let message = format!("`{}` is no `!!{}`", shorten(text), tag.suffix);
                        self.problems.push(Diagnostic::error("yaml::tag", message).at(span, "tagged value"));
                        return Data::Invalid;
                    }
                    return data;
                }
                _ if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() => {
                    return Data::String(text.to_owned());
                }
                _ => {
                    self.unknown_tag(tag, span);
                    return Data::Invalid;
                }
            }
        }
        if style == ScalarStyle::Plain { self.plain(text, span) } else { Data::String(text.to_owned()) }
    }

    fn plain(&mut self, text: &str, span: Span) -> Data {
        resolve_plain(text).unwrap_or_else(|bad| {
            let (message, help) = match bad {
                BadNumber::Integer => ("is an integer beyond 64 bits", "quote it if it is a name"),
                BadNumber::Float => ("is too large for a 64-bit float", "quote it if it is a name"),
                BadNumber::NotFinite => {
                    ("is not a finite number", "parameters are finite; leave it out, or quote it if it is a name")
                }
            };
            let message = format!("`{}` {message}", shorten(text));
            self.problems.push(Diagnostic::error("yaml::number", message).at(span, "").help(help));
            Data::Invalid
        })
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        self.problems.push(
            Diagnostic::error("yaml::tag", format!("the tag `{tag}` means nothing here"))
                .at(span, "tagged value")
                .help("remove the tag; a text that begins with `!` must be quoted"),
        );
    }

    fn syntax_error(&mut self, text: &str, error: &ScanError) {
        let at = self.positions.byte(error.marker().index());
        let rest = &text[at..];
        let end = at + rest.chars().next().filter(|c| !c.is_control()).map_or(0, char::len_utf8);
        if error.info().contains("recursion limit") {
            self.too_deep(Span::new(self.positions.source, self.positions.offset + at, self.positions.offset + end));
            return;
        }
        self.problems.push(
            Diagnostic::error("yaml::syntax", format!("the file is not valid YAML: {}", error.info()))
                .at(
                    Span::new(self.positions.source, self.positions.offset + at, self.positions.offset + end),
                    "the reader stopped here",
                )
                .maybe_help(help(text, at, error.info()).map(str::to_owned)),
        );
    }
}

/// Marks the frame of a collection that stands where a key should be; never an anchor of the parser's, which count up
/// from 1.
const KEY: usize = usize::MAX;
