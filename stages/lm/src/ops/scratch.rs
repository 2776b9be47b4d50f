//! Memory of the ops: buffers reused from call to call, and results that are not cleared before they are written.

use std::cell::RefCell;

thread_local! {
    /// Buffers not in use on this thread. A stack, because a thread that waits for its tasks may run others' tasks.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` floats of unspecified content.
pub(crate) fn with<R>(len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
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
pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut data = ARENA.with_borrow_mut(|arena| match arena {
        Some(arena) if len >= SMALLEST => arena.take(len),
        _ => Vec::with_capacity(len),
    });
    // SAFETY: the capacity is at least `len`, every bit pattern is an f32, and `fill` writes each element before it is
    // read.
    unsafe {
        data.set_len(len);
    }
    fill(&mut data);
    data
}

/// Gives back a buffer that nobody reads any more, to the arena in use if there is one.
pub(crate) fn recycle(buffer: Vec<f32>) {
    ARENA.with_borrow_mut(|arena| {
        if let Some(arena) = arena.as_mut().filter(|_| buffer.capacity() >= SMALLEST) {
            arena.put(buffer);
        }
    });
}

thread_local! {
    /// Where this thread's results get their memory, while an arena is entered.
    static ARENA: RefCell<Option<Arena>> = const { RefCell::new(None) };
}

/// Smaller buffers (in floats) are left to the allocator, which is good at those.
const SMALLEST: usize = 4096;

/// Memory of results that are no longer needed, for the results to come. A training step makes hundreds of megabytes of
/// activations and gradients and drops them again; through the allocator the operating system takes that memory back
/// and clears it anew, which costs a tenth of the step.
///
/// What it holds beyond the buffers in use is bounded by a quarter of the most that was in use at once.
#[derive(Debug, Default)]
pub struct Arena {
    /// Buffers not in use, the one given back last at the end: it may still be in cache.
    free: Vec<Vec<f32>>,
    /// Floats in `free`.
    held: usize,
    /// Floats taken and not given back since the arena was entered.
    live: usize,
    /// The largest `live` of this pass and the one before.
    peak: [usize; 2],
}

impl Arena {
    /// Runs `body` with the results of this thread's ops in the arena.
    pub fn enter<R>(&mut self, body: impl FnOnce() -> R) -> R {
        /// Puts everything back, even if `body` panics.
        struct Entered<'a>(&'a mut Arena, Option<Arena>);
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                let outer = self.1.take();
                *self.0 = ARENA.replace(outer).unwrap_or_default();
            }
        }
        let mut arena = std::mem::take(self);
        (arena.live, arena.peak) = (0, [0, arena.peak[0]]);
        let outer = ARENA.replace(Some(arena));
        let _entered = Entered(self, outer);
        body()
    }

    /// An empty vector with room for `len` floats.
    fn take(&mut self, len: usize) -> Vec<f32> {
        // The smallest that fits without wasting half of it; of equals the one used last.
        let fits = |&i: &usize| (len..=2 * len).contains(&self.free[i].capacity());
        let best = (0..self.free.len()).rev().filter(fits).min_by_key(|&i| self.free[i].capacity());
        let mut buffer = if let Some(i) = best {
            let buffer = self.free.remove(i);
            self.held -= buffer.capacity();
            buffer
        } else {
            // Steps of an eighth of an octave, so that batches of nearly equal size can use each other's.
            let size = len.next_multiple_of((len.next_power_of_two() / 16).max(1));
            let most = self.peak[0].max(self.peak[1]).max(self.live + size);
            while self.held > 0 && self.live + self.held + size > most + most / 4 {
                self.held -= self.free.remove(0).capacity();
            }
            Vec::with_capacity(size)
        };
        self.live += buffer.capacity();
        self.peak[0] = self.peak[0].max(self.live);
        buffer.clear();
        buffer
    }

    fn put(&mut self, buffer: Vec<f32>) {
        self.live = self.live.saturating_sub(buffer.capacity());
        self.held += buffer.capacity();
        self.free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_given_back_are_used_again() {
        let mut arena = Arena::default();
        let (a, b) = arena.enter(|| {
            let first = filled(10_000, |x| x.fill(1.0));
            let a = first.as_ptr();
            recycle(first);
            (a, filled(9_000, |x| x.fill(2.0)))
        });
        assert_eq!((a, b.len()), (b.as_ptr(), 9_000));
        assert!(b.iter().all(|x| *x == 2.0));
    }

    #[test]
    fn what_is_held_is_bounded_by_what_was_in_use() {
        let mut arena = Arena::default();
        for pass in 0..50 {
            arena.enter(|| {
                // Sizes so far apart that none can serve for another, in a new mixture every pass.
                for i in 0..8 {
                    let len = SMALLEST * 3_usize.pow((pass + i) % 6);
                    recycle(filled(len, |x| x.fill(0.0)));
                }
            });
            let most = arena.peak[0].max(arena.peak[1]);
            assert!(arena.held <= most + most / 4, "{} held with at most {most} in use", arena.held);
        }
    }

    #[test]
    fn without_an_arena_nothing_is_kept() {
        recycle(filled(10_000, |x| x.fill(1.0)));
        assert!(ARENA.with_borrow(Option::is_none));
    }
}
