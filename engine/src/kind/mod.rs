//! What a stage kind is: ports, parameters, version, sources, and how to run it.
//!
//! A kind implements [`StageKind`]; the engine sees it through the object-safe [`DynKind`], which every `StageKind`
//! gets for free. The kind's parameter struct is its documentation and its JSON Schema. A parameter that does not
//! change the result (batch size, device, threads, a path whose *content* is hashed instead) carries
//! `#[schemars(extend("x-operational" = true))]` and is left out of the key.

mod example;
mod highlight;
mod ports;
mod preview;
mod registry;
mod source;
mod stage_kind;
mod synonym;

pub use self::{
    example::{Example, usual_ports},
    highlight::Highlight,
    ports::{Column, InputPort, OutputPort, PortType, Ports, Role},
    preview::{Arriving, Memory, Preview, Question},
    registry::Registry,
    source::{Finder, Source, SourceHost, WRITTEN, written},
    stage_kind::{AnyParams, DynKind, ParamProblem, StageKind},
    synonym::{Meant, Synonym},
};
pub use crate::context::{Increment, StageError};
