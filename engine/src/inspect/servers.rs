//! What servers say before a run begins of what will be asked of them.

use std::{collections::BTreeMap, sync::Arc};

use pipe_cache::Store;

use super::{Action, Plan, ahead::told};
use crate::{
    execute::RunOptions,
    keys::SourceHasher,
    pipeline::{NodeId, Pipeline},
};

/// Asks the servers of the stages that would run, each question once: stages that would fail on the answer are errors
/// of the plan from then on.
pub fn ask_servers(pipeline: &Pipeline, store: &Store, options: &RunOptions, plan: &mut Plan) {
    let hasher = SourceHasher::new(store.clone(), Arc::clone(&options.env)).cancelled_by(options.cancel.clone());
    let mut answers: BTreeMap<String, Option<String>> = BTreeMap::new();
    for planned in &mut plan.nodes {
        if !matches!(planned.action, Action::Run { .. } | Action::Pending { .. }) {
            continue;
        }
        let node = &pipeline.graph[NodeId::new(planned.node.id as usize)];
        let Some(question) = node.kind.asks(&node.params, &hasher.host(node)) else { continue };
        let answer = answers.entry(question.name).or_insert_with(|| (question.ask)().err().map(|error| told(&error)));
        if let Some(message) = answer {
            planned.action = Action::Error { message: message.clone() };
        }
    }
}
