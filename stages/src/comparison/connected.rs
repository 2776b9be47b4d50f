//! What is connected to a stage, as input of a comparison.

use std::collections::BTreeSet;

use pipe_engine::{
    context::{InputArtifact, StageContext},
    kind::StageError,
};

use super::{Content, Input, Piece};

/// All inputs, by name, without the columns that gathering adds.
pub(crate) fn connected(cx: &StageContext) -> Result<Vec<Input>, StageError> {
    let names: Vec<String> = cx.inputs().map(|(name, _)| name.to_owned()).collect();
    names.iter().map(|name| input(cx, name)).collect()
}

fn input(cx: &StageContext, name: &str) -> Result<Input, StageError> {
    let (rows, from) = (cx.table(name)?.read()?, cx.artifacts(name));
    let factors: BTreeSet<&String> =
        from.iter().filter_map(|artifact| artifact.gathered.as_ref()).flat_map(|of| of.factors.keys()).collect();
    let added = if from.iter().any(|artifact| artifact.gathered.is_some()) { 2 + factors.len() } else { 0 };
    let own: Vec<usize> = (0..rows.num_columns().saturating_sub(added)).collect();
    let own = rows.project(&own).map_err(|e| StageError::other("tell factors from columns", e))?;
    let mut first = 0;
    let pieces = from.iter().map(|InputArtifact { artifact, gathered }| {
        let rows = own.slice(first, artifact.rows as usize);
        first += artifact.rows as usize;
        Piece { from: gathered.clone(), table: Some(Content { rows, digest: artifact.digest }) }
    });
    let mut pieces: Vec<Piece> = pieces.collect();
    for missing in cx.missing(name) {
        pieces.insert(missing.place.min(pieces.len()), Piece { from: Some(missing.variant.clone()), table: None });
    }
    Ok(Input { name: name.to_owned(), pieces, leads: false })
}
