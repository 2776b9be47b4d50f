//! What may be said of arms: from tables of scored items to answers. Where the tables come from is another's affair:
//! the kind `compare` is given them by its inputs, `results` takes them from a store.

mod arm;
mod arms;
mod asked;
mod connected;
mod details;
mod effects;
mod factorial;
mod left_out;
mod pairing;
mod params;
mod scored;
mod signatures;
mod table;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use pipe_cache::Digest;
use pipe_engine::{context::GatheredFrom, kind::StageError};

pub use self::arms::FOLDED;
pub use self::params::{CompareBootstrap, CompareParams, IntervalEnds};
use self::signatures::Signatures;
pub(crate) use self::{
    arm::{Arm, Draw},
    arms::{Arms, CONNECT},
    connected::connected,
};

/// The kind whose stages say what is compared.
pub(crate) const KIND: &str = "compare";

/// Scored items, or the signatures of metrics.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub name: String,
    /// One, or one for each variant, in order. One that has no rows, or no result, is there, too.
    pub pieces: Vec<Piece>,
    /// Whether its arms are called as if there were no other input: it is what others are held against.
    pub leads: bool,
}

/// What one variant gives to an input; the whole of it, where it is not gathered.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub from: Option<GatheredFrom>,
    /// `None` where its stage has no result.
    pub table: Option<Content>,
}

impl Piece {
    /// The arm; empty where the input is not gathered.
    fn arm(&self) -> &str {
        self.from.as_ref().map_or("", |from| &from.arm)
    }
}

impl Input {
    /// Whether it says what metrics are, and has no items.
    pub(crate) fn has_signatures(&self, params: &CompareParams) -> bool {
        self.schema().is_some_and(|schema| Signatures::are_in(&schema, &params.item))
    }

    /// The columns; `None` where nothing has a result.
    fn schema(&self) -> Option<SchemaRef> {
        self.pieces.iter().find_map(|piece| piece.table.as_ref()).map(|table| table.rows.schema())
    }
}

/// A table, and what tells it from others.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Without columns for variant and factors. All pieces of an input have the same columns.
    pub rows: RecordBatch,
    pub digest: Digest,
}

/// Says whether to go on: an error, where somebody wants an end.
pub(crate) type GoOn<'a> = &'a (dyn Fn() -> Result<(), StageError> + Sync);

/// All answers, as tables; but for what is told of single items ([`flips`]).
#[derive(Debug)]
pub(crate) struct Answers {
    pub effects: RecordBatch,
    pub means: RecordBatch,
    pub variance: RecordBatch,
    pub trends: RecordBatch,
    pub contrasts: RecordBatch,
    pub left_out: RecordBatch,
    /// What people should know: what is left out, and what arms do not agree on.
    pub warnings: Vec<String>,
}

/// Items whose score another arm changes, the largest changes first: as many rows as there are items, metrics and arms.
pub(crate) fn flips(params: &CompareParams, arms: &Arms) -> Result<RecordBatch, StageError> {
    details::flips(params, arms)?.batch()
}

/// Asks all questions.
pub(crate) fn answers(params: &CompareParams, arms: &Arms, go_on: GoOn<'_>) -> Result<Answers, StageError> {
    let found = effects::effects(params, arms, go_on)?;
    let (left_out, warning) = left_out::table(arms);
    Ok(Answers {
        effects: effects::table(params, arms, &found).batch()?,
        means: details::means(arms).batch()?,
        variance: details::spread(arms)?.batch()?,
        trends: details::trends(params, arms)?.batch()?,
        contrasts: factorial::table(params, arms, go_on)?.batch()?,
        left_out: left_out.batch()?,
        warnings: warning.into_iter().chain(pairing::apart(&arms.all)).chain(arms.passed_over.clone()).collect(),
    })
}
