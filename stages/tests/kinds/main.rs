//! The kinds that use language models, run by the engine on models made on the spot; on a trained one when asked for.

mod conversations;
#[path = "../../../tests/support/data.rs"]
mod data;
mod export;
mod external;
mod generate;
mod models;
mod outcomes;
mod pretrain;
mod respond;
mod retrieve;
mod served;
mod tables;
#[path = "../../../tests/support/tools.rs"]
mod tools;
mod train_evaluate;
mod train_from_to;
mod trained;
