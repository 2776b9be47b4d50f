//! The texts that diagnostics point into.

use std::{
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use super::blot;

/// Index of a text in a [`Texts`]. Files are numbered in the order in which they were read: the pipeline file is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TextId(pub(crate) u32);

/// A range of bytes in one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The text.
    pub text: TextId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of bytes `start..end`.
    pub fn new(text: TextId, start: usize, end: usize) -> Self {
        Self { text, start: start as u32, end: end as u32 }
    }
}

/// Begins the name of a built-in file.
pub const BUILTIN: &str = "builtin:";

/// One text: a file, or what was given with `--set`.
#[derive(Debug, Clone)]
pub struct Text {
    /// The path as people know it, or `--set`.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
    /// The folder that relative paths in it start from.
    pub folder: PathBuf,
    /// Where its lines begin.
    lines: Vec<u32>,
    shown: OnceLock<String>,
}

impl Text {
    /// Whether it is one that nobody can change.
    pub(super) fn is_builtin(&self) -> bool {
        self.name.starts_with(BUILTIN)
    }

    /// The text as people may see it, in as many bytes.
    pub fn shown(&self) -> &str {
        self.shown.get_or_init(|| blot(&self.text))
    }

    /// The number of the line that holds a byte, counted from 0, and where that line begins.
    pub(super) fn line_of(&self, byte: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start as usize <= byte).saturating_sub(1);
        (line, self.line_start(line))
    }

    /// Where a line begins; the end of the text behind the last one.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).map_or(self.text.len(), |&start| start as usize)
    }
}

/// All texts of one pipeline.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    files: Vec<Text>,
}

impl Texts {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>, folder: &Path) -> TextId {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at as u32 + 1)).collect();
        self.files.push(Text { name: name.into(), text, folder: folder.to_owned(), lines, shown: OnceLock::new() });
        TextId(self.files.len() as u32 - 1)
    }

    /// All texts, in the order in which they were added.
    pub fn files(&self) -> &[Text] {
        &self.files
    }

    /// A text that was added.
    pub fn get(&self, id: TextId) -> &Text {
        &self.files[id.0 as usize]
    }

    /// All texts, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Text> {
        self.files.iter()
    }

    /// Line and column of the span's start, counted from 1, columns in characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let (file, byte) = (self.get(span.text), span.start as usize);
        let (line, start) = file.line_of(byte);
        (line + 1, file.text[start..byte].chars().count() + 1)
    }

    /// The span cut off at the end of its first line: what a label marks, since a block of many lines is hard to read.
    pub fn first_line(&self, span: Span) -> Span {
        let text = &self.get(span.text).text[span.start as usize..span.end as usize];
        let line = text.lines().next().unwrap_or("").trim_end();
        Span { end: span.start + line.len() as u32, ..span }
    }
}

/// The path with `.` and `..` worked out, so that one folder has one name. Links are not followed.
pub fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(parts.last(), Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}
