//! From the marked tree of one file to its parts. Unknown keys and wrong shapes are reported; what can be read is read.

use std::time::Duration;

use indexmap::IndexMap;

use super::{Factor, InputSpec, Role, Running, StageSpec, VarDef, parse_bytes, parse_duration};
use crate::{
    diag::{Diagnostic, Span, one_of},
    yaml::{Data, Entry, Tree, shorten},
};

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct FileSpec {
    pub name: Option<String>,
    pub about: Option<String>,
    pub includes: Vec<(String, Span)>,
    pub vars: IndexMap<String, VarDef>,
    pub factors: Vec<Factor>,
    pub stages: IndexMap<String, StageSpec>,
}

const FILE_KEYS: [&str; 8] = ["pipeline", "about", "include", "vars", "ablate", "matrix", "replicate", "stages"];
const STAGE_KEYS: [&str; 10] =
    ["kind", "like", "about", "inputs", "params", "resources", "retries", "backoff", "timeout", "override"];
/// Longest name of a pipeline, stage, variable or factor: they become file names.
const MAX_NAME: usize = 64;

/// Reads a file's tree. `included` files may not hold factors and need no name.
pub(crate) fn read_file(root: Tree, included: bool, problems: &mut Vec<Diagnostic>) -> FileSpec {
    Reader { problems }.file(root, included)
}

/// Reads the parts of a file, and notes what is wrong with them.
pub(super) struct Reader<'p> {
    problems: &'p mut Vec<Diagnostic>,
}

impl Reader<'_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    pub(super) fn wrong_type(&mut self, what: &str, expected: &str, found: &Tree) {
        if !matches!(found.data, Data::Invalid) {
            let message = format!("{what} must be {expected}, not {}", found.describe());
            self.report(Diagnostic::error("spec::type", message).at(found.span, format!("expected {expected}")));
        }
    }

    fn file(&mut self, root: Tree, included: bool) -> FileSpec {
        let mut spec = FileSpec::default();
        let span = root.span;
        let Data::Map(entries) = root.data else {
            if root.data == Data::Null {
                self.report(
                    Diagnostic::error("spec::empty", "the file is empty")
                        .at(root.span, "")
                        .help("a pipeline begins with `pipeline: name` and `stages:`; `pipe init` writes a starter"),
                );
            } else {
                self.wrong_type("a pipeline file", "a mapping with `pipeline:` and `stages:`", &root);
            }
            return spec;
        };
        let has = |key: &str| entries.iter().any(|e| e.key == key);
        let (has_name, has_stages) = (has("pipeline"), has("stages"));
        for entry in entries {
            let value = &entry.value;
            match entry.key.as_str() {
                "pipeline" => spec.name = self.name_value(value),
                "about" => spec.about = self.text("`about`", value),
                "include" => spec.includes = self.includes(value),
                "vars" => self.vars(value, &mut spec.vars),
                "stages" => self.stages(entry.value, &mut spec.stages),
                "ablate" | "matrix" | "replicate" if included => self.report(
                    Diagnostic::error("include::factors", format!("an included file cannot hold `{}`", entry.key))
                        .at(entry.key_span, "factors belong to the file that is run")
                        .help("move it there, and leave `vars` and `stages` in the file to be shared"),
                ),
                "ablate" => self.factors(Role::Ablate, &entry, &mut spec.factors),
                "matrix" => self.factors(Role::Matrix, &entry, &mut spec.factors),
                "replicate" => self.factors(Role::Replicate, &entry, &mut spec.factors),
                _ => self.unknown_key("the pipeline file", &entry, &FILE_KEYS, None),
            }
        }
        let order = |role: Role| role as u8;
        spec.factors.sort_by_key(|f| order(f.role));
        if !included {
            let start = Span { end: span.start, ..span };
            if !has_name {
                self.report(
                    Diagnostic::error("spec::missing", "the pipeline has no name")
                        .at(start, "`pipeline: name` is missing")
                        .help("add `pipeline: name`; results are kept under that name"),
                );
            }
            if !has_stages && spec.includes.is_empty() {
                self.report(
                    Diagnostic::error("spec::missing", "the pipeline has no stages")
                        .at(start, "`stages:` is missing")
                        .help("add `stages:` with at least one stage, or `include:` a file that has some"),
                );
            }
        }
        spec
    }

    fn unknown_key(&mut self, place: &str, entry: &Entry, known: &[&str], otherwise: Option<String>) {
        let help = match otherwise {
            Some(text) => crate::diag::did_you_mean(&entry.key, known.iter().copied())
                .map(|name| format!("did you mean `{name}`?"))
                .or(Some(text)),
            None => one_of(&entry.key, "known keys", known.iter().copied()),
        };
        self.report(
            Diagnostic::error("spec::unknown_key", format!("{place} has no key `{}`", shorten(&entry.key)))
                .at(entry.key_span, "unknown key")
                .maybe_help(help),
        );
    }

    pub(super) fn entries<'n>(&mut self, what: &str, node: &'n Tree) -> &'n [Entry] {
        if let Some(entries) = node.as_map() {
            return entries;
        }
        if node.data != Data::Null {
            self.wrong_type(what, "a mapping", node);
        }
        &[]
    }

    fn text(&mut self, what: &str, node: &Tree) -> Option<String> {
        if let Some(text) = node.as_str() {
            return Some(text.to_owned());
        }
        self.wrong_type(what, "a text", node);
        None
    }

    fn name_value(&mut self, node: &Tree) -> Option<String> {
        let name = self.text("`pipeline`", node)?;
        self.check_name("pipeline", &name, node.span);
        Some(name)
    }

    /// Names become file names, columns and `--set` keys.
    pub(super) fn check_name(&mut self, what: &str, name: &str, span: Span) -> bool {
        let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let problem = if name.len() > MAX_NAME {
            format!("a {what} name has at most {MAX_NAME} characters")
        } else if starts && fits {
            return true;
        } else {
            format!("`{}` is no {what} name", shorten(name))
        };
        self.report(
            Diagnostic::error("spec::name", problem)
                .at(span, "")
                .help("a name is made of ASCII letters, digits, `_` and `-`, and does not begin with `-`"),
        );
        false
    }

    fn includes(&mut self, node: &Tree) -> Vec<(String, Span)> {
        let items = match &node.data {
            Data::List(items) => items.as_slice(),
            Data::Null => &[],
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|n| Some((self.text("`include`", n)?, n.span))).collect()
    }

    fn vars(&mut self, node: &Tree, vars: &mut IndexMap<String, VarDef>) {
        for entry in self.entries("`vars`", node) {
            if self.check_name("variable", &entry.key, entry.key_span) {
                vars.insert(
                    entry.key.clone(),
                    VarDef { span: entry.key_span, value: entry.value.clone(), is_shared: false },
                );
            }
        }
    }

    fn stages(&mut self, node: Tree, stages: &mut IndexMap<String, StageSpec>) {
        let Data::Map(entries) = node.data else {
            self.entries("`stages`", &node);
            return;
        };
        stages.reserve(entries.len());
        for entry in entries {
            self.check_name("stage", &entry.key, entry.key_span);
            let stage = self.stage(&entry.key, entry.key_span, entry.value);
            stages.insert(entry.key, stage);
        }
    }

    fn stage(&mut self, name: &str, span: Span, node: Tree) -> StageSpec {
        let mut spec = StageSpec {
            span,
            kind: None,
            like: None,
            about: None,
            inputs: Vec::new(),
            params: None,
            removed: Vec::new(),
            params_span: span,
            running: Running::default(),
            overrides: None,
        };
        let Data::Map(entries) = node.data else {
            self.wrong_type(&format!("the stage `{}`", shorten(name)), "a mapping with `kind:` or `like:`", &node);
            return spec;
        };
        let place = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.key_span);
        let (kind, like) = (place("kind"), place("like"));
        for entry in entries {
            let value = &entry.value;
            match entry.key.as_str() {
                "kind" => {
                    spec.kind = self.text("`kind`", value).map(|kind| (kind, value.span));
                    if spec.params.is_none() {
                        spec.params_span = value.span;
                    }
                }
                "like" => {
                    spec.like = self.text("`like`", value).map(|like| (like, value.span));
                    if spec.params.is_none() {
                        spec.params_span = value.span;
                    }
                }
                "about" => spec.about = self.text("`about`", value),
                "inputs" => spec.inputs = self.inputs(entry.value),
                "params" => {
                    self.entries("`params`", value);
                    if value.as_map().is_some() {
                        spec.params = Some(entry.value);
                        spec.params_span = entry.key_span;
                    }
                }
                "resources" => self.resources(value, &mut spec.running),
                "retries" => spec.running.retries = self.count("`retries`", value),
                "backoff" => spec.running.backoff = self.duration("`backoff`", value),
                "timeout" => spec.running.timeout = self.duration("`timeout`", value),
                "override" => match value.data {
                    Data::Bool(yes) => spec.overrides = yes.then_some(entry.key_span),
                    _ => self.wrong_type("`override`", "`true` or `false`", value),
                },
                _ => {
                    let help =
                        format!("parameters go under `params:`; a stage has {}", crate::diag::list_names(&STAGE_KEYS));
                    self.unknown_key("a stage", &entry, &STAGE_KEYS, Some(help));
                }
            }
        }
        self.exclusive(name, span, (kind, like, spec.overrides));
        spec
    }

    /// A stage says what it is by `kind` or by `like`, and `like` builds on a stage while `override` replaces one.
    fn exclusive(&mut self, name: &str, span: Span, place: (Option<Span>, Option<Span>, Option<Span>)) {
        let name = shorten(name);
        match place {
            (None, None, _) => self.report(
                Diagnostic::error("stage::no_kind", format!("the stage `{name}` has no kind"))
                    .at(span, "`kind:` is missing")
                    .help("add `kind: ...`; `pipe kinds` lists them. Or `like: stage`, to take after another stage"),
            ),
            (Some(kind), Some(like), _) => self.report(
                Diagnostic::error("like::kind", format!("the stage `{name}` has both `kind` and `like`"))
                    .at(kind, "the kind")
                    .at(like, "the stage that gives its kind")
                    .help("remove `kind`: `like` takes it from the other stage"),
            ),
            _ => {}
        }
        if let (_, Some(like), Some(overrides)) = place {
            self.report(
                Diagnostic::error("like::override", format!("the stage `{name}` has both `like` and `override`"))
                    .at(like, "this takes what another stage has")
                    .at(overrides, "this replaces a stage whole")
                    .help("write the replacing stage out, or give this one a name of its own"),
            );
        }
    }

    fn inputs(&mut self, node: Tree) -> Vec<InputSpec> {
        let Data::Map(entries) = node.data else {
            self.entries("`inputs`", &node);
            return Vec::new();
        };
        let mut inputs = Vec::new();
        for Entry { key, key_span, value } in entries {
            match &value.data {
                Data::String(_) | Data::Null => inputs.push(InputSpec { port: key, span: key_span, value }),
                Data::List(_) => self.report(
                    Diagnostic::error("inputs::type", format!("the input `{}` takes one stage", shorten(&key)))
                        .at(value.span, "a list is given")
                        .help("`name[*]` gathers one stage over all variants"),
                ),
                _ => self.wrong_type(&format!("the input `{}`", shorten(&key)), "the name of a stage", &value),
            }
        }
        inputs
    }

    fn resources(&mut self, node: &Tree, running: &mut Running) {
        for entry in self.entries("`resources`", node) {
            let value = &entry.value;
            match entry.key.as_str() {
                "cpu" => running.cpu = self.count("`cpu`", value),
                "gpu" => running.gpu = self.count("`gpu`", value),
                "memory" => {
                    running.memory = value.as_str().and_then(parse_bytes);
                    if running.memory.is_none() {
                        self.wrong_type("`memory`", "a size such as `4GB` or `512MiB`", value);
                    }
                }
                "time" => running.time = self.duration("`time`", value),
                "class" => match value.as_str().filter(|class| is_class(class)) {
                    Some(class) => running.class = Some(class.into()),
                    None => self.wrong_type("`class`", "a word such as `a100`", value),
                },
                _ => self.unknown_key("`resources`", entry, &["cpu", "gpu", "memory", "time", "class"], None),
            }
        }
    }

    fn count(&mut self, what: &str, node: &Tree) -> Option<u32> {
        if let Data::Number(n, _) = &node.data
            && let Some(n) = n.as_u64().and_then(|n| u32::try_from(n).ok())
        {
            return Some(n);
        }
        self.wrong_type(what, "a whole number, 0 or more", node);
        None
    }

    fn duration(&mut self, what: &str, node: &Tree) -> Option<Duration> {
        let duration = node.as_str().and_then(parse_duration);
        if duration.is_none() {
            self.wrong_type(what, "a time with its unit, such as `30s`, `10m` or `1h30m`", node);
        }
        duration
    }
}

/// Whether a class of machines can be called so: it stands in scripts and on command lines.
fn is_class(class: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    class.starts_with(|c: char| c.is_ascii_alphanumeric()) && class.chars().all(plain)
}
