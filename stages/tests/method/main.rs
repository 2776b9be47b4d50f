//! The kinds of the method, run by the engine on models made on the spot; on trained ones where `PIPE_TEST_DATA` names the folder that holds them.

mod generate;
mod lab;
mod respond;
mod retrieve;
mod trained;
