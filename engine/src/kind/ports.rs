//! The inputs and outputs that a stage declares, with their columns: documentation, and what `plan` checks before a
//! run.

use std::borrow::Cow;

use serde::Serialize;

/// What flows along an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortType {
    /// Rows, stored as Parquet.
    Table,
    /// A directory of files.
    Files,
    /// Either of them (the `command` kind).
    Any,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Other columns that will do in its place.
    #[serde(rename = "or", skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<&'static str>,
    /// What it holds, in words: `text`, `number`, `list of texts`.
    pub holds: &'static str,
    /// Of an input: whether it must be there. Of an output: whether it always is.
    pub always: bool,
    /// What it is for.
    pub about: &'static str,
}

impl Column {
    /// A column; `holds` says in words what its values are.
    pub fn new(name: impl Into<Cow<'static, str>>, holds: &'static str, about: &'static str) -> Self {
        Self { name: name.into(), alternatives: Vec::new(), holds, always: true, about }
    }

    /// A column of texts.
    pub fn text(name: impl Into<Cow<'static, str>>, about: &'static str) -> Self {
        Self::new(name, "text", about)
    }

    /// A column of numbers.
    pub fn number(name: impl Into<Cow<'static, str>>, about: &'static str) -> Self {
        Self::new(name, "number", about)
    }

    /// Another column will do in its place.
    #[must_use]
    pub fn or(mut self, alternative: &'static str) -> Self {
        self.alternatives.push(alternative);
        self
    }

    /// The others in words, each in those marks: ` or x or y`; nothing where there are none.
    pub fn or_others(&self, mark: &str) -> String {
        self.alternatives.iter().flat_map(|other| [" or ", mark, other, mark]).collect()
    }
}

/// What the rows at an input are to a study, whatever the kind does with them: what people check of their data before a
/// run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answered instructions that the model is shown or learns from.
    Seeds,
    /// Texts in which answers are looked up.
    Documents,
    /// Questions that models are compared by.
    Exam,
}

/// One named input of a kind.
#[derive(Debug, Clone, Serialize)]
pub struct InputPort {
    /// The name used under `inputs:`.
    pub name: Cow<'static, str>,
    /// What may be connected.
    pub accepts: PortType,
    /// Whether leaving it out is an error.
    pub required: bool,
    /// What it is.
    pub about: &'static str,
    /// The columns that are read; others do not matter, unless [`Self::about`] says so.
    pub columns: Vec<Column>,
    /// What its rows are to a study.
    #[serde(skip)]
    pub role: Option<Role>,
    /// What to do where it is required and left out, if there is more to say than to connect it.
    #[serde(skip)]
    pub help: Option<&'static str>,
}

impl InputPort {
    /// An input.
    pub fn new(name: impl Into<Cow<'static, str>>, accepts: PortType, required: bool) -> Self {
        Self { name: name.into(), accepts, required, about: "", columns: Vec::new(), role: None, help: None }
    }

    /// With what its rows are to a study.
    #[must_use]
    pub fn role(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }

    /// With what it is.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// With a help text, for an input that some parameters require and others do not.
    #[must_use]
    pub fn with_help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    /// With columns that must be there.
    #[must_use]
    pub fn needs(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.columns.extend(columns.into_iter().map(|column| Column { always: true, ..column }));
        self
    }

    /// With columns that are read where they are there.
    #[must_use]
    pub fn takes(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.columns.extend(columns.into_iter().map(|column| Column { always: false, ..column }));
        self
    }
}

/// One named output of a kind. The first output is what a bare `stage` refers to; others are `stage.name`.
#[derive(Debug, Clone, Serialize)]
pub struct OutputPort {
    /// The name behind the dot.
    pub name: Cow<'static, str>,
    /// What the stage leaves there.
    pub produces: PortType,
    /// What it is.
    pub about: &'static str,
    /// The columns of a table, as far as they are known beforehand.
    pub columns: Vec<Column>,
    /// The input whose columns it has, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<&'static str>,
}

impl OutputPort {
    /// An output.
    pub fn new(name: impl Into<Cow<'static, str>>, produces: PortType) -> Self {
        Self { name: name.into(), produces, about: "", columns: Vec::new(), passes: None }
    }

    /// A table.
    pub fn table(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, PortType::Table)
    }

    /// With what it is.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// With columns that it always has.
    #[must_use]
    pub fn gives(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.columns.extend(columns.into_iter().map(|column| Column { always: true, ..column }));
        self
    }

    /// With columns that it has under some circumstances.
    #[must_use]
    pub fn may_give(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.columns.extend(columns.into_iter().map(|column| Column { always: false, ..column }));
        self
    }

    /// With the columns of an input.
    #[must_use]
    pub fn passes(self, input: &'static str) -> Self {
        Self { passes: Some(input), ..self }
    }
}

/// The ports of one stage. They may depend on its parameters (the `command` kind).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ports {
    /// Declared inputs.
    pub inputs: Vec<InputPort>,
    /// Whether inputs of any other name are accepted too, as [`PortType::Any`] (the `command` kind).
    pub open_inputs: bool,
    /// Declared outputs; never empty.
    pub outputs: Vec<OutputPort>,
}
