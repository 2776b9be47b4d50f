//! The executor on small kinds and a real store.

mod arms;
mod at_once;
mod explain;
mod golden;
mod incremental;
mod kept;
mod mutations;
mod remote;
mod running;
mod sharing;
