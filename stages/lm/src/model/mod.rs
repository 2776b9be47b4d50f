//! One decoder for every supported family: the Llama family (Llama, Mistral, Qwen2 and 3, SmolLM) and MPT.
//!
//! [`Decoder`] holds the weights, in any encoding, and the adapters loaded on them. Its training forward runs over
//! [`PackedBatch`]es with autograd; [`Inference`] is the same model prepared for generation with a key/value cache.
//! What distinguishes the families is in [`DecoderConfig`](crate::config::DecoderConfig); here are its meanings.

mod adapters;
mod batch;
mod build;
mod composed;
mod cpu;
mod decoder;
mod error;
mod inference;
mod layer;
mod linear;
mod provider;
mod rotary;
mod workspace;

pub use adapters::Adapter;
pub use batch::{CachedBatch, PackedBatch, Span};
pub use decoder::Decoder;
pub use error::ModelError;
pub use inference::{Inference, Session};
pub use layer::{Attention, Layer, Mlp, Norm, Qkv};
pub use linear::{Linear, LoraWeights};
pub use provider::{Dense, Packing, WeightProvider, activation_dtype};
