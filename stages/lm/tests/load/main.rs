//! Loading: configurations, weights, tokenizers, chat templates, adapters, GGUF, model sources.

mod adapter;
mod chat;
mod config;
#[path = "../../../../tests/support/data.rs"]
mod data;
mod elsewhere;
mod gguf;
mod hub;
mod origin;
mod peers;
mod stories;
mod support;
mod tokenizer;
mod weights;
