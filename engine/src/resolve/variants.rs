//! Factors to variants, and every variable's value in every variant.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    names,
    placing::PathVars,
    scope::{Room, Scope},
    vars::Vars,
};
use crate::{
    diag::{Diagnostic, Span, advice},
    pipeline::Variant,
    spec::{Factor, Role, Setting},
    yaml::{Tree, shorten},
};

/// Most variants of one pipeline.
const MAX_VARIANTS: usize = 100_000;
/// Most values of variables in all variants.
const MAX_VALUES: usize = 10_000_000;

/// The variants, and the variables as columns: a value is stored once and variants refer to it by number, so that a
/// stage can ask which variants look the same to it.
pub(crate) struct Variants<'s> {
    /// The variants, the baseline first if it is among them.
    pub list: Vec<Variant>,
    /// For each variable: its distinct values (number 0 is the baseline's).
    pub values: Vec<Vec<Valued<'s>>>,
    /// For each variable: the number of its value in each variant; empty where it never varies.
    pub numbers: Vec<Vec<u32>>,
}

/// A variable's value with the level that set it.
pub(crate) struct Valued<'s> {
    /// The value.
    pub value: Value,
    /// The level's value in the file, where a level set it.
    pub node: Option<&'s crate::yaml::Tree>,
}

impl Variants<'_> {
    /// The number of a variable's value in a variant.
    pub(crate) fn number(&self, var: usize, variant: usize) -> u32 {
        self.numbers[var].get(variant).copied().unwrap_or(0)
    }
}

/// For each factor, the level that was chosen; `None` is the baseline.
type Point = Vec<Option<usize>>;

/// Works the variants out. Factors that make no sense are reported and left out.
pub(crate) fn expand<'s>(
    all: &'s [Factor],
    vars: &Vars,
    paths: &PathVars<'_>,
    room: &Room,
    pipeline: Span,
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Variants<'s> {
    let factors = sensible(all, vars, problems);
    let baselines: Vec<Option<usize>> = factors.iter().map(|f| baseline_level(f, vars, paths)).collect();
    warn_masked(&factors, &baselines, vars, warnings);
    let (found, what) = match points(&factors, &baselines) {
        None => (None, format!("the factors make more than {MAX_VARIANTS} variants")),
        found => {
            let fit = found.filter(|points| points.len() * vars.defs.len() <= MAX_VALUES);
            (fit, format!("the variants have more than {MAX_VALUES} values of variables"))
        }
    };
    let points = found.unwrap_or_else(|| {
        problems.push(
            Diagnostic::error("factors::too_many", what)
                .at(
                    factors.first().map_or(pipeline, |f| f.span),
                    "variants multiply: ablate arms × matrix × replicates",
                )
                .help("use `ablate` in place of `matrix` for factors that need no combinations"),
        );
        vec![vec![None; factors.len()]]
    });
    let mut values: Vec<Vec<Valued<'s>>> =
        vars.baseline.iter().map(|v| vec![Valued { value: v.clone(), node: None }]).collect();
    let mut numbers: Vec<Vec<u32>> = vec![Vec::new(); values.len()];
    set_directly(&factors, vars, paths, &points, &mut values, &mut numbers);
    derive(vars, paths, points.len(), room, &mut values, &mut numbers, problems);
    let list = describe(&factors, &baselines, vars, &points, &values, &numbers);
    Variants { list, values, numbers }
}

/// The factors that can be used; the others are reported.
fn sensible<'s>(all: &'s [Factor], vars: &Vars, problems: &mut Vec<Diagnostic>) -> Vec<&'s Factor> {
    let mut owners: HashMap<&str, &Factor> = HashMap::new();
    let mut names: HashMap<&str, &Factor> = HashMap::new();
    let mut good = Vec::new();
    for factor in all {
        let before = problems.len();
        if let Some(other) = names.insert(&factor.name, factor) {
            problems.push(
                Diagnostic::error("factors::twice", format!("the factor `{}` is given twice", factor.name))
                    .at(factor.span, "given again here")
                    .at(other.span, "first given here")
                    .help("a factor belongs to one of `ablate`, `matrix` and `replicate`"),
            );
            continue;
        }
        if factor.bundle && vars.defs.contains_key(&factor.name) {
            problems.push(
                Diagnostic::error(
                    "factors::bundle",
                    format!("`{}` is a variable, so its levels are a list", factor.name),
                )
                .at(factor.span, "named levels are given")
                .help("write the values as a list, or give the bundle a name that is no variable"),
            );
            continue;
        }
        for setting in factor.levels.iter().flat_map(|l| &l.settings) {
            if !vars.defs.contains_key(&setting.var) {
                let (message, span) = if factor.bundle {
                    (format!("there is no variable `{}` to set", shorten(&setting.var)), setting.span)
                } else {
                    (format!("the factor `{}` is no variable", factor.name), factor.span)
                };
                let help = advice(problems, &setting.var, "variables", vars.defs.keys().map(String::as_str));
                let define = "define it under `vars:`, with the value that the baseline has".to_owned();
                problems.push(Diagnostic::error("factors::unknown", message).at(span, "unknown variable").help(
                    match help {
                        Some(help) => format!("{define}; {help}"),
                        None => define,
                    },
                ));
                if !factor.bundle {
                    break;
                }
            } else if let Some(other) = owners.insert(&setting.var, factor)
                && other.name != factor.name
            {
                problems.push(
                    Diagnostic::error("factors::shared", format!("two factors set the variable `{}`", setting.var))
                        .at(if factor.bundle { setting.span } else { factor.span }, "set here")
                        .at(other.span, format!("`{}` sets it too", other.name))
                        .help("a variable belongs to one factor; join the two into named levels"),
                );
            }
        }
        repeated_levels(factor, problems);
        if problems.len() == before {
            good.push(factor);
        }
    }
    good
}

fn repeated_levels(factor: &Factor, problems: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, Span> = HashMap::new();
    for level in &factor.levels {
        if let Some(first) = seen.insert(level.value.to_string(), level.span) {
            problems.push(
                Diagnostic::error("factors::repeated", format!("the factor `{}` has a level twice", factor.name))
                    .at(level.span, "again here")
                    .at(first, "first here")
                    .help("keep one of them"),
            );
        }
    }
}

/// The level whose values are those of the baseline.
fn baseline_level(factor: &Factor, vars: &Vars, paths: &PathVars<'_>) -> Option<usize> {
    let as_baseline = |s: &Setting| {
        let var = index(vars, &s.var);
        same(&s.value.to_json(), &vars.baseline[var]) && same_place(vars, paths, var, &s.value)
    };
    factor.levels.iter().position(|level| level.settings.iter().all(as_baseline))
}

/// Whether the paths in a level's value start from where those of the baseline do.
fn same_place(vars: &Vars, paths: &PathVars<'_>, var: usize, level: &Tree) -> bool {
    vars.in_baseline(|scope| paths.place(var, level, scope) == paths.place(var, &vars.defs[var].value, scope))
}

fn index(vars: &Vars, name: &str) -> usize {
    vars.defs.get_index_of(name).expect("levels of sensible factors set known variables")
}

/// Equal, where `1` and `1.0` are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() != b.is_f64() => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// `--set seed=5` does nothing when every variant sets `seed`.
fn warn_masked(factors: &[&Factor], baselines: &[Option<usize>], vars: &Vars, warnings: &mut Vec<Diagnostic>) {
    for (factor, baseline) in factors.iter().zip(baselines) {
        for &(var, span) in &vars.set {
            let name = vars.name(var);
            let sets = |level: &crate::spec::Level| level.settings.iter().any(|s| s.var == name);
            if factor.role != Role::Ablate && baseline.is_none() && factor.levels.iter().all(sets) {
                warnings.push(
                    Diagnostic::warning("set::masked", format!("setting `{name}` changes nothing"))
                        .at(span, "set here")
                        .at(factor.span, "every variant gets its value here")
                        .help("add the value to the factor's levels, or remove the factor"),
                );
            }
        }
    }
}

/// Ablate arms × matrix combinations × replicates, without repetitions; `None` when there are too many.
fn points(factors: &[&Factor], baselines: &[Option<usize>]) -> Option<Vec<Point>> {
    let choices = |i: usize| (0..factors[i].levels.len()).map(move |l| (Some(l) != baselines[i]).then_some(l));
    let of = |role: Role| (0..factors.len()).filter(move |&i| factors[i].role == role);
    let mut points: Vec<Point> = vec![vec![None; factors.len()]];
    for i in of(Role::Ablate) {
        for level in choices(i).flatten() {
            let mut arm = vec![None; factors.len()];
            arm[i] = Some(level);
            points.push(arm);
        }
    }
    for i in of(Role::Matrix).chain(of(Role::Replicate)) {
        if points.len().checked_mul(factors[i].levels.len())? > MAX_VARIANTS {
            return None;
        }
        let with = |point: &Point, level| {
            let mut point = point.clone();
            point[i] = level;
            point
        };
        points = points.iter().flat_map(|p| choices(i).map(move |level| with(p, level))).collect();
    }
    if points.len() > MAX_VARIANTS {
        return None;
    }
    if let Some(baseline) = points.iter().position(|p| p.iter().all(Option::is_none)) {
        points[..=baseline].rotate_right(1);
    }
    Some(points)
}

/// Fills in the variables that levels set.
fn set_directly<'s>(
    factors: &[&'s Factor],
    vars: &Vars,
    paths: &PathVars<'_>,
    points: &[Point],
    values: &mut [Vec<Valued<'s>>],
    numbers: &mut [Vec<u32>],
) {
    for (i, factor) in factors.iter().enumerate() {
        // For each variable of the factor: the number of its value at each level, 0 where the level leaves it alone.
        let mut at_level: IndexMap<usize, Vec<u32>> = IndexMap::new();
        let mut known: HashMap<(usize, String), u32> = HashMap::new();
        for (l, level) in factor.levels.iter().enumerate() {
            for setting in &level.settings {
                let var = index(vars, &setting.var);
                let value = setting.value.to_json();
                // A definition that refers to others may vary by itself, so its baseline value is no value of a
                // level's.
                let as_baseline = vars.compiled[var].deps.is_empty()
                    && value == vars.baseline[var]
                    && same_place(vars, paths, var, &setting.value);
                let number = if as_baseline {
                    0
                } else {
                    *known.entry((var, value.to_string())).or_insert_with(|| {
                        values[var].push(Valued { value, node: Some(&setting.value) });
                        values[var].len() as u32 - 1
                    })
                };
                at_level.entry(var).or_insert_with(|| vec![0; factor.levels.len()])[l] = number;
            }
        }
        for (var, at_level) in at_level {
            numbers[var] = points.iter().map(|p| p[i].map_or(0, |l| at_level[l])).collect();
        }
    }
}

/// Fills in the variables that refer to others which vary, where no level sets them; each distinct combination is
/// worked out once.
fn derive(
    vars: &Vars,
    paths: &PathVars<'_>,
    variants: usize,
    room: &Room,
    values: &mut [Vec<Valued<'_>>],
    numbers: &mut [Vec<u32>],
    problems: &mut Vec<Diagnostic>,
) {
    for &var in &vars.order {
        let deps: Vec<usize> = vars.compiled[var].deps.iter().copied().filter(|&d| !numbers[d].is_empty()).collect();
        if deps.is_empty() || vars.broken[var] {
            continue;
        }
        let mut known: HashMap<Vec<u32>, u32> = HashMap::from([(vec![0; deps.len()], 0)]);
        let at_baseline = vars.in_baseline(|scope| paths.place(var, &vars.defs[var].value, scope));
        let mut by_value = HashMap::from([((vars.baseline[var].to_string(), at_baseline), 0)]);
        let mut column = Vec::with_capacity(variants);
        for variant in 0..variants {
            let set = numbers[var].get(variant).copied().unwrap_or(0);
            if set != 0 {
                column.push(set);
                continue;
            }
            let key: Vec<u32> = deps.iter().map(|&d| numbers[d][variant]).collect();
            let number = known.get(&key).copied().unwrap_or_else(|| {
                let at = |v: usize| numbers[v].get(variant).copied().unwrap_or(0) as usize;
                let node = |v: usize| values[v][at(v)].node.unwrap_or(&vars.defs[v].value);
                let value = vars.render(var, &|v| &values[v][at(v)].value, &node, room, problems);
                let scope = Scope { defs: &vars.defs, value: &|v| &values[v][at(v)].value, node: &node, room };
                let place = paths.place(var, &vars.defs[var].value, &scope);
                let number = *by_value.entry((value.to_string(), place)).or_insert(values[var].len() as u32);
                if number as usize == values[var].len() {
                    values[var].push(Valued { value, node: None });
                }
                known.insert(key, number);
                number
            });
            column.push(number);
        }
        numbers[var] = column;
    }
}

fn describe(
    factors: &[&Factor],
    baselines: &[Option<usize>],
    vars: &Vars,
    points: &[Point],
    values: &[Vec<Valued<'_>>],
    numbers: &[Vec<u32>],
) -> Vec<Variant> {
    let level_names: Vec<Vec<String>> = factors.iter().map(|f| names::level_names(f)).collect();
    let baseline: IndexMap<String, Value> = vars.defs.keys().cloned().zip(vars.baseline.iter().cloned()).collect();
    let at_baseline: IndexMap<String, Value> = factors
        .iter()
        .zip(baselines)
        .map(|(factor, level)| {
            let value = match level {
                _ if !factor.bundle => baseline[&factor.name].clone(),
                Some(level) => factor.levels[*level].value.clone(),
                None => Value::String(names::BASELINE.to_owned()),
            };
            (factor.name.clone(), value)
        })
        .collect();
    let varying: Vec<usize> = (0..numbers.len()).filter(|&v| !numbers[v].is_empty()).collect();
    let variants = points.iter().enumerate().map(|(variant, point)| {
        let chosen = || point.iter().enumerate().filter_map(|(f, level)| level.map(|l| (f, l)));
        let name = |(f, l): (usize, usize)| level_names[f][l].as_str();
        let mut row = at_baseline.clone();
        for (f, l) in chosen() {
            row[f] = factors[f].levels[l].value.clone();
        }
        let mut all = baseline.clone();
        for &var in &varying {
            all[var].clone_from(&values[var][numbers[var][variant] as usize].value);
        }
        Variant {
            name: names::join(chosen().map(name)),
            arm: names::join(chosen().filter(|&(f, _)| factors[f].role != Role::Replicate).map(name)),
            factors: row,
            vars: all,
        }
    });
    variants.collect()
}
