//! Arms and their draws: what is compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pipe_engine::{diag::one_of, kind::StageError};

use super::{
    Input,
    arm::Arm,
    params::CompareParams,
    scored::{self, Table},
    signatures::Signatures,
};

/// What to do where there is nothing to compare.
pub(crate) const CONNECT: &str =
    "gather a stage over its variants (`predictions: scores[*]`), or connect several stages";
/// How it is said that an arm is another one by another name.
pub const FOLDED: &str = "the same rows as";
/// What `task` says of all items together.
const ALL: &str = "all";

/// All arms, the baseline first.
#[derive(Debug)]
pub(crate) struct Arms {
    pub metrics: Vec<String>,
    /// What exactly each of the metrics is, where that is known.
    pub signatures: Vec<Option<String>>,
    pub all: Vec<Arm>,
    /// The tasks that any item of any arm has.
    pub tasks: Vec<String>,
    /// Arms that are another one by another name, and why.
    pub folded: Vec<(String, String)>,
    /// Columns that might have been metrics and are none, in words.
    pub passed_over: Option<String>,
}

impl Arms {
    /// Reads all inputs. There may be a single arm.
    pub(crate) fn read(params: &CompareParams, inputs: Vec<Input>) -> Result<Self, StageError> {
        let (mut tables, mut signatures) = (Vec::with_capacity(inputs.len()), Signatures::default());
        for input in inputs {
            if input.has_signatures(params) {
                signatures.read(&input)?;
            } else {
                tables.push(Table::new(input));
            }
        }
        let metrics = scored::metrics(params, &tables)?;
        let passed_over = scored::passed_over(params, &tables.iter().collect::<Vec<_>>());
        let mut arms = Vec::new();
        let mut folded = Vec::new();
        for table in &tables {
            let found = table.arms(params, &metrics, tables.len() > 1)?;
            arms.extend(fold(found, tables.len() > 1 || table.leads, &mut folded));
        }
        if arms.is_empty() {
            return Err(StageError::user_help("there is no arm to compare", CONNECT));
        }
        let first = match &params.baseline {
            None => 0,
            Some(wanted) => arms.iter().position(|arm| arm.name == *wanted).ok_or_else(|| StageError::User {
                message: format!("there is no arm `{wanted}` to be the baseline"),
                help: one_of(wanted, "the arms are", arms.iter().map(|arm| &*arm.name)),
            })?,
        };
        let baseline = arms.remove(first);
        arms.insert(0, baseline);
        repeat_fixed(&mut arms);
        let signatures = metrics.iter().map(|metric| signatures.of(metric)).collect();
        let tasks = tasks(&arms);
        Ok(Self { metrics, signatures, all: arms, tasks, folded, passed_over })
    }

    /// The names of all draws.
    pub(crate) fn draws(&self) -> BTreeSet<&String> {
        self.all.iter().flat_map(|arm| arm.draws.keys().chain(&arm.missing)).collect()
    }
}

/// How a task is called in tables. A task may be called like all of them.
pub(super) fn shown(task: Option<&str>) -> String {
    match task {
        None => ALL.to_owned(),
        Some(ALL) => format!("{ALL} (task)"),
        Some(task) => task.to_owned(),
    }
}

fn tasks(arms: &[Arm]) -> Vec<String> {
    let draws = arms.iter().flat_map(|arm| arm.draws.values());
    let mut tasks: Vec<&str> = draws.flat_map(|draw| draw.tasks.iter().flatten()).map(|task| &**task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    tasks.into_iter().map(str::to_owned).collect()
}

impl Arm {
    fn has_same_rows(&self, other: &Self) -> bool {
        self.missing == other.missing
            && self.draws.len() == other.draws.len()
            && self.draws.iter().zip(&other.draws).all(|(a, b)| a.0 == b.0 && a.1.content == b.1.content)
    }
}

/// Which factors an arm differs from the baseline by, and its levels there.
pub(super) fn differing(arm: &Arm, baseline: &Arm) -> (String, String) {
    let stage = (arm.input != baseline.input).then(|| ("stage".to_owned(), arm.input.clone()));
    let other = arm.factors.iter().filter(|(name, level)| baseline.factors.get(*name).is_some_and(|of| of != *level));
    let differs: Vec<(String, String)> =
        stage.into_iter().chain(other.map(|(name, level)| (name.clone(), level.clone()))).collect();
    let join = |part: fn(&(String, String)) -> &str| differs.iter().map(part).collect::<Vec<_>>().join(" × ");
    (join(|d| &d.0), join(|d| &d.1))
}

/// Takes arms together that differ by a factor on which their stage does not depend: those are one arm, and as several
/// they would weigh on every correction. Of the only stage that a `compare` takes, one arm would be left where nothing
/// changes anything: then all of them stay, for that is an answer, too.
fn fold(arms: Vec<Arm>, is_one_of_several: bool, folded: &mut Vec<(String, String)>) -> Vec<Arm> {
    let mut kept = arms.clone();
    let mut found = Vec::new();
    let factors: BTreeSet<String> = arms.iter().flat_map(|arm| arm.factors.keys().cloned()).collect();
    for factor in factors {
        let mut groups: BTreeMap<Vec<(String, String)>, Vec<usize>> = BTreeMap::new();
        for (place, arm) in kept.iter().enumerate() {
            let rest = arm.factors.iter().filter(|(name, _)| **name != factor);
            groups.entry(rest.map(|(a, b)| (a.clone(), b.clone())).collect()).or_default().push(place);
        }
        let is_idle = groups.values().any(|group| group.len() > 1)
            && groups.values().all(|group| group.iter().all(|&place| kept[place].has_same_rows(&kept[group[0]])));
        if !is_idle {
            continue;
        }
        for group in groups.values() {
            let name = &kept[group[0]].name;
            let why = format!("{FOLDED} `{name}`: the stage does not depend on `{factor}`");
            found.extend(group[1..].iter().map(|&place| (kept[place].name.clone(), why.clone())));
        }
        let firsts: BTreeSet<usize> = groups.values().map(|group| group[0]).collect();
        let mut place = 0;
        kept.retain(|_| {
            place += 1;
            firsts.contains(&(place - 1))
        });
        for arm in &mut kept {
            arm.factors.remove(&factor);
        }
    }
    if kept.len() == 1 && !is_one_of_several {
        return arms;
    }
    folded.extend(found);
    kept
}

/// An arm without draws of its own (a table that is given, a base model) is the same in every draw of the others.
fn repeat_fixed(arms: &mut [Arm]) {
    let all = arms.iter().flat_map(|arm| arm.draws.keys().chain(&arm.missing));
    let names: BTreeSet<String> = all.filter(|name| !name.is_empty()).cloned().collect();
    if names.is_empty() {
        return;
    }
    for arm in arms {
        if let Some(fixed) = arm.draws.remove("") {
            arm.draws = names.iter().map(|name| (name.clone(), Arc::clone(&fixed))).collect();
        }
        if arm.missing.remove("") {
            arm.missing.clone_from(&names);
        }
    }
}
