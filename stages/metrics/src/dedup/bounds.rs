//! What two texts must have in common for F to exceed the threshold: F = 2·LCS/(n+m), and the LCS is at most what they
//! share at all. All bounds are a little less than exact, so that rounding misses none.

/// The bounds of one threshold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) threshold: f64,
}

impl Bounds {
    /// The overlap that two texts of `together` tokens need: more than t(n+m)/2.
    fn enough(self, together: usize) -> usize {
        (self.threshold * together as f64 / 2.0 - 1e-9) as usize + 1 // rounds towards 0, and what is below that is 0
    }

    /// How many occurrences two near-duplicates of `together` tokens may have alone.
    pub(super) fn apart(self, together: usize) -> usize {
        together.saturating_sub(2 * self.enough(together))
    }

    /// The most tokens of a near-duplicate of a text of `n` tokens, where those that come before the first shared one
    /// are `before` in the text of `n`: what is left must be enough. `None` if that is too short to be one.
    pub(super) fn longest(self, n: usize, before: usize) -> Option<usize> {
        let left = n.checked_sub(before)?;
        let most = 2.0 * left as f64 / self.threshold - n as f64 + 1.0; // without a bound at the threshold 0
        let mut most = (most as usize).min(u32::MAX as usize);
        while most > 0 && self.enough(n + most) > left {
            most -= 1;
        }
        // The LCS is at most the partner's m tokens: 2m/(n+m) > t.
        let shortest = self.threshold * n as f64 / (2.0 - self.threshold);
        (most > 0 && most as f64 + 1e-9 >= shortest).then_some(most)
    }
}
