//! A decoder prepared for generation, and the state of a generation in progress.

use rayon::prelude::*;

use super::{
    CachedBatch, Decoder, ModelError,
    adapters::adapter_index,
    composed::{self, KeysValues},
    cpu::{CpuModel, CpuPass},
    decoder::check_tokens,
    rotary::Rotary,
    workspace::Workspace,
};
use crate::{
    config::DecoderConfig,
    ops::{Crew, KvCache, Team},
};

/// A model for generation: weights laid out for the kernels (CPU), or the decoder itself (other devices).
///
/// It holds what the decoder held when it was made: adapters added or weights trained later are not seen. On the CPU
/// the decoder may be dropped afterwards.
#[derive(Debug)]
pub struct Inference {
    config: DecoderConfig,
    adapter_names: Vec<String>,
    rotary: Rotary,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Cpu(Box<CpuModel>),
    Composed(Box<Decoder>),
}

/// Keys and values of the sequences in flight, one per slot, and the buffers of a step.
#[derive(Debug)]
pub struct Session {
    slots: usize,
    capacity: usize,
    caches: Caches,
    /// `[wanted, vocab]` of the last step.
    logits: Vec<f32>,
}

#[derive(Debug)]
enum Caches {
    /// Slot `s` is slot `s / groups` of group `s % groups`.
    Cpu(Vec<Group>),
    /// Per layer and slot.
    Tensors(Vec<Vec<KeysValues>>),
}

/// Slots whose rows are computed together from the embedding to the logits.
#[derive(Debug, Default)]
struct Group {
    /// Per layer.
    layers: Vec<KvCache>,
    workspace: Workspace,
    /// The group's part of the step.
    batch: CachedBatch,
    wanted: Vec<usize>,
    /// Where the logits of `wanted` belong in the whole step's.
    places: Vec<usize>,
    logits: Vec<f32>,
}

/// From so many multiply-adds per token on, all slots are one group, on which all threads work as a team: the weights
/// are then read once for all rows. A smaller model has a group for every thread, and threads meet once per step: its
/// products are too short to be divided.
const WORK_FOR_TEAM: usize = 16 << 20;

/// Multiply-adds of a step for which another thread is worth its waking: a tenth of a millisecond's.
const WORK_PER_THREAD: usize = 1 << 22;

/// Fewer rows than this in a group would read all weights for too little work.
const ROWS_PER_GROUP: usize = 16;

impl Inference {
    /// Prepares `decoder` with all adapters that are loaded on it.
    pub fn new(decoder: &Decoder) -> Result<Self, ModelError> {
        if !decoder.device.is_cpu() {
            return Ok(Self::composed(decoder));
        }
        Ok(Self::with_engine(decoder, Engine::Cpu(Box::new(CpuModel::new(decoder)?))))
    }

    /// As [`Inference::new`], through candle's operations on every device: what other devices run, testable on the CPU.
    pub fn composed(decoder: &Decoder) -> Self {
        Self::with_engine(decoder, Engine::Composed(Box::new(decoder.clone())))
    }

    fn with_engine(decoder: &Decoder, engine: Engine) -> Self {
        Self {
            config: decoder.config.clone(),
            adapter_names: decoder.adapter_names.clone(),
            rotary: decoder.rotary.clone(),
            engine,
        }
    }

    /// What config.json says.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Longest sequence, prompt and continuation together.
    pub fn context(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// Index of an adapter for [`Inference::step`].
    pub fn adapter(&self, name: &str) -> Result<usize, ModelError> {
        adapter_index(&self.adapter_names, name)
    }

    /// Names of the adapters.
    pub fn adapter_names(&self) -> &[String] {
        &self.adapter_names
    }

    /// Bytes of keys and values per position of a slot.
    pub fn bytes_per_position(&self) -> usize {
        crate::footprint::cache_bytes_per_token(&self.config) as usize
    }

    /// Room for `slots` sequences of up to `capacity` tokens each.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn session(&self, slots: usize, capacity: usize) -> Result<Session, ModelError> {
        let c = &self.config;
        let bytes = slots.checked_mul(capacity).and_then(|positions| positions.checked_mul(self.bytes_per_position()));
        // Asked for and given back: what is allocated below ends the process where it cannot be had.
        let there = bytes.is_some_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
        if !there {
            return Err(ModelError::Memory { slots, capacity });
        }
        let caches = match &self.engine {
            Engine::Cpu(model) => {
                let team = model.work_per_token() >= WORK_FOR_TEAM;
                let most = if team { 1 } else { rayon::current_num_threads() };
                let groups = most.min(slots / ROWS_PER_GROUP).max(1);
                let cache = || KvCache::new(c.num_key_value_heads, c.head_dim, slots.div_ceil(groups), capacity);
                let group = |_| Group { layers: (0..c.num_layers()).map(|_| cache()).collect(), ..Group::default() };
                Caches::Cpu((0..groups).map(group).collect())
            }
            Engine::Composed(_) => Caches::Tensors(vec![vec![None; slots]; c.num_layers()]),
        };
        Ok(Session { slots, capacity, caches, logits: Vec::new() })
    }

    /// Appends the tokens of `batch` to their slots, and returns the logits of the tokens `wanted` (indices into the
    /// batch), `[wanted, vocab]`, which the caller may change.
    ///
    /// # Errors
    /// A token outside the vocabulary; a failing device.
    ///
    /// # Panics
    /// If a span leaves its slot's capacity or a slot appears twice.
    pub fn step<'s>(
        &self,
        batch: &CachedBatch,
        wanted: &[usize],
        adapter: Option<usize>,
        session: &'s mut Session,
    ) -> Result<&'s mut [f32], ModelError> {
        check_tokens(&batch.tokens, self.config.vocab_size)?;
        for span in &batch.spans {
            assert!(span.slot < session.slots && span.start + span.len <= session.capacity, "{span:?} does not fit");
        }
        let rope = self.rotary.table(&self.config, session.capacity)?;
        let logits = &mut session.logits;
        match (&self.engine, &mut session.caches) {
            (Engine::Cpu(model), Caches::Cpu(groups)) => {
                let (vocab, rope) = (self.config.vocab_size, rope.as_deref());
                logits.resize(wanted.len() * vocab, 0.0);
                if let [Group { layers, workspace, .. }] = groups.as_mut_slice() {
                    let threads = model.work_per_token() * batch.tokens.len() / WORK_PER_THREAD;
                    Team::gather(threads, |crew| {
                        model.step(CpuPass { crew, adapter, rope }, batch, wanted, layers, workspace, logits);
                    });
                } else {
                    distribute(batch, wanted, groups);
                    groups.par_iter_mut().with_max_len(1).filter(|g| !g.batch.tokens.is_empty()).for_each(|g| {
                        g.logits.resize(g.wanted.len() * vocab, 0.0);
                        let pass = CpuPass { crew: Crew::Pool, adapter, rope };
                        model.step(pass, &g.batch, &g.wanted, &mut g.layers, &mut g.workspace, &mut g.logits);
                    });
                    for group in groups {
                        for (&place, row) in group.places.iter().zip(group.logits.chunks_exact(vocab)) {
                            logits[place * vocab..(place + 1) * vocab].copy_from_slice(row);
                        }
                    }
                }
            }
            (Engine::Composed(decoder), Caches::Tensors(caches)) => {
                *logits = composed::step(decoder, batch, wanted, adapter, rope.as_deref(), caches)?;
            }
            _ => return Err(ModelError::Unsupported("the session belongs to another model".to_owned())),
        }
        Ok(logits)
    }
}

/// Splits a step among the groups that hold its slots.
fn distribute(batch: &CachedBatch, wanted: &[usize], groups: &mut [Group]) {
    let count = groups.len();
    for group in &mut *groups {
        group.batch.clear();
        group.wanted.clear();
        group.places.clear();
    }
    // Group and index within it of every token.
    let mut tokens = Vec::with_capacity(batch.tokens.len());
    for span in &batch.spans {
        let (group, first) = (span.slot % count, tokens.len());
        let to = &mut groups[group].batch;
        let local = to.tokens.len();
        to.push(span.slot / count, span.start, &batch.tokens[first..first + span.len]);
        tokens.extend((local..local + span.len).map(|index| (group, index)));
    }
    for (place, &token) in wanted.iter().enumerate() {
        let (group, index) = tokens[token];
        groups[group].wanted.push(index);
        groups[group].places.push(place);
    }
}

impl Session {
    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Positions per slot.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes the first `len` positions of slot `to` those of slot `from`: a shared prefix.
    pub fn copy_prefix(&mut self, from: usize, to: usize, len: usize) {
        if from == to {
            return;
        }
        match &mut self.caches {
            Caches::Cpu(groups) => {
                let count = groups.len();
                let (source, target) = (from % count, to % count);
                let (from, to) = (from / count, to / count);
                if source == target {
                    groups[target].layers.iter_mut().for_each(|cache| cache.copy_prefix(from, to, len));
                    return;
                }
                let [source, target] =
                    groups.get_disjoint_mut([source, target]).expect("two different groups of the session");
                for (target, source) in target.layers.iter_mut().zip(&source.layers) {
                    target.copy_prefix_from(source, from, to, len);
                }
            }
            // Tensors are shared; a row that continues reads as many positions as are its own.
            Caches::Tensors(layers) => layers.iter_mut().for_each(|slots| slots[to] = slots[from].clone()),
        }
    }
}
