//! What several processes on one store, and the machine's power, must not break: leases, sessions, syncing.

pub(crate) mod lease;
pub(crate) mod lock;
pub(crate) mod session;
pub(crate) mod sync;

pub use lease::{Lease, LeaseAttempt};
