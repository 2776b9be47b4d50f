//! End-to-end tests of the binary: every command as a user types it, in a folder of its own.

mod commands;
mod environment;
mod examples;
mod method;
mod mistakes;
mod reruns;

use environment::TestEnvironment;
