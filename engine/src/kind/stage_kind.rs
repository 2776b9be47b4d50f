//! The trait that a kind implements, and the object-safe face that the engine sees.

use std::{any::Any, path::Path, sync::Arc};

use schemars::{JsonSchema, Schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Arriving, Highlight, Ports, Preview, Question, Source, SourceHost};
use crate::context::{Increment, StageContext, StageError};

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

/// A stage kind: one file in `stages/kinds/`, one line in the registry.
pub trait StageKind: Send + Sync + 'static {
    /// The kind's parameters. The struct's doc comment documents the kind; use `#[serde(deny_unknown_fields)]` and
    /// defaults.
    type Params: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;

    /// The name behind `kind:`.
    const NAME: &'static str;
    /// Bumped whenever the kind's output changes for the same key (I7), with a line of history beside it. Part of the
    /// key.
    const VERSION: u32;
    /// Bumped, together with [`Self::VERSION`], where the rows themselves change that the memo keeps. Part of the
    /// recipe, which names the memo and seeds every draw: a change of what is made of the rows afterwards leaves it
    /// alone, so that no row is computed, and nothing drawn, again.
    const RECIPE_VERSION: u32 = 1;
    /// How far the kind can reuse its own earlier rows, whatever its parameters. Where they decide it, this says what
    /// is true of most stages, and [`Self::increment`] of one.
    const INCREMENT: Increment = Increment::Whole;
    /// Parameters and inputs that decide what is made of the memo's rows and nothing else: filters, metrics. They are
    /// part of the key and not of the recipe, so that a change of them neither computes a row again nor draws another
    /// one.
    const AFTERWARDS: &'static [&'static str] = &[];
    /// Whether the kind makes something of a gathered input to which some variants give nothing, because a stage there
    /// failed. They are part of the key, and it must say which they are.
    const GATHERS_WHAT_THERE_IS: bool = false;

    /// How far a stage with these parameters can reuse its own earlier rows.
    fn increment(&self, _params: &Self::Params) -> Increment {
        Self::INCREMENT
    }

    /// The ports of a stage with these parameters. Must be cheap and must not touch the disk.
    fn ports(&self, params: &Self::Params) -> Ports;

    /// Checks that JSON Schema cannot express (`top_p` without `temperature`, a template that does not parse).
    fn check(&self, _params: &Self::Params) -> Vec<ParamProblem> {
        Vec::new()
    }

    /// Checks of small files that the parameters name, such as templates; relative paths start from `folder`. What
    /// cannot be read is told when keys are made.
    fn check_files(&self, _params: &Self::Params, _folder: &Path) -> Vec<ParamProblem> {
        Vec::new()
    }

    /// Content outside the store that the result depends on.
    fn sources(&self, _params: &Self::Params) -> Result<Vec<Source>, StageError> {
        Ok(Vec::new())
    }

    /// What can be told of a stage before it runs, by looking at the beginning of files, and what it would fail on.
    /// Asks no server.
    fn preview(&self, _params: &Self::Params, _host: &dyn SourceHost) -> Result<Preview, StageError> {
        Ok(Preview::default())
    }

    /// What follows for the columns of outputs from those of inputs, where [`Self::ports`] cannot say it, and what a
    /// stage with such inputs would fail on.
    fn follow(&self, _params: &Self::Params, _arriving: &Arriving) -> Result<Preview, StageError> {
        Ok(Preview::default())
    }

    /// What to ask of its server before a run begins, that the stage would fail on hours later.
    fn asks(&self, _params: &Self::Params, _host: &dyn SourceHost) -> Option<Question> {
        None
    }

    /// What people want to see of the result when a run ends: scores, yields, counts.
    fn highlights(&self, _params: &Self::Params) -> Vec<Highlight> {
        Vec::new()
    }

    /// The name of what a stage keeps beside itself for all stages that give the same name, such as a server that it
    /// starts: it is let go ([`StageContext::keep_for_others`]) when the run has no further use for it.
    fn shares(&self, _params: &Self::Params) -> Option<String> {
        None
    }

    /// Computes the outputs. Runs on a worker thread; may use rayon; must call `cx.check_cancelled()` between pieces
    /// of work.
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
    /// See [`StageKind::RECIPE_VERSION`].
    fn recipe_version(&self) -> u32;
    /// See [`StageKind::INCREMENT`]: what can be said without a stage.
    fn usual_increment(&self) -> Increment;
    /// See [`StageKind::increment`].
    fn increment(&self, params: &AnyParams) -> Increment;
    /// See [`StageKind::AFTERWARDS`].
    fn afterwards(&self) -> &'static [&'static str];
    /// See [`StageKind::GATHERS_WHAT_THERE_IS`].
    fn gathers_what_there_is(&self) -> bool;
    /// The JSON Schema of the parameters, doc comments included.
    fn schema(&self) -> Schema;
    /// Parses parameters; returns them typed, and as JSON with all defaults filled in.
    fn parse(&self, params: &Value) -> Result<(AnyParams, Value), serde_path_to_error::Error<serde_json::Error>>;
    /// See [`StageKind::ports`].
    fn ports(&self, params: &AnyParams) -> Ports;
    /// See [`StageKind::check`].
    fn check(&self, params: &AnyParams) -> Vec<ParamProblem>;
    /// See [`StageKind::check_files`].
    fn check_files(&self, params: &AnyParams, folder: &Path) -> Vec<ParamProblem>;
    /// See [`StageKind::sources`].
    fn sources(&self, params: &AnyParams) -> Result<Vec<Source>, StageError>;
    /// See [`StageKind::preview`].
    fn preview(&self, params: &AnyParams, host: &dyn SourceHost) -> Result<Preview, StageError>;
    /// See [`StageKind::follow`].
    fn follow(&self, params: &AnyParams, arriving: &Arriving) -> Result<Preview, StageError>;
    /// See [`StageKind::asks`].
    fn asks(&self, params: &AnyParams, host: &dyn SourceHost) -> Option<Question>;
    /// See [`StageKind::highlights`].
    fn highlights(&self, params: &AnyParams) -> Vec<Highlight>;
    /// See [`StageKind::shares`].
    fn shares(&self, params: &AnyParams) -> Option<String>;
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
    fn recipe_version(&self) -> u32 {
        K::RECIPE_VERSION
    }
    fn usual_increment(&self) -> Increment {
        K::INCREMENT
    }
    fn increment(&self, params: &AnyParams) -> Increment {
        K::increment(self, typed::<K>(params))
    }
    fn afterwards(&self) -> &'static [&'static str] {
        K::AFTERWARDS
    }
    fn gathers_what_there_is(&self) -> bool {
        K::GATHERS_WHAT_THERE_IS
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
    fn check_files(&self, params: &AnyParams, folder: &Path) -> Vec<ParamProblem> {
        StageKind::check_files(self, typed::<K>(params), folder)
    }
    fn sources(&self, params: &AnyParams) -> Result<Vec<Source>, StageError> {
        StageKind::sources(self, typed::<K>(params))
    }
    fn preview(&self, params: &AnyParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        StageKind::preview(self, typed::<K>(params), host)
    }
    fn follow(&self, params: &AnyParams, arriving: &Arriving) -> Result<Preview, StageError> {
        K::follow(self, typed::<K>(params), arriving)
    }
    fn asks(&self, params: &AnyParams, host: &dyn SourceHost) -> Option<Question> {
        K::asks(self, typed::<K>(params), host)
    }
    fn highlights(&self, params: &AnyParams) -> Vec<Highlight> {
        StageKind::highlights(self, typed::<K>(params))
    }
    fn shares(&self, params: &AnyParams) -> Option<String> {
        StageKind::shares(self, typed::<K>(params))
    }
    fn run(&self, params: &AnyParams, cx: &mut StageContext) -> Result<(), StageError> {
        StageKind::run(self, typed::<K>(params), cx)
    }
}
