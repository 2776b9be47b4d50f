//! The kinds that use language models, run by the engine on models made on the spot; on a trained one where `PIPE_TEST_DATA` names the folder
//! that holds it.

mod export;
mod generate;
mod lab;
mod pretrain;
mod respond;
mod retrieve;
mod train_evaluate;
mod trained;
