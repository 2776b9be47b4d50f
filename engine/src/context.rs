//! What a running stage sees: its inputs, its outputs, progress, cancellation, and the row memo.

/// The world of one running stage.
pub struct StageContext {}
