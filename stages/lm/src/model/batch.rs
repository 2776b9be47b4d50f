//! The packed layout of a batch: sequences of any length, end to end, without padding.

/// Sequences laid end to end. Row `i` holds `tokens[cu_seqlens[i]..cu_seqlens[i + 1]]`; positions restart at 0 in
/// each, and a token attends within its own row only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBatch {
    /// Token ids of all rows, `[tokens]`.
    pub tokens: Vec<u32>,
    /// Where each row begins, and the end of the last one: `[rows + 1]`, the first entry 0.
    pub cu_seqlens: Vec<u32>,
}

impl PackedBatch {
    /// Packs rows in the given order. Empty rows are allowed and hold no token.
    pub fn new<R: AsRef<[u32]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let mut batch = Self { tokens: Vec::new(), cu_seqlens: vec![0] };
        for row in rows {
            batch.push(row.as_ref());
        }
        batch
    }

    /// Appends one row.
    pub fn push(&mut self, row: &[u32]) {
        if self.cu_seqlens.is_empty() {
            self.cu_seqlens.push(0);
        }
        self.tokens.extend_from_slice(row);
        self.cu_seqlens.push(self.tokens.len() as u32);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.cu_seqlens.len().saturating_sub(1)
    }

    /// Token range of row `i`.
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        self.cu_seqlens[i] as usize..self.cu_seqlens[i + 1] as usize
    }

    /// Position of each token within its row, `[tokens]`.
    pub fn positions(&self) -> Vec<u32> {
        (0..self.rows()).flat_map(|i| 0..self.range(i).len() as u32).collect()
    }
}

/// Tokens that continue sequences held in a [`KvCache`](super::KvCache): row `i` appends its tokens to slot
/// `spans[i].slot`, whose first `spans[i].start` positions are already there.
#[derive(Debug, Clone, Default)]
pub struct CachedBatch {
    /// New token ids of all rows, end to end.
    pub tokens: Vec<u32>,
    /// One span per row, in the order of `tokens`.
    pub spans: Vec<Span>,
}

/// Where the new tokens of one row go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Slot of the cache.
    pub slot: usize,
    /// Number of positions the slot already holds; the first new token has this position.
    pub start: usize,
    /// Number of new tokens.
    pub len: usize,
}

impl CachedBatch {
    /// Appends the tokens of one row.
    pub fn push(&mut self, slot: usize, start: usize, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.spans.push(Span { slot, start, len: tokens.len() });
    }

    /// Empties the batch, keeping its buffers.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.spans.clear();
    }
}
