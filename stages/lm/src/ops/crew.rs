//! Who does the parts of a piece of work: the calling thread, the threads of the pool, or a team.
//!
//! A step of generation is some hundred short pieces of work one after the other. Between two of them the threads of a
//! pool fall asleep, and waking them takes as long as the work. A [`Team`] stays awake from the first piece to the
//! last.

// By path, so that the model checker in `loom/` finds it, too.
#[path = "crew_sync.rs"]
mod sync;

use std::ptr;

use rayon::prelude::*;

use sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, Shared, pause};

/// Who does the parts of a piece of work. Which thread does a part is chance; what a part writes must not depend on it.
#[derive(Clone, Copy)]
pub enum Crew<'a> {
    /// The calling thread.
    Alone,
    /// The current rayon pool.
    Pool,
    /// The threads that a [`Team`] has gathered.
    Team(&'a Team),
}

impl Crew<'_> {
    /// Threads among which work can be divided.
    pub fn threads(self) -> usize {
        match self {
            Self::Alone => 1,
            Self::Pool => rayon::current_num_threads(),
            Self::Team(team) => team.threads,
        }
    }

    /// Elements of an elementwise pass that are worth a part of their own.
    pub fn grain(self) -> usize {
        match self {
            Self::Alone => usize::MAX,
            Self::Pool => 1 << 14,
            Self::Team(_) => 1 << 11,
        }
    }

    /// Elements of an elementwise pass over `len` that make one part: a team's threads take a few each.
    pub fn part(self, len: usize) -> usize {
        let few = if let Self::Team(team) = self { len.div_ceil(4 * team.threads) } else { 0 };
        self.grain().max(few).min(len)
    }

    /// Does `task(0)` to `task(count - 1)`, each once, in any order and at the same time.
    pub fn each(self, count: usize, task: impl Fn(usize) + Sync) {
        match self {
            Self::Pool if count > 1 => (0..count).into_par_iter().with_max_len(1).for_each(&task),
            Self::Team(team) if count > 1 => team.each(count, &task),
            _ => (0..count).for_each(task),
        }
    }

    /// Does `task(i, part)` for every part of `size` elements of `data`, the last one perhaps shorter.
    pub fn parts<T: Send>(self, data: &mut [T], size: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        self.pairs(data, size, &mut [(); 0], 0, |index, part, _| task(index, part));
    }

    /// As [`Crew::parts`] over two slices at once; of the second, parts have `other_size` elements.
    pub fn pairs<T: Send, U: Send>(
        self,
        data: &mut [T],
        size: usize,
        other: &mut [U],
        other_size: usize,
        task: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        if data.is_empty() {
            return;
        }
        let (first, second) = (Parts::of(data, size), Parts::of(other, other_size));
        // SAFETY: every index comes once, and differing indices give disjoint parts.
        self.each(data.len().div_ceil(size), |index| unsafe { task(index, first.get(index), second.get(index)) });
    }
}

/// A slice whose parts different threads change.
struct Parts<T> {
    start: *mut T,
    len: usize,
    size: usize,
}
// SAFETY: parts are handed out one by one, to any thread, as a slice would be by `chunks_mut`.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    fn of(data: &mut [T], size: usize) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len(), size }
    }

    /// # Safety
    /// The slice must be borrowed as long as the part is, and no index may be in use twice.
    #[expect(clippy::mut_from_ref, reason = "parts of different indices are disjoint")]
    unsafe fn get(&self, index: usize) -> &mut [T] {
        let start = (index * self.size).min(self.len);
        let len = self.size.min(self.len - start);
        // SAFETY: the range lies within the slice; that nobody else has it is the caller's word.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

/// Threads that stay together for many pieces of work: a leader, who calls, and helpers from the rayon pool, who take
/// parts of what the leader is at.
///
/// The leader waits for parts that a helper has begun, never for a helper to come: where the pool is busy with other
/// things it does the work alone. So teams cannot block each other, provided that what a team does never waits for the
/// pool (whose threads take up other work while they wait, another team's perhaps).
pub struct Team {
    threads: usize,
    /// Number of the piece of work (32 bits), its parts (16 bits), and the next part that nobody has taken (16 bits).
    state: AtomicU64,
    /// Parts of this piece that are not finished.
    left: AtomicUsize,
    /// The work itself, read by those who hold a part of it, and replaced when no part is left.
    work: Shared<Work>,
    leading: AtomicBool,
    over: AtomicBool,
}

#[derive(Clone, Copy)]
struct Work {
    task: *const (),
    call: unsafe fn(*const (), usize),
}

// SAFETY: `work` is written by the one thread that holds `leading`, while no part is taken, and read by holders of a
// part.
unsafe impl Sync for Team {}

/// Most parts of a piece of work, as `state` counts them.
const MOST_PARTS: usize = 1 << 15;
/// Looks at `state` before a waiting thread offers its core to others: some forty microseconds.
const LOOKS: u32 = 2000;

impl Team {
    /// Runs `body` with a crew of up to `threads` threads of the current pool. Neither `body` nor the parts of its work
    /// may wait for the pool.
    pub fn gather<R: Send>(threads: usize, body: impl FnOnce(Crew<'_>) -> R + Send) -> R {
        let threads = threads.min(rayon::current_num_threads());
        if threads <= 1 {
            return body(Crew::Alone);
        }
        let team = Self::of(threads);
        rayon::scope(|scope| {
            // Dropped as the body ends, by a panic too, or the helpers would wait for ever.
            let _over = Defer(|| team.over.store(true, Ordering::Release));
            for _ in 1..threads {
                scope.spawn(|_| team.help());
            }
            body(Crew::Team(&team))
        })
    }

    fn of(threads: usize) -> Self {
        unsafe fn nothing(_: *const (), _: usize) {}
        Self {
            threads,
            state: AtomicU64::new(0),
            left: AtomicUsize::new(0),
            work: Shared::new(Work { task: ptr::null(), call: nothing }),
            leading: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    fn each(&self, count: usize, task: &(impl Fn(usize) + Sync)) {
        for first in (0..count).step_by(MOST_PARTS) {
            self.share(MOST_PARTS.min(count - first), &|part| task(first + part));
        }
    }

    /// Does a piece of work of up to [`MOST_PARTS`] parts.
    fn share<F: Fn(usize) + Sync>(&self, count: usize, task: &F) {
        unsafe fn call<F: Fn(usize)>(task: *const (), index: usize) {
            // SAFETY: the pointer is that of the `task` whose type chose this function, and still borrowed (below).
            unsafe { (*task.cast::<F>())(index) }
        }
        assert!(!self.leading.swap(true, Ordering::Acquire), "a part of a team's work gave the team work");
        // SAFETY: this thread leads, and no part of the work before is left.
        unsafe { self.work.write(Work { task: ptr::from_ref(task).cast(), call: call::<F> }) };
        self.left.store(count, Ordering::Relaxed);
        let number = (self.state.load(Ordering::Relaxed) >> 32) + 1;
        self.state.store(number << 32 | (count as u64) << 16, Ordering::Release);
        // Also if a part panics: helpers may still be at others, with what this thread's stack holds.
        let _finish = Defer(|| {
            while self.claim().is_some() {
                self.left.fetch_sub(1, Ordering::Release);
            }
            let mut pause = Pause::default();
            while self.left.load(Ordering::Acquire) > 0 {
                pause.wait();
            }
            self.leading.store(false, Ordering::Release);
        });
        while let Some(part) = self.claim() {
            self.work(part);
        }
    }

    /// Takes a part, if there is one that nobody has taken.
    fn claim(&self) -> Option<usize> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (count, next) = (state >> 16 & 0xffff, state & 0xffff);
            if next >= count {
                return None;
            }
            match self.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(next as usize),
                Err(now) => state = now,
            }
        }
    }

    /// Does a part that [`Team::claim`] gave.
    fn work(&self, part: usize) {
        let _done = Defer(|| {
            self.left.fetch_sub(1, Ordering::Release);
        });
        // SAFETY: this part is not finished, so the leader has neither replaced the work nor left `share`.
        unsafe {
            let Work { task, call } = self.work.read();
            call(task, part);
        }
    }

    fn help(&self) {
        let mut pause = Pause::default();
        while !self.over.load(Ordering::Acquire) {
            if self.look() { pause = Pause::default() } else { pause.wait() }
        }
    }

    /// Does a part if there is one that nobody has taken.
    fn look(&self) -> bool {
        let part = self.claim();
        if let Some(part) = part {
            self.work(part);
        }
        part.is_some()
    }
}

/// Waiting for what comes in microseconds, or else for long.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn wait(&mut self) {
        self.0 = self.0.saturating_add(1);
        pause(self.0 < LOOKS);
    }
}

/// Does something as it is dropped.
struct Defer<F: Fn()>(F);

impl<F: Fn()> Drop for Defer<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(all(test, not(loom)))]
#[path = "crew_tests.rs"]
mod tests;

#[cfg(all(test, loom))]
#[path = "crew_loom.rs"]
mod loom_tests;
