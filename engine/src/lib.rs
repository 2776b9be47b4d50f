//! YAML DAGs of content-hashed stages: parse, resolve, plan, execute.
//!
//! ```text
//! YAML text -> PipelineSpec -> Pipeline -> Plan -> execution (events out, artifacts into the store)
//! ```

pub mod cancel;
pub mod context;
pub mod dag;
pub mod diag;
pub mod diff;
pub mod estimate;
pub mod events;
pub mod execute;
pub mod highlights;
pub mod journal;
pub mod keys;
pub mod kind;
pub mod labels;
pub mod pipeline;
pub mod plan;
pub mod resolve;
pub mod schema;
pub mod select;
pub mod sources;
pub mod spec;
pub mod survey;
pub mod why;
pub mod yaml;
