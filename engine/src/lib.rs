//! YAML DAGs of content-hashed stages: parse, resolve, plan, execute.
//!
//! ```text
//! YAML text -> PipelineSpec -> Pipeline -> Plan -> execution (events out, artifacts into the store)
//! ```

pub mod context;
pub mod diag;
pub mod kind;
pub mod pipeline;
pub mod spec;
pub mod yaml;
