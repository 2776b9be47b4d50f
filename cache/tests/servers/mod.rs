//! Servers for tests of remotes, and what stands between them and us.
#![allow(dead_code, reason = "every test binary uses another part")]

pub(crate) mod faults;
pub(crate) mod files;
