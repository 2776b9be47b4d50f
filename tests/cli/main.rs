//! End-to-end tests of the binary: every command as a user types it, in a folder of its own.

mod builtin;
mod by_row;
mod check;
mod commands;
mod completions;
mod doctor;
mod earlier;
mod environment;
mod examples;
mod export_samples;
mod hostile;
mod in_flight;
mod kills;
mod looking;
mod method;
mod mistakes;
mod mounts;
mod own_domain;
mod pages;
mod plans;
mod programs;
mod reference;
mod remote;
mod reruns;
mod results;
mod slow;
mod slurm;
mod sql;
mod stores_found;
mod tables;
mod terminal;
mod watching;
mod workers;

#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/tools.rs"]
mod tools;

use environment::TestEnvironment;
