//! Loading: configurations, weights, tokenizers, chat templates, adapters, GGUF, model sources.

mod adapter;
mod chat;
mod config;
mod gguf;
mod source;
mod stories;
mod support;
mod tokenizer;
mod weights;
