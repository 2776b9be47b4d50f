//! What a stage kind is: ports, parameters, version, and how to run it.
//!
//! A kind implements [`StageKind`]; the engine sees it through the object-safe [`DynKind`], which every `StageKind` gets for free.
//! The kind's parameter struct is its documentation and its JSON Schema. A parameter that does not change the
//! result (batch size, device, threads, a path whose *content* is hashed instead) carries
//! `#[schemars(extend("x-operational" = true))]` and is left out of the key.

use std::{
    any::Any,
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipe_cache::Digest;
use schemars::{JsonSchema, Schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{context::StageContext, highlights::Highlight};

/// What flows along an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortType {
    /// Rows, stored as Parquet.
    Table,
    /// A directory of files.
    Files,
    /// Either of them (the `command` kind).
    Any,
}

/// One named input of a kind.
#[derive(Debug, Clone)]
pub struct InputPort {
    /// The name used under `inputs:`.
    pub name: Cow<'static, str>,
    /// What may be connected.
    pub accepts: PortType,
    /// Whether leaving it out is an error.
    pub required: bool,
    /// What to do where it is required and left out, if there is more to say than to connect it.
    pub help: Option<&'static str>,
}

impl InputPort {
    /// An input.
    pub fn new(name: impl Into<Cow<'static, str>>, accepts: PortType, required: bool) -> Self {
        Self { name: name.into(), accepts, required, help: None }
    }

    /// With a help text, for an input that some parameters require and others do not.
    #[must_use]
    pub fn with_help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// One named output of a kind. The first output is what a bare `stage` refers to; others are `stage.name`.
#[derive(Debug, Clone)]
pub struct OutputPort {
    /// The name behind the dot.
    pub name: Cow<'static, str>,
    /// What the stage leaves there.
    pub produces: PortType,
}

/// The ports of one stage. They may depend on its parameters (the `command` kind).
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// Declared inputs.
    pub inputs: Vec<InputPort>,
    /// Whether inputs of any other name are accepted too, as [`PortType::Any`] (the `command` kind).
    pub open_inputs: bool,
    /// Declared outputs; never empty.
    pub outputs: Vec<OutputPort>,
}

/// How far a kind can reuse its own earlier rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Increment {
    /// The result is computed as a whole.
    Whole,
    /// Each output row depends on one row of the input port `primary` and on the side inputs alone.
    RowWise {
        /// The port whose rows are mapped.
        primary: &'static str,
    },
    /// An endless deterministic sequence of attempts; the parameter `extent` says how much of it is wanted and is not part of the recipe.
    Stream {
        /// The parameter that is left out of the recipe.
        extent: &'static str,
    },
}

/// Something outside the store whose content enters the key: a file, a directory, or a value such as an environment variable's.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file or directory, hashed by content (with a stat cache). Relative paths are resolved against the pipeline file's folder.
    Path {
        /// The name under which it appears in the key record, for example `path` or `model`.
        label: String,
        /// Where it lies; no part of the key.
        path: PathBuf,
    },
    /// The files that a pattern (`data/*.jsonl`, `**` included) matches, in the order of their names; each is hashed by content.
    Glob {
        /// The name under which it appears in the key record.
        label: String,
        /// Relative patterns are resolved against the pipeline file's folder; no part of the key.
        pattern: String,
        /// Whether the result depends on the names of the files too (relative to that folder).
        names: bool,
    },
    /// An environment variable of the run; one that is not set is told apart from an empty one.
    Env {
        /// The variable's name.
        name: String,
    },
    /// A value that stands for itself.
    Value {
        /// The name under which it appears in the key record.
        label: String,
        /// Hashed, and shown in the key record. Never a secret.
        value: Value,
    },
    /// A value that has to be looked for: the files of a directory that matter, the commit that a branch names now.
    Found {
        /// The name under which it appears in the key record.
        label: String,
        /// Looks for it. May read files and ask servers.
        find: Finder,
    },
}

/// What a [`Finder`] may ask.
pub trait SourceHost {
    /// The folder that relative paths are resolved against.
    fn base_dir(&self) -> &Path;
    /// An environment variable of the run.
    fn env(&self, name: &str) -> Option<&str>;
    /// The digest of a file or directory, remembered between runs.
    fn digest(&self, path: &Path) -> Result<Digest, StageError>;
}

type Find = dyn Fn(&dyn SourceHost) -> Result<Value, StageError> + Send + Sync;

/// Finds the value of a [`Source::Found`]. The same state of the world gives the same value.
#[derive(Clone)]
pub struct Finder(Arc<Find>);

impl Finder {
    /// A finder.
    pub fn new(find: impl Fn(&dyn SourceHost) -> Result<Value, StageError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// The value now.
    pub fn find(&self, host: &dyn SourceHost) -> Result<Value, StageError> {
        (self.0)(host)
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finder(..)")
    }
}

/// A parameter that is of the right type but makes no sense.
#[derive(Debug, Clone)]
pub struct ParamProblem {
    /// JSON pointer into the parameters, for example `/lora/r`; empty for the whole.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The input or a parameter is at fault; running again will not help.
    #[error("{message}")]
    User {
        /// What is wrong, naming the row, column, file or parameter.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A passing fault (an endpoint, a busy file); the engine may retry.
    #[error("{message}")]
    Transient {
        /// What happened.
        message: String,
    },
    /// The run is being cancelled; work done so far is in the memo.
    #[error("cancelled")]
    Cancelled,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] pipe_cache::StoreError),
    /// The kind's code broke a rule of [`StageContext`]: a mistake to report, not of the user's making.
    #[error("the stage kind is at fault: {message}")]
    Contract {
        /// What it did.
        message: String,
    },
    /// Anything else, with its cause kept.
    #[error("{context}")]
    Other {
        /// Completes "failed to ...".
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StageError {
    /// A fault of the input or of a parameter.
    pub fn user(message: impl Into<String>) -> Self {
        Self::User { message: message.into(), help: None }
    }

    /// A fault of the input or of a parameter, with advice.
    pub fn user_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::User { message: message.into(), help: Some(help.into()) }
    }

    /// A mistake in the kind's own code.
    pub fn contract(message: impl Into<String>) -> Self {
        Self::Contract { message: message.into() }
    }

    /// A passing fault.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    /// Any other failure; `context` completes "failed to ...".
    pub fn other(context: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { context: context.into(), source: source.into() }
    }
}

/// A stage kind: one file in `stages/kinds/`, one line in the registry.
pub trait StageKind: Send + Sync + 'static {
    /// The kind's parameters. The struct's doc comment documents the kind; use `#[serde(deny_unknown_fields)]` and defaults.
    type Params: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;

    /// The name behind `kind:`.
    const NAME: &'static str;
    /// Bumped whenever the kind's output changes for the same key (I7).
    const VERSION: u32;
    /// How far the kind can reuse its own earlier rows.
    const INCREMENT: Increment = Increment::Whole;
    /// Parameters and inputs that decide what is made of the memo's rows and nothing else: filters, metrics. They are part of the key and
    /// not of the recipe, so that a change of them neither computes a row again nor draws another one.
    const AFTERWARDS: &'static [&'static str] = &[];

    /// The ports of a stage with these parameters. Must be cheap and must not touch the disk.
    fn ports(&self, params: &Self::Params) -> Ports;

    /// Checks that JSON Schema cannot express (`top_p` without `temperature`, a template that does not parse).
    fn check(&self, _params: &Self::Params) -> Vec<ParamProblem> {
        Vec::new()
    }

    /// Content outside the store that the result depends on.
    fn sources(&self, _params: &Self::Params) -> Result<Vec<Source>, StageError> {
        Ok(Vec::new())
    }

    /// What people want to see of the result when a run ends: scores, yields, counts.
    fn highlights(&self, _params: &Self::Params) -> Vec<Highlight> {
        Vec::new()
    }

    /// Computes the outputs. Runs on a worker thread; may use rayon; must call `cx.check_cancelled()` between pieces of work.
    fn run(&self, params: &Self::Params, cx: &mut StageContext) -> Result<(), StageError>;
}

/// Parameters after parsing, in the kind's own type.
pub type AnyParams = Arc<dyn Any + Send + Sync>;

/// The object-safe face of [`StageKind`].
pub trait DynKind: Send + Sync {
    /// See [`StageKind::NAME`].
    fn name(&self) -> &'static str;
    /// See [`StageKind::VERSION`].
    fn version(&self) -> u32;
    /// See [`StageKind::INCREMENT`].
    fn increment(&self) -> Increment;
    /// See [`StageKind::AFTERWARDS`].
    fn afterwards(&self) -> &'static [&'static str];
    /// The JSON Schema of the parameters, doc comments included.
    fn schema(&self) -> Schema;
    /// Parses parameters; returns them typed, and as JSON with all defaults filled in.
    fn parse(&self, params: &Value) -> Result<(AnyParams, Value), serde_path_to_error::Error<serde_json::Error>>;
    /// See [`StageKind::ports`].
    fn ports(&self, params: &AnyParams) -> Ports;
    /// See [`StageKind::check`].
    fn check(&self, params: &AnyParams) -> Vec<ParamProblem>;
    /// See [`StageKind::sources`].
    fn sources(&self, params: &AnyParams) -> Result<Vec<Source>, StageError>;
    /// See [`StageKind::highlights`].
    fn highlights(&self, params: &AnyParams) -> Vec<Highlight>;
    /// See [`StageKind::run`].
    fn run(&self, params: &AnyParams, cx: &mut StageContext) -> Result<(), StageError>;
}

fn typed<K: StageKind>(params: &AnyParams) -> &K::Params {
    params.downcast_ref().expect("parameters were parsed by this kind")
}

impl<K: StageKind> DynKind for K {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn version(&self) -> u32 {
        K::VERSION
    }
    fn increment(&self) -> Increment {
        K::INCREMENT
    }
    fn afterwards(&self) -> &'static [&'static str] {
        K::AFTERWARDS
    }
    fn schema(&self) -> Schema {
        schemars::schema_for!(K::Params)
    }
    fn parse(&self, params: &Value) -> Result<(AnyParams, Value), serde_path_to_error::Error<serde_json::Error>> {
        let parsed: K::Params = serde_path_to_error::deserialize(params)?;
        let full = serde_json::to_value(&parsed).expect("parameters serialise to JSON");
        Ok((Arc::new(parsed), full))
    }
    fn ports(&self, params: &AnyParams) -> Ports {
        StageKind::ports(self, typed::<K>(params))
    }
    fn check(&self, params: &AnyParams) -> Vec<ParamProblem> {
        StageKind::check(self, typed::<K>(params))
    }
    fn sources(&self, params: &AnyParams) -> Result<Vec<Source>, StageError> {
        StageKind::sources(self, typed::<K>(params))
    }
    fn highlights(&self, params: &AnyParams) -> Vec<Highlight> {
        StageKind::highlights(self, typed::<K>(params))
    }
    fn run(&self, params: &AnyParams, cx: &mut StageContext) -> Result<(), StageError> {
        StageKind::run(self, typed::<K>(params), cx)
    }
}

/// The kinds a pipeline may use, by name, in the order in which `pipe kinds` lists them.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: indexmap::IndexMap<&'static str, Arc<dyn DynKind>>,
}

impl Registry {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, kind: impl StageKind) -> Self {
        self.kinds.insert(DynKind::name(&kind), Arc::new(kind));
        self
    }

    /// The kind of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn DynKind>> {
        self.kinds.get(name)
    }

    /// All kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn DynKind>> {
        self.kinds.values()
    }
}
