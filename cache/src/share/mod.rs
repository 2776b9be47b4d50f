//! What several processes on one store, and the machine's power, must not break: leases, sessions, syncing.

pub(crate) mod lease;
pub(crate) mod lock;
mod mount;
pub(crate) mod session;
mod suspect;
pub(crate) mod sync;

pub use lease::{Lease, LeaseAttempt};
pub(crate) use mount::Mount;
