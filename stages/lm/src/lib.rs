//! Language models on candle: load, generate in batches, train LoRA and QLoRA, talk to inference servers.
//!
//! A checkpoint is opened in two steps, neither of which reads a weight: [`config::DecoderConfig`] says what the model
//! is, and [`weights::Weights`] maps its files and checks that every tensor is there. This crate knows nothing of
//! pipelines, and it never prints, exits, or reads the environment: what comes from there (hub endpoint, token, keys)
//! is handed in as values.

pub mod adapter;
pub mod chat;
pub mod coded;
pub mod config;
pub mod embed;
mod error;
pub mod export;
mod folder;
pub mod footprint;
pub mod fresh;
pub mod generate;
pub mod gguf;
mod json;
pub mod model;
pub mod ops;
pub mod origin;
pub mod quant;
pub mod quiet;
pub mod template;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use error::Error;
