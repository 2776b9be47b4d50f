//! Slots keep heavy stages from fighting over the machine.

use crate::pipeline::Resources;

/// What is free of each pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slots {
    size: [u64; 3],
    free: [u64; 3],
}

/// What one running stage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held([u64; 3]);

impl Held {
    /// CPU slots held.
    pub(super) fn cpu(self) -> usize {
        self.0[0] as usize
    }

    /// Bytes of memory held; `None` where nothing is counted.
    pub(super) fn memory(self) -> Option<u64> {
        Some(self.0[2]).filter(|bytes| *bytes > 0)
    }
}

impl Slots {
    /// Pools of that size. A GPU or memory pool of size 0 is not counted at all.
    pub(super) fn new(jobs: u32, gpus: u32, memory: u64) -> Self {
        let size = [u64::from(jobs.max(1)), u64::from(gpus), memory];
        Self { size, free: size }
    }

    /// Takes what a stage wants, if it is free. A wish larger than a pool takes the whole pool, so that the stage runs
    /// alone rather than never.
    pub(super) fn take(&mut self, wish: &Resources) -> Option<Held> {
        let wish = [u64::from(wish.cpu), u64::from(wish.gpu), wish.memory];
        let held: [u64; 3] = std::array::from_fn(|i| wish[i].min(self.size[i]));
        if (0..3).any(|i| held[i] > self.free[i]) {
            return None;
        }
        (0..3).for_each(|i| self.free[i] -= held[i]);
        Some(Held(held))
    }

    /// GPUs that nobody holds; `None` where they are not counted.
    pub(super) fn free_gpus(&self) -> Option<u64> {
        (self.size[1] > 0).then_some(self.free[1])
    }

    /// Gives back.
    pub(super) fn give(&mut self, held: Held) {
        (0..3).for_each(|i| self.free[i] += held.0[i]);
        debug_assert!((0..3).all(|i| self.free[i] <= self.size[i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(cpu: u32, gpu: u32, memory: u64) -> Resources {
        Resources { cpu, gpu, memory, time: None, class: None }
    }

    #[test]
    fn a_stage_waits_until_all_it_wants_is_free() {
        let mut slots = Slots::new(4, 1, 100);
        let a = slots.take(&wish(1, 1, 60)).unwrap();
        assert_eq!(slots.take(&wish(1, 1, 0)), None, "one GPU");
        assert_eq!(slots.take(&wish(1, 0, 60)), None, "memory");
        let b = slots.take(&wish(3, 0, 40)).unwrap();
        assert_eq!(slots.take(&wish(1, 0, 0)), None, "CPU");
        slots.give(a);
        slots.give(b);
        assert_eq!(slots, Slots::new(4, 1, 100));
    }

    #[test]
    fn a_wish_larger_than_the_pool_takes_all_of_it() {
        let mut slots = Slots::new(2, 0, 0);
        let all = slots.take(&wish(16, 4, 1 << 40)).unwrap();
        assert_eq!(all.cpu(), 2);
        assert_eq!(slots.take(&wish(1, 0, 0)), None);
    }
}
