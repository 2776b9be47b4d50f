//! Buffers that ops reuse from call to call, so that packing and tiles cost neither allocation nor page faults.

use std::cell::RefCell;

thread_local! {
    /// Buffers not in use on this thread. A stack, because a thread that waits for its tasks may run others' tasks.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` floats of unspecified content.
pub fn with<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let fitting = FREE.with_borrow_mut(|free| {
        // The smallest that is large enough; else the largest, to be grown.
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
