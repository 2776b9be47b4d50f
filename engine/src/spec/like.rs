//! `like:`: a stage that is another one, but for what it says itself.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::{InputSpec, StageSpec};
use crate::{
    diag::{Diagnostic, SHOWN_OF_CIRCLE, advice, circle},
    yaml::{Data, Entry, Tree, shorten},
};

/// Most that all stages of a pipeline may take from others, as [`Tree::size`] counts: a chain of stages grows with its
/// square.
const MAX_TAKEN: usize = 1_000_000;

/// How far a stage has come.
#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    /// On the way from a stage to the one that it is like, and so on.
    Open,
    Done,
}

/// Gives every stage that is like another what it takes from it. Stages of a circle, and those that are like nothing,
/// stay without a kind, which is reported.
pub(crate) fn apply(stages: &mut IndexMap<String, StageSpec>, problems: &mut Vec<Diagnostic>) {
    let mut state = vec![State::New; stages.len()];
    let mut taken = 0;
    for start in 0..stages.len() {
        // Not recursive: a chain may be as long as a file can hold.
        let mut chain: Vec<usize> = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next.filter(|&at| state[at] == State::New) {
            state[at] = State::Open;
            chain.push(at);
            next = target(stages, at, problems);
        }
        if let Some(circle) = next.and_then(|at| chain.iter().position(|&i| i == at)) {
            problems.push(circular(stages, &chain[circle..]));
            chain.drain(circle..).for_each(|i| state[i] = State::Done);
        }
        for at in chain.into_iter().rev() {
            state[at] = State::Done;
            let Some(base) = stages[at].like.as_ref().and_then(|(name, _)| stages.get(name)) else { continue };
            taken += base.params.as_ref().map_or(0, Tree::size) + base.inputs.len();
            if taken > MAX_TAKEN {
                problems.push(too_much(&stages[at]));
                // What they have taken so far is of no use, and may be wrong a million times.
                for stage in stages.values_mut().filter(|stage| stage.like.is_some()) {
                    (stage.kind, stage.params) = (None, None);
                }
                return;
            }
            let base = base.clone();
            take(&mut stages[at], base);
        }
    }
}

/// The stage that another is like; one that does not exist is reported.
fn target(stages: &IndexMap<String, StageSpec>, at: usize, problems: &mut Vec<Diagnostic>) -> Option<usize> {
    let (wanted, span) = stages[at].like.as_ref()?;
    let found = stages.get_index_of(wanted);
    if found.is_none() {
        let others = stages.keys().enumerate().filter(|&(i, _)| i != at).map(|(_, name)| name.as_str());
        let help = advice(problems, wanted, "stages", others);
        problems.push(
            Diagnostic::error("like::unknown", format!("there is no stage `{}`", shorten(wanted)))
                .at(*span, "unknown stage")
                .maybe_help(help),
        );
    }
    found
}

fn circular(stages: &IndexMap<String, StageSpec>, places: &[usize]) -> Diagnostic {
    let name = |&i: &usize| stages.get_index(i).map_or("", |(name, _)| name.as_str());
    let names: Vec<&str> = places.iter().map(name).collect();
    let message = match names[..] {
        [only] => format!("the stage `{only}` is like itself"),
        _ => "stages are like each other in a circle".to_owned(),
    };
    let mut problem = Diagnostic::error("like::cycle", message).help(circle(&names));
    for i in places.iter().take(SHOWN_OF_CIRCLE) {
        if let Some((like, span)) = &stages[*i].like {
            problem = problem.at(*span, format!("`{}` is like `{like}`", name(i)));
        }
    }
    problem
}

fn too_much(stage: &StageSpec) -> Diagnostic {
    let span = stage.like.as_ref().map_or(stage.span, |(_, span)| *span);
    let message = format!("stages take more than {MAX_TAKEN} values from each other");
    Diagnostic::error("like::budget", message)
        .at(span, "this one goes beyond the limit")
        .help("let stages be like one stage, in place of a long chain, and share large values with `vars:`")
}

/// Merges what `base` has under what `stage` says. Maps are merged one level deep, so that a parameter that is itself
/// a map is replaced whole; `null` takes an input or a parameter away.
fn take(stage: &mut StageSpec, base: StageSpec) {
    stage.kind = base.kind;
    stage.running = std::mem::take(&mut stage.running).or(base.running);
    // An input that is null leaves its port out, so nothing more is to be done.
    stage.inputs = merged(base.inputs, std::mem::take(&mut stage.inputs), |input: &InputSpec| &input.port);
    let entries = |params: Option<Tree>| match params {
        Some(Tree { data: Data::Map(entries), span }) => (Some(span), entries),
        _ => (None, Vec::new()),
    };
    let ((base_span, mut kept), (own_span, own)) = (entries(base.params), entries(stage.params.take()));
    let (nulls, own): (Vec<Entry>, Vec<Entry>) = own.into_iter().partition(|e| e.value.data == Data::Null);
    let gone: HashSet<&str> = nulls.iter().map(|e| e.key.as_str()).collect();
    kept.retain(|e| !gone.contains(e.key.as_str()));
    stage.removed = nulls.iter().map(|e| (e.key.clone(), e.key_span)).collect();
    let params = |span| Tree { span, data: Data::Map(merged(kept, own, |entry: &Entry| &entry.key)) };
    stage.params = own_span.or(base_span).map(params);
}

/// The items of `base`, each replaced by the one of `own` that has its name, and then the others of `own`.
fn merged<T>(base: Vec<T>, own: Vec<T>, name: fn(&T) -> &String) -> Vec<T> {
    let all: IndexMap<String, T> = base.into_iter().chain(own).map(|item| (name(&item).clone(), item)).collect();
    all.into_values().collect()
}
