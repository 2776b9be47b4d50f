//! What tests of several crates share: a lab in which pipelines run, and toy kinds for them.
//!
//! Only ever a dev-dependency. The engine's own tests in `tests/` use it, those in `src/` cannot: to this crate, the
//! types of the engine are those of the finished library.

pub mod kinds;
mod lab;
pub mod logged;
pub mod mutants;
mod pace;
mod probe;
pub mod shapes;
mod texts;

pub use self::{
    lab::{Lab, Ran, damage},
    probe::Probe,
    texts::texts,
};
