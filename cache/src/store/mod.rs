//! The store: opening it, looking up, publishing, reading, and the names of results.

mod aside;
mod content;
pub(crate) mod index;
mod links;
mod open;
mod publish;
mod read;
mod recover;
mod refs;
mod table_writer;

pub(crate) use content::StatCache;
pub use content::{ContentDigest, is_leaving};
pub use links::ResultLink;
pub use open::{Lookup, Store, StoreOptions};
pub use publish::Publication;
pub(crate) use publish::{Scratch, with_parents};
pub(crate) use recover::manifests_since;
pub use refs::{PipelineRefs, RefEntry, RefLog, RefsChange};
pub use table_writer::TableWriter;
pub(crate) use table_writer::columns;
