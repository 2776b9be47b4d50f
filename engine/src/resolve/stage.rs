//! One stage in all variants: its parameters are worked out once for each distinct set of values of the variables it
//! uses.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Write as _,
    path::PathBuf,
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    around::Around,
    check::{Problem, check, unknown_name},
    inputs::{Reference, check_ports, parse_reference},
    kinds::{KindInfo, Kinds},
    placing::{Folders, Params},
    scope::{Scope, child, lone_hole},
    template::{Compiled, Template, compile},
    vars::Vars,
};
use crate::{
    diag::{Diagnostic, Span, one_of},
    kind::{AnyParams, DynKind, ParamProblem, Ports, Registry},
    spec::{InputSpec, StageSpec},
    yaml::Data,
};

/// Parameter sets of one stage in which something is wrong, after which the others are not looked at.
const MAX_BAD: usize = 10;

/// A stage with its holes found.
pub(crate) struct Stage<'s> {
    /// Its name.
    pub name: &'s str,
    /// What the file says.
    pub spec: &'s StageSpec,
    /// Its kind; `None` when that is missing or unknown, which has been reported.
    pub kind: Option<Arc<KindInfo>>,
    params: Option<Compiled>,
    inputs: Vec<(&'s InputSpec, Compiled)>,
}

/// A distinct way in which a stage is configured.
pub(crate) struct Config<'s> {
    /// Typed parameters and ports; `None` when something was wrong, which has been reported.
    pub parsed: Option<Parsed>,
    /// What its inputs name.
    pub inputs: Vec<Reference<'s>>,
}

/// Parameters that passed every check.
pub(crate) struct Parsed {
    /// The kind.
    pub kind: Arc<dyn DynKind>,
    /// In the kind's own type.
    pub params: AnyParams,
    /// As JSON, with defaults.
    pub json: Arc<Value>,
    /// What enters the key.
    pub semantic: Arc<Value>,
    /// The ports.
    pub ports: Ports,
    /// Where relative paths start from.
    pub folder: PathBuf,
}

/// A stage in all variants.
pub(crate) struct Configured<'s> {
    /// The distinct configurations.
    pub configs: Vec<Config<'s>>,
    /// Which of them each variant has; empty where all have the first.
    pub of_variant: Vec<u32>,
}

impl Configured<'_> {
    /// The number of a variant's configuration.
    pub(crate) fn number(&self, variant: usize) -> usize {
        self.of_variant.get(variant).map_or(0, |&n| n as usize)
    }
}

impl<'s> Stage<'s> {
    /// Finds the kind and the holes.
    pub(crate) fn new(
        name: &'s str,
        spec: &'s StageSpec,
        vars: &Vars,
        registry: &Registry,
        kinds: &mut Kinds,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let kind = spec.kind.as_ref().and_then(|(kind, span)| {
            let found = kinds.get(kind, registry);
            if found.is_none() {
                let names = registry.iter().map(|k| k.name());
                problems.push(
                    Diagnostic::error(
                        "stage::unknown_kind",
                        format!("there is no kind `{}`", crate::yaml::shorten(kind)),
                    )
                    .at(*span, "unknown kind")
                    .maybe_help(one_of(kind, "kinds", names)),
                );
            }
            found
        });
        let params = spec.params.as_ref().map(|node| compile(node, &vars.defs, problems));
        let inputs = spec.inputs.iter().map(|input| (input, compile(&input.value, &vars.defs, problems))).collect();
        Self { name, spec, kind, params, inputs }
    }

    /// The schema of its parameters, and the parameters.
    pub(crate) fn params(&self) -> Option<(&Value, &Template)> {
        Some((&self.kind.as_ref()?.schema, &self.params.as_ref()?.template))
    }

    /// The variables it names.
    pub(crate) fn deps(&self) -> Vec<usize> {
        let all = self.params.iter().chain(self.inputs.iter().map(|(_, c)| c));
        let mut deps: Vec<usize> = all.flat_map(|c| c.deps.iter().copied()).collect();
        deps.sort_unstable();
        deps.dedup();
        deps
    }

    /// Works out the stage in every variant.
    pub(crate) fn configure(&self, cx: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Configured<'s> {
        let deps: Vec<usize> = self.deps().into_iter().filter(|&d| !cx.variants.numbers[d].is_empty()).collect();
        let mut said: HashSet<(&'static str, String, Option<Span>)> = HashSet::new();
        let mut configure = |variant: usize| {
            let mut found = Vec::new();
            let config = self.config(variant, cx, &mut found);
            for mut problem in found {
                // Said once, and with the variant's name only where the first variant does not have it.
                let place = problem.places.first().map(|l| l.span);
                if said.insert((problem.code, problem.message.clone(), place)) {
                    if variant > 0 {
                        let _ = write!(problem.message, " (in the variant `{}`)", cx.variants.list[variant].name);
                    }
                    problems.push(problem);
                }
            }
            config
        };
        if deps.is_empty() {
            return Configured { configs: vec![configure(0)], of_variant: Vec::new() };
        }
        let mut configs: Vec<Config<'s>> = Vec::new();
        let mut by_values: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut by_content: HashMap<String, u32> = HashMap::new();
        let mut of_variant = Vec::with_capacity(cx.variants.list.len());
        let mut bad = None;
        let mut bad_count = 0;
        let mut key = Vec::with_capacity(deps.len());
        for variant in 0..cx.variants.list.len() {
            key.clear();
            key.extend(deps.iter().map(|&d| cx.variants.number(d, variant)));
            if let Some(&number) = by_values.get(&key) {
                of_variant.push(number);
                continue;
            }
            let given_up = bad.filter(|_| bad_count >= MAX_BAD);
            let number = given_up.unwrap_or_else(|| {
                let config = configure(variant);
                let next = configs.len() as u32;
                let number = config.content().map_or(next, |content| *by_content.entry(content).or_insert(next));
                if config.parsed.is_none() {
                    bad_count += 1;
                    bad = Some(number);
                }
                if number == next {
                    configs.push(config);
                }
                number
            });
            by_values.insert(key.clone(), number);
            of_variant.push(number);
        }
        Configured { configs, of_variant }
    }

    fn config(&self, variant: usize, cx: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Config<'s> {
        let mut inputs = Vec::new();
        let mut inputs_ok = true;
        for (input, compiled) in &self.inputs {
            let value = if cx.usable(compiled) { cx.render(compiled, variant, problems) } else { None };
            match value {
                Some(value) => match parse_reference(input, &value, cx, problems) {
                    Ok(reference) => inputs.extend(reference),
                    Err(()) => inputs_ok = false,
                },
                None => inputs_ok = false,
            }
        }
        let parsed = self.parse(variant, cx, problems);
        if let Some(parsed) = &parsed {
            check_ports(self.name, self.spec, &parsed.ports, &inputs, inputs_ok, problems);
        }
        Config { parsed: parsed.filter(|_| inputs_ok), inputs }
    }

    fn parse(&self, variant: usize, cx: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Option<Parsed> {
        let info = self.kind.as_ref()?;
        let value = match &self.params {
            Some(compiled) if cx.usable(compiled) => cx.render(compiled, variant, problems)?,
            Some(_) => return None,
            None => Cow::Owned(Value::Object(Map::new())),
        };
        let before = problems.len();
        for (name, span) in &self.spec.removed {
            if let Some(problem) = unknown_name(&info.schema, name, info.synonyms) {
                let problem = Diagnostic::error(problem.code, problem.message).at(*span, "").maybe_help(problem.help);
                problems.push(problem);
            }
        }
        let parsed = cx.in_scope(variant, |scope| {
            let node = self.spec.params.as_ref();
            let params = Params { schema: &info.schema, marks: &info.marks, node, scope };
            let value = params.with_words(&value).map_or(value, Cow::Owned);
            let parsed = self.parse_in(info, &params, &value, cx.folders);
            parsed.map_err(|found| found.into_iter().map(|p| self.locate(p, &params.scope)).collect::<Vec<_>>())
        });
        match parsed {
            Ok(parsed) => Some(parsed).filter(|_| problems.len() == before),
            Err(found) => {
                problems.extend(found);
                None
            }
        }
    }

    fn parse_in(
        &self,
        info: &KindInfo,
        given: &Params<'_, '_>,
        value: &Value,
        folders: &Folders<'_>,
    ) -> Result<Parsed, Vec<Problem>> {
        let numeral = |path: &[String]| {
            let node = given.node?;
            given.scope.written(node, path).node.numeral().map(str::to_owned)
        };
        if !info.plain.admits(value) {
            let found = check(&info.schema, value, info.synonyms, &numeral);
            if !found.is_empty() {
                return Err(found);
            }
        }
        let parse = |value: &Value| {
            info.kind.parse(value).map_err(|error| {
                vec![Problem {
                    code: "params::invalid",
                    path: error.path().iter().filter_map(segment).collect(),
                    at_name: false,
                    message: error.inner().to_string(),
                    help: None,
                }]
            })
        };
        let (mut params, mut json) = parse(value)?;
        // The key holds paths as they are written, wherever they start from.
        let mut semantic = info.semantics.part(&info.schema, &json).map(Arc::new);
        let home = given.home(value, self.spec);
        if let Some(placed) = given.placed(value, home, folders) {
            semantic = semantic.or_else(|| Some(Arc::new(json.clone())));
            (params, json) = parse(&placed)?;
        }
        let folder = folders.of(home);
        let mut problems = info.kind.check(&params);
        if problems.is_empty() {
            problems = info.kind.check_files(&params, &folder);
        }
        if !problems.is_empty() {
            let problem = |p: ParamProblem| Problem {
                code: "params::invalid",
                path: pointer(&p.pointer),
                at_name: false,
                message: p.message,
                help: p.help,
            };
            return Err(problems.into_iter().map(problem).collect());
        }
        let ports = info.kind.ports(&params);
        let json = Arc::new(json);
        let semantic = semantic.unwrap_or_else(|| json.clone());
        Ok(Parsed { kind: info.kind.clone(), params, json, semantic, ports, folder })
    }

    /// The place of a parameter's problem: in `params`, and where its variable got the value.
    fn locate(&self, problem: Problem, scope: &Scope<'_, '_>) -> Diagnostic {
        let mut span = self.spec.params_span;
        let mut node = self.spec.params.as_ref();
        let mut path = problem.path.as_slice();
        let mut origin = None;
        while let Some(at) = node {
            if problem.at_name && path.is_empty() {
                break;
            }
            let written = scope.written(at, path);
            if at.as_str().and_then(lone_hole).is_some() {
                origin = written.var.map(|name| (written.node.span, name));
                break;
            }
            let Some((step, rest)) = path.split_first() else { break };
            path = rest;
            match child(at, step) {
                Some((key_span, value)) => {
                    let collection = matches!(value.data, Data::Map(_) | Data::List(_) | Data::Null);
                    span = if problem.at_name || collection { key_span } else { value.span };
                    node = Some(value);
                }
                None => break,
            }
        }
        let mut diagnostic = Diagnostic::error(problem.code, problem.message).at(span, "").maybe_help(problem.help);
        if let Some((span, name)) = origin {
            diagnostic = diagnostic.at(span, format!("`{name}` is set here"));
        }
        diagnostic
    }
}

impl Config<'_> {
    /// Equal for configurations that do the same.
    fn content(&self) -> Option<String> {
        let parsed = self.parsed.as_ref()?;
        let mut text = serde_json::to_string(&*parsed.json).ok()?;
        let _ = write!(text, "\n{}", parsed.folder.display());
        for input in &self.inputs {
            let _ = write!(text, "\n{input:?}");
        }
        Some(text)
    }
}

/// The steps of a JSON pointer.
fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    }
}
