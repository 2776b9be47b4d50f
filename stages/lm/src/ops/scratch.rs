//! Memory of the ops: buffers reused from call to call, and results that are not cleared before they are written.

use std::cell::RefCell;

thread_local! {
    /// Buffers not in use on this thread. A stack, because a thread that waits for its tasks may run others' tasks.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` floats of unspecified content.
pub fn with<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let fitting = FREE.with_borrow_mut(|free| {
        // The smallest that is large enough; else the largest, to be replaced.
        let best = (0..free.len()).min_by_key(|&i| match free[i].len() {
            size if size >= len => (0, size),
            size => (1, usize::MAX - size),
        });
        best.map(|i| free.swap_remove(i))
    });
    let mut buffer = fitting.unwrap_or_default();
    if buffer.len() < len {
        buffer = vec![0.0; len];
    }
    let result = body(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// A vector of `len` floats that `fill` writes, all of them, before anything reads one. Clearing results first would be
/// a pass over memory more for every op, about a twelfth of a training step.
#[expect(clippy::uninit_vec, reason = "every caller overwrites all elements")]
pub fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut data = Vec::with_capacity(len);
    // SAFETY: the capacity is `len`, every bit pattern is an f32, and `fill` writes each element before it is read.
    unsafe {
        data.set_len(len);
    }
    fill(&mut data);
    data
}
