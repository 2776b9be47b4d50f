//! Loading: configurations, weights, tokenizers, chat templates, adapters, GGUF, model sources.

mod chat;
mod config;
mod support;
mod tokenizer;
mod weights;
