//! Keys: when is a stage's result reusable? (I4 to I8)
//!
//! A key is the digest of what the result depends on, and of nothing else. [`KeyRecord`] is the whole list, version 1:
//!
//! | field | hashed as |
//! |---|---|
//! | `kind`, `version` | text, number |
//! | `params` | canonical JSON: defaults filled in, operational parameters left out |
//! | `inputs`, sorted by port | port, then the logical digest of each; gathered ones with variant, arm and factors |
//! | `sources`, in the kind's order | label, then content digest, or the value |
//!
//! The hash of another list, or of the same fields in another encoding, needs another [`FORMAT`]. The *recipe* is the
//! same digest with the recipe's version in place of the kind's, without what the engine can extend row by row (the
//! primary input of a row-wise kind, the extent of a stream kind), and without what a kind applies to the rows
//! afterwards ([`StageKind::AFTERWARDS`](crate::kind::StageKind::AFTERWARDS)).

mod parts;
mod record;
mod sources;
mod stand;

pub use self::{
    parts::KeyParts,
    record::{FORMAT, FileSource, KeyRecord, ResultRecord, SourceContent, SourceRecord},
    sources::{SourceError, SourceHasher, expand, help_for_missing, matcher},
    stand::{Missing, Obstacle, Standing, View},
};
pub(crate) use self::{
    sources::{KeyedSources, texts},
    stand::{look_up, look_up_anew, misfit},
};
