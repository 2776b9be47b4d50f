//! Sets of occurrences as bits: those in which two sets differ are each at least one occurrence that one set has alone
//! (the bitmap filter of Sandes et al. 2017).

/// The bit of an occurrence among 2^32; the lowest are its bit in a narrower mask.
fn bit(occurrence: u32) -> u32 {
    // Spread by a multiplication: neighbours, which were new together, get different bits.
    (u64::from(occurrence).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// A mask of 64 bits.
pub(super) fn narrow(occurrences: &[u32]) -> u64 {
    occurrences.iter().fold(0, |mask, &o| mask ^ (1 << (bit(o) % 64)))
}

/// Words of the mask of a text of `n` tokens: eight bits or more for each, so that few coincide.
pub(super) fn words(n: usize) -> usize {
    n.div_ceil(8).next_power_of_two()
}

/// Appends the mask of a text.
pub(super) fn wide(occurrences: &[u32], to: &mut Vec<u64>) {
    let (begins, words) = (to.len(), words(occurrences.len()));
    to.resize(begins + words, 0);
    for &o in occurrences {
        let bit = bit(o) as usize % (64 * words);
        to[begins + bit / 64] ^= 1 << (bit % 64);
    }
}

/// Whether two masks differ in at most so many bits; the wider one is folded to the other's width.
pub(super) fn differ_at_most(a: &[u64], b: &[u64], most: usize) -> bool {
    let (narrow, wide) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut differ = 0;
    for (at, word) in narrow.iter().enumerate() {
        let folded = wide.iter().skip(at).step_by(narrow.len()).fold(0, |all, word| all ^ word);
        differ += (word ^ folded).count_ones() as usize;
        if differ > most {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_any_widths_differ_no_more_than_their_sets() {
        for (n, m) in [(0_u32, 3), (5, 9), (8, 200), (70, 90), (300, 40)] {
            for shared in [0, 2, n.min(m)] {
                let a: Vec<u32> = (0..n).collect();
                let b: Vec<u32> = (n - shared.min(n)..).take(m as usize).collect();
                let (mut wide_a, mut wide_b) = (Vec::new(), vec![7]);
                wide(&a, &mut wide_a);
                wide(&b, &mut wide_b);
                let apart = (n + m - 2 * shared.min(n)) as usize;
                assert!(differ_at_most(&wide_a, &wide_b[1..], apart), "{n} {m} {shared}");
                assert!((narrow(&a) ^ narrow(&b)).count_ones() as usize <= apart);
                assert_eq!(words(a.len()), wide_a.len());
            }
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        wide(&[1, 2, 3, 4], &mut a);
        wide(&[5, 6, 7, 8], &mut b);
        assert!(!differ_at_most(&a, &b, 3));
    }
}
