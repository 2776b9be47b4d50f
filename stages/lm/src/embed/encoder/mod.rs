//! Encoders, forward alone, over packed activations: `[tokens, dim]` for the texts of a group one after the other,
//! without padding. Every product accumulates in one order (`ops::gemm`), attention stays within a text, and all else
//! goes by rows: so the bits of a text's vectors depend neither on the texts beside it nor on the number of threads.
//!
//! A family of models is a file in `families/`: how its `config.json` is read, and what its tensors are called.

mod attention;
mod config;
mod families;
mod head;
mod layer;
mod parts;

use std::path::Path;

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;

use crate::ops::Crew;

use config::Config;
pub(super) use families::Family;
pub(super) use head::Head;
use layer::{Buffers, Layer};
use parts::{Norm, Table};

/// The tokens of one text.
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    /// The segment of each token where there are two; otherwise empty.
    pub segments: Vec<u32>,
}

/// The vectors of tokens before the first layer.
struct Embeddings {
    words: Table,
    /// A vector for each position, and how they are counted. Rotary models have none.
    positions: Option<(Table, Counting)>,
    segments: Option<Table>,
    norm: Norm,
}

/// How positions are counted.
#[derive(Clone, Copy)]
enum Counting {
    /// From 0.
    All,
    /// From the one behind this token's id, which has no place of its own (RoBERTa).
    Behind(u32),
}

impl Counting {
    fn of(self, ids: &[u32]) -> Vec<usize> {
        let mut count = 0;
        match self {
            Self::All => (0..ids.len()).collect(),
            Self::Behind(pad) => ids
                .iter()
                .map(|&id| {
                    count += usize::from(id != pad);
                    if id == pad { pad as usize } else { pad as usize + count }
                })
                .collect(),
        }
    }
}

/// An encoder.
pub(super) struct Encoder {
    dim: usize,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    /// Behind the last layer, where norms stand in front of what they serve.
    last: Option<Norm>,
}

impl Encoder {
    /// Hidden states `[tokens, dim]` of a group of texts.
    ///
    /// # Errors
    /// An id beyond the vocabulary, or more tokens than positions.
    pub(crate) fn forward(&self, crew: Crew, texts: &[Tokens]) -> Result<Vec<f32>> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let mut hidden = vec![0.0; lengths.iter().sum::<usize>() * self.dim];
        let mut left = &mut hidden[..];
        for text in texts {
            let (rows, rest) = left.split_at_mut(text.ids.len() * self.dim);
            self.embed(text, rows)?;
            left = rest;
        }
        let mut buffers = Buffers::default();
        self.embeddings.norm.in_place(crew, &mut hidden, &mut buffers.out);
        for layer in &self.layers {
            layer.forward(crew, &lengths, &mut hidden, &mut buffers);
        }
        if let Some(norm) = &self.last {
            norm.in_place(crew, &mut hidden, &mut buffers.out);
        }
        Ok(hidden)
    }

    /// The sums of a text's vectors, before their norm.
    fn embed(&self, text: &Tokens, rows: &mut [f32]) -> Result<()> {
        let Embeddings { words, positions, segments, .. } = &self.embeddings;
        let places = positions.as_ref().map(|(table, counting)| (table, counting.of(&text.ids)));
        for (i, row) in rows.chunks_exact_mut(self.dim).enumerate() {
            row.copy_from_slice(words.row(text.ids[i] as usize, "vocabulary")?);
            if let Some(segments) = segments {
                add(row, segments.row(text.segments.get(i).map_or(0, |&s| s as usize), "table of segments")?);
            }
            if let Some((table, places)) = &places {
                add(row, table.row(places[i], "table of positions")?);
            }
        }
        Ok(())
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// The tensors in a folder's `model.safetensors`.
pub(super) fn weights(dir: &Path) -> Result<VarBuilder<'static>> {
    let files = [dir.join("model.safetensors")];
    // SAFETY: as with all mapped weights, the file must not be cut while it is read; every tensor is copied out (packed
    // for the kernels) while the encoder is opened, and the map is gone afterwards.
    unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu) }
}
