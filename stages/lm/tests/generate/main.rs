//! Generation: the local backend on tiny random models and on a real checkpoint, endpoints on fake and real servers.

mod common;
#[path = "../../../../tests/support/data.rs"]
mod data;
mod determinism;
mod endpoint;
mod fake_server;
mod local;
mod score;
mod stories;
