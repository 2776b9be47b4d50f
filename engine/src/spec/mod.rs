//! The pipeline file, in the exact shape in which people write it, with the place of everything.
//!
//! ```yaml
//! pipeline: data_size            # required; a name usable as a folder
//! about: one line for people
//! include: [base.yaml]           # one or several files, relative to this one
//! vars: { n: 5000, base: models, model: "${base}/nano", seed: 17 }
//! ablate: { n: [1000, 5000] }
//! matrix: { model: [models/nano, models/micro] }
//! replicate: { seed: [17, 18, 19] }
//! stages:
//!   name: { kind: generate, about: text, inputs: { port: other }, params: {...}, resources: { cpu: 2, gpu: 1 },
//!           retries: 2, backoff: 10s, timeout: 30m }
//! ```
//!
//! ## Variables
//! `${name}` stands for a variable in `params`, `inputs` and in other variables; `${name.field}` (or `.0` for a list)
//! for a part of it. A text that is one `${...}` and nothing else becomes the variable's value with its type; inside a
//! longer text the value is formatted, which needs a text, a number or a boolean. `$${` is a literal `${`. `${env:X}`
//! is refused: results would depend on something that no key shows. `--set name=value` replaces a variable of `vars`;
//! the value is read as YAML.
//!
//! ## Factors and variants
//! A factor has levels. A list gives the values of the variable that has the factor's name; a mapping gives *named
//! levels*, each of which sets several variables: `budget: { short: { epochs: 1, warmup: 0 }, long: { epochs: 3 } }`.
//! Variables that factors set must be defined in `vars` (that is the baseline), belong to one factor only, and their
//! levels are literal values without `${}`.
//!
//! - `ablate`: each factor alone, around the baseline: the baseline, then one arm for each level of each factor.
//! - `matrix`: every combination of its factors' levels, and nothing else: the baseline's own values take part only if
//!   they are listed.
//! - `replicate`: every variant again, for each combination of its factors' levels. Replicates of a variant have the
//!   same [`arm`](crate::pipeline::Variant::arm).
//!
//! Together they multiply: ablate arms × matrix combinations × replicates. A level whose values are those of the
//! baseline *is* the baseline's, so it makes no second variant. A variant is named after the levels in which it
//! differs from the baseline, in the order ablate, matrix, replicate: `n=1000`, `n=1000,seed=18`, `budget=short`;
//! without any difference it is `baseline`, and comes first. In names, characters other than letters, digits and
//! `._+-` become `-` and long values are cut off; where two names would then be equal (also where letter case is
//! ignored), a short digest tells them apart.
//!
//! ## Include
//! Included files give `vars` and `stages` (and may include further ones; a file reached twice is read once). Theirs
//! come first. The including file's `vars` win. It replaces an included stage only when its own says `override: true`.
//! Two included files may not define the same name, unless the including file settles it. `ablate`, `matrix` and
//! `replicate` belong to the file that is run; in an included file they are an error.
//! `include: builtin:method.yaml` names a file that the program carries with it ([`Builtins`]), `@2` behind it the
//! revision that is meant.
//!
//! ## Like
//! `open: { like: scores, inputs: { items: passages }, params: { open_book: true } }` is the stage `scores`, but for
//! what it says itself. It has that stage's kind, inputs, parameters, resources, retries, backoff and timeout. Inputs,
//! parameters and resources are merged by name; a parameter that is itself a mapping is replaced whole (`budget: {
//! steps: 30 }` leaves nothing of `{ epochs: 3 }`). `null` takes an input or a parameter away. The other stage may be
//! an included one, stand further down, or be like a third. `like` and `override` exclude each other, as `like` and
//! `kind` do. What a stage is like leaves no trace in keys: written out it is the same stage.
//!
//! ## Paths
//! A relative path starts from the folder of the file that holds its text: a stage, a variable, a level of a factor,
//! each in its own file. `"${base}/nano"` begins where the text of `base` stands. Paths given with `--set` start from
//! the working folder. Keys hold paths, where they hold them at all (the `sources` of a `command`), as they are
//! written.
//!
//! ## Numbers
//! A number inside a longer text, and as a word of a command line, is put there as it is written: `3.10`, `1e-4`.

mod builtin;
mod factors;
mod include;
mod like;
mod read;
mod schema;
mod units;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    diag::{Diagnostic, Span, Texts},
    pipeline::{Resources, RetryPolicy},
    yaml::Tree,
};

pub use builtin::{BUILTIN, Builtin, Builtins, Content, NotBuiltin, is_builtin, join};
pub use include::{load, load_among, load_with};
pub use schema::pipeline_schema;
pub use units::{parse_bytes, parse_duration};

/// A pipeline file with its includes, read but not resolved.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    /// `pipeline:`; empty when it is missing.
    pub name: String,
    /// `about:`.
    pub about: Option<String>,
    /// The folder of the pipeline file.
    pub base_dir: PathBuf,
    /// Every file that was read, the pipeline file first.
    pub files: Vec<PathBuf>,
    /// `vars:` of all files, the winning ones.
    pub vars: IndexMap<String, VarDef>,
    /// The factors: ablate, then matrix, then replicate, each in file order.
    pub factors: Vec<Factor>,
    /// `stages:` of all files, included ones first.
    pub stages: IndexMap<String, StageSpec>,
    /// The texts.
    pub texts: Arc<Texts>,
    /// What was wrong so far; [`resolve`](crate::resolve::resolve) reports it together with what it finds itself.
    pub problems: Vec<Diagnostic>,
}

/// A variable's definition.
#[derive(Debug, Clone)]
pub struct VarDef {
    /// Where its name is.
    pub span: Span,
    /// Its value, possibly with `${}`.
    pub value: Tree,
    /// Whether an included file has it, too.
    pub is_shared: bool,
}

/// How a factor's levels make variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Each level alone, around the baseline.
    Ablate,
    /// Every combination.
    Matrix,
    /// Every variant again.
    Replicate,
}

/// Something that is varied.
#[derive(Debug, Clone)]
pub struct Factor {
    /// The name of a variable, or of a bundle of them.
    pub name: String,
    /// Where the name is.
    pub span: Span,
    /// Under which key it is.
    pub role: Role,
    /// Whether the levels are named and set several variables.
    pub bundle: bool,
    /// Its levels, never empty.
    pub levels: Vec<Level>,
}

/// One level of a factor.
#[derive(Debug, Clone)]
pub struct Level {
    /// The value, or the level's name: what the factor's column shows.
    pub value: Value,
    /// Where it is.
    pub span: Span,
    /// The variables it sets.
    pub settings: Vec<Setting>,
}

/// A variable set by a level.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The variable.
    pub var: String,
    /// Where its name is.
    pub span: Span,
    /// Its value in this level.
    pub value: Tree,
}

/// One stage.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// Where its name is.
    pub span: Span,
    /// `kind:`, its own or that of the stage that it is like; `None` when missing or unreadable (which has been
    /// reported).
    pub kind: Option<(String, Span)>,
    /// `like:`, the name of another stage.
    pub like: Option<(String, Span)>,
    /// `about:`.
    pub about: Option<String>,
    /// `inputs:`, in file order, after those of the stage that it is like.
    pub inputs: Vec<InputSpec>,
    /// `params:`, a mapping where present, merged into that of the stage that it is like.
    pub params: Option<Tree>,
    /// Parameters that `like:` brings and that are taken away with `null`, and where.
    pub removed: Vec<(String, Span)>,
    /// Where `params` or, without it, the kind is: the place for a parameter that is missing.
    pub params_span: Span,
    /// How it is run.
    pub running: Running,
    /// Where it says `override: true`.
    pub overrides: Option<Span>,
}

/// What a stage says about how it is run; `None` where it says nothing. No part of any key.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// `resources.cpu`.
    pub cpu: Option<u32>,
    /// `resources.gpu`.
    pub gpu: Option<u32>,
    /// `resources.memory`, in bytes.
    pub memory: Option<u64>,
    /// `resources.time`.
    pub time: Option<Duration>,
    /// `resources.class`.
    pub class: Option<Arc<str>>,
    /// `retries:`.
    pub retries: Option<u32>,
    /// `backoff:`.
    pub backoff: Option<Duration>,
    /// `timeout:`.
    pub timeout: Option<Duration>,
}

impl Running {
    /// The wait before the first retry, where none is given.
    const BACKOFF: Duration = Duration::from_secs(1);

    /// What this one leaves open is as in `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.or(other.cpu),
            gpu: self.gpu.or(other.gpu),
            memory: self.memory.or(other.memory),
            time: self.time.or(other.time),
            class: self.class.or(other.class),
            retries: self.retries.or(other.retries),
            backoff: self.backoff.or(other.backoff),
            timeout: self.timeout.or(other.timeout),
        }
    }

    /// Slots of the machine, with defaults.
    pub fn resources(&self) -> Resources {
        Resources {
            cpu: self.cpu.unwrap_or(1),
            gpu: self.gpu.unwrap_or(0),
            memory: self.memory.unwrap_or(0),
            time: self.time,
            class: self.class.clone(),
        }
    }

    /// What happens after a failure, with defaults.
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy { retries: self.retries.unwrap_or(0), backoff: self.backoff.unwrap_or(Self::BACKOFF) }
    }
}

/// One `port: stage` under `inputs:`.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// The port.
    pub port: String,
    /// Where its name is.
    pub span: Span,
    /// What is connected: a text such as `stage`, `stage.output`, `stage[*]`, possibly with `${}`; or null.
    pub value: Tree,
}
