//! Language models on candle: load, generate in batches, train LoRA and QLoRA, talk to inference servers.

pub mod ops;
