//! The kinds that use language models, on small models, as a pipeline runs them.

mod lab;
mod real;
mod train_evaluate;
