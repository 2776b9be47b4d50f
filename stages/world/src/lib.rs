//! The embedded domain: an invented world of drugs, diseases and genes, its texts, its tasks and its exam.
//!
//! Invented, so that the truth is known, nothing leaks from elsewhere, and nobody takes it for medical advice. What it
//! holds: facts about entities ([`World`]), cards that state them ([`cards`]), kinds of task ([`Form`]) whose house
//! style only the expert's [`Guide`] knows, [`seeds`] and [`exam`]s by that expert, and [`documents`](document) that a
//! base model is pretrained on. Everything is a function of a seed.

mod documents;
mod exam;
mod lexicon;
mod phrases;
mod rng;
mod task;
mod text;
mod world;

pub use documents::{DocumentKind, Segment, document};
pub use exam::{Item, Split, exam, off_domain_seeds, seeds};
pub use task::{Form, Guide, Task};
pub use text::{Card, cards};
pub use world::{Entity, World, WorldSize};
