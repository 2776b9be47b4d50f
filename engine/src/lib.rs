//! YAML DAGs of content-hashed stages: parse, resolve, plan, execute.
//!
//! ```text
//! YAML text -> PipelineSpec -> Pipeline -> Plan -> execution (events out, artifacts into the store)
//! ```
//!
//! Each room knows only rooms that stand before it here:
//! `diag` `yaml` `context` | `kind` | `pipeline` | `spec` `keys` `events` `resolve` `views` | `arms` | `execute` |
//! `inspect`.

pub mod arms;
pub mod context;
pub mod diag;
pub mod events;
pub mod execute;
pub mod inspect;
pub mod keys;
pub mod kind;
pub mod pipeline;
pub mod resolve;
pub mod spec;
pub mod views;
pub mod yaml;
