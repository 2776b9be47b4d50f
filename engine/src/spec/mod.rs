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
//!   name: { kind: generate, about: text, inputs: { port: other }, params: {...}, resources: { cpu: 2, gpu: 1, memory: 4GB },
//!           retries: 2, backoff: 10s, timeout: 30m }
//! ```
//!
//! ## Variables
//! `${name}` stands for a variable in `params`, `inputs` and in other variables; `${name.field}` (or `.0` for a list) for a part of it.
//! A text that is one `${...}` and nothing else becomes the variable's value with its type; inside a longer text the value is
//! formatted, which needs a text, a number or a boolean. `$${` is a literal `${`. `${env:X}` is refused: results would depend on
//! something that no key shows. `--set name=value` replaces a variable of `vars`; the value is read as YAML.
//!
//! ## Factors and variants
//! A factor has levels. A list gives the values of the variable that has the factor's name; a mapping gives *named levels*, each of
//! which sets several variables: `budget: { short: { epochs: 1, warmup: 0 }, long: { epochs: 3 } }`. Variables that factors set must
//! be defined in `vars` (that is the baseline), belong to one factor only, and their levels are literal values without `${}`.
//!
//! - `ablate`: each factor alone, around the baseline: the baseline, then one arm for each level of each factor.
//! - `matrix`: every combination of its factors' levels, and nothing else: the baseline's own values take part only if they are listed.
//! - `replicate`: every variant again, for each combination of its factors' levels. Replicates of a variant have the same
//!   [`arm`](crate::pipeline::Variant::arm).
//!
//! Together they multiply: ablate arms × matrix combinations × replicates. A level whose values are those of the baseline *is* the
//! baseline's, so it makes no second variant. A variant is named after the levels in which it differs from the baseline, in the order
//! ablate, matrix, replicate: `n=1000`, `n=1000,seed=18`, `budget=short`; without any difference it is `baseline`, and
//! comes first. In names, characters other than letters, digits and `._+-` become `-` and long values are cut off; where two names
//! would then be equal (also where letter case is ignored), a short digest tells them apart.
//!
//! ## Include
//! Included files give `vars` and `stages` (and may include further ones; a file reached twice is read once). Theirs come first. The
//! including file's `vars` win. It replaces an included stage only when its own says `override: true`. Two included files may
//! not define the same name, unless the including file settles it. `ablate`, `matrix` and `replicate` belong to the file that is run;
//! in an included file they are an error. Relative paths in parameters are relative to the file that is run.

mod include;
mod read;
mod units;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    diag::{Diagnostic, SourceMap, Span},
    pipeline::Resources,
    yaml::Node,
};

pub use include::{load, load_with};
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
    pub sources: Arc<SourceMap>,
    /// What was wrong so far; [`resolve`](crate::resolve::resolve) reports it together with what it finds itself.
    pub problems: Vec<Diagnostic>,
}

/// A variable's definition.
#[derive(Debug, Clone)]
pub struct VarDef {
    /// Where its name is.
    pub span: Span,
    /// Its value, possibly with `${}`.
    pub value: Node,
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
    pub value: Node,
}

/// One stage.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// Where its name is.
    pub span: Span,
    /// `kind:`; `None` when missing or unreadable (which has been reported).
    pub kind: Option<(String, Span)>,
    /// `about:`.
    pub about: Option<String>,
    /// `inputs:`, in file order.
    pub inputs: Vec<InputSpec>,
    /// `params:`, a mapping where present.
    pub params: Option<Node>,
    /// Where `params` or, without it, the kind is: the place for a parameter that is missing.
    pub params_span: Span,
    /// `resources:`.
    pub resources: Resources,
    /// `retries:`.
    pub retries: u32,
    /// `backoff:`.
    pub backoff: Duration,
    /// `timeout:`.
    pub timeout: Option<Duration>,
    /// Where it says `override: true`.
    pub overrides: Option<Span>,
}

/// One `port: stage` under `inputs:`.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// The port.
    pub port: String,
    /// Where its name is.
    pub span: Span,
    /// What is connected: a text such as `stage`, `stage.output`, `stage[*]`, possibly with `${}`; or null.
    pub value: Node,
}
