//! Why does a stage run? Compares its key record with the nearest earlier one, one line per change.

mod changes;
mod history;

use std::{collections::BTreeMap, sync::Arc};

use pipe_cache::{Digest, Store};
use serde::Serialize;

pub(crate) use self::{
    changes::{Changes, say_words},
    history::History,
};
use super::survey::survey;
use crate::{
    context::causes,
    execute::RunError,
    keys::{KeyRecord, Standing},
    pipeline::{Label, NodeId, NodeRef, Pipeline, Selection},
};

/// The answer for one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The node.
    pub node: NodeRef,
    /// What would happen.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What is different from [`Why::compared_with`], one line each.
    pub changes: Vec<String>,
    /// The earlier result that is nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<Earlier>,
}

/// What would happen to the node in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing: its result is in the store.
    Hit {
        /// Its key.
        key: Digest,
    },
    /// It runs, and never ran before.
    NeverRan,
    /// It runs, because something changed.
    Changed,
    /// It runs although nothing changed: its result was deleted or damaged.
    Deleted {
        /// What is known of that.
        detail: Option<String>,
    },
    /// It always runs (I8).
    Uncacheable {
        /// Which component of the key cannot be computed.
        detail: String,
    },
    /// Not known before its upstreams have run.
    Pending {
        /// Those upstreams.
        on: Vec<Label>,
    },
    /// Its sources cannot be read: it would fail.
    Unreadable {
        /// Why.
        detail: String,
    },
}

/// An earlier result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Earlier {
    /// Its key.
    pub key: Digest,
    /// The stage, as it was called when it was computed.
    pub label: Label,
    /// When, in milliseconds since 1970.
    pub started_ms: u64,
    /// By which run.
    pub run: String,
}

/// Explains `stage` (all variants, one answer per node) or `stage@variant`.
pub fn why(
    pipeline: &Pipeline,
    store: &Store,
    env: &Arc<BTreeMap<String, String>>,
    target: &str,
) -> Result<Vec<Why>, RunError> {
    let selection = Selection { until: vec![target.to_owned()], ..Selection::default() };
    let wanted = pipeline.upstream(selection.resolve(pipeline)?.nodes());
    let survey = survey(pipeline, store, env, &wanted, &vec![false; wanted.len()])?;
    let mut history = History::new(pipeline, store)?;
    let explain = |id: NodeId| explain(pipeline, &mut history, id, &survey.nodes[id.index()]);
    Ok(pipeline.find_nodes(target)?.into_iter().map(explain).collect::<Result<_, _>>()?)
}

/// Explains one node that was looked at.
pub(crate) fn explain(
    pipeline: &Pipeline,
    history: &mut History<'_>,
    id: NodeId,
    standing: &Standing,
) -> Result<Why, pipe_cache::StoreError> {
    let node = pipeline.node_ref(id);
    let plain = |verdict| Why { node: node.clone(), verdict, changes: Vec::new(), compared_with: None };
    let (record, key, problem): (&KeyRecord, Option<Digest>, Option<String>) = match standing {
        Standing::Hit(entry) => return Ok(plain(Verdict::Hit { key: entry.key })),
        Standing::Unreadable(error) => {
            return Ok(plain(Verdict::Unreadable { detail: causes(&**error).join(": ") }));
        }
        Standing::Unseen => return Ok(plain(Verdict::NeverRan)),
        Standing::Missing(missing) => {
            (&missing.record, missing.key, missing.obstacle.as_ref().map(ToString::to_string))
        }
        Standing::Pending { record, .. } => (record, None, None),
    };
    let pending: Option<Vec<NodeId>> = match standing {
        Standing::Pending { on, .. } => Some(on.clone()),
        _ => None,
    };
    let nearest = history.nearest(id, record, pending.is_some(), key.as_ref())?;
    let verdict = match (pending, &nearest) {
        (Some(on), _) => {
            Verdict::Pending { on: on.into_iter().map(|producer| pipeline.node_ref(producer).label).collect() }
        }
        (None, _) if key.is_none() => Verdict::Uncacheable { detail: problem.unwrap_or_default() },
        (None, None) if key.is_some_and(|key| history.own_keys(id).contains(&key)) => {
            Verdict::Deleted { detail: problem }
        }
        (None, None) => Verdict::NeverRan,
        (None, Some((_, changes))) if changes.is_empty() => Verdict::Deleted { detail: problem },
        (None, Some(_)) => Verdict::Changed,
    };
    let (compared_with, changes) = nearest.map_or((None, Vec::new()), |(earlier, changes)| (Some(earlier), changes));
    Ok(Why { node, verdict, changes, compared_with })
}
