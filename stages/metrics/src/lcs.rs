//! Length of the longest common subsequence, bit-parallel.
//!
//! Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004: 64 positions of one sequence per machine word,
//! so a pair of n and m tokens costs about n·⌈m/64⌉ word operations instead of n·m cells.

/// Length of the longest common subsequence of two sequences of token ids.
pub(crate) fn lcs_len(a: &[u32], b: &[u32]) -> usize {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() <= 64 { one_word(short, long) } else { many_words(short, long) }
}

/// Positions in `pattern` that hold `token`, as bits.
fn matches(pattern: &[u32], token: u32) -> u64 {
    pattern.iter().enumerate().fold(0, |bits, (i, &t)| bits | (u64::from(t == token) << i))
}

fn one_word(pattern: &[u32], text: &[u32]) -> usize {
    let mut row = u64::MAX;
    for &token in text {
        let hit = row & matches(pattern, token);
        row = row.wrapping_add(hit) | (row - hit);
    }
    let used = if pattern.len() == 64 { u64::MAX } else { (1 << pattern.len()) - 1 };
    (!row & used).count_ones() as usize
}

fn many_words(pattern: &[u32], text: &[u32]) -> usize {
    let blocks: Vec<&[u32]> = pattern.chunks(64).collect();
    let mut rows = vec![u64::MAX; blocks.len()];
    for &token in text {
        let mut carry = false;
        for (row, block) in rows.iter_mut().zip(&blocks) {
            let hit = *row & matches(block, token);
            let (sum, overflow) = row.overflowing_add(hit);
            let (sum, overflow_2) = sum.overflowing_add(u64::from(carry));
            carry = overflow || overflow_2;
            *row = sum | (*row - hit);
        }
    }
    let zeros = |row: u64, len: usize| (!row & if len == 64 { u64::MAX } else { (1 << len) - 1 }).count_ones() as usize;
    rows.iter().zip(&blocks).map(|(&row, block)| zeros(row, block.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_table(a: &[u32], b: &[u32]) -> usize {
        let mut row = vec![0; b.len() + 1];
        for x in a {
            let mut diagonal = 0;
            for (j, y) in b.iter().enumerate() {
                let above = row[j + 1];
                row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
                diagonal = above;
            }
        }
        row[b.len()]
    }

    #[test]
    fn agrees_with_the_table_at_every_word_boundary() {
        let mut state = 1_u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for (n, m) in [(0, 5), (1, 1), (7, 9), (63, 70), (64, 64), (65, 64), (65, 200), (128, 129), (300, 311)] {
            for alphabet in [2, 5, 50] {
                let a: Vec<u32> = (0..n).map(|_| next(alphabet)).collect();
                let b: Vec<u32> = (0..m).map(|_| next(alphabet)).collect();
                assert_eq!(lcs_len(&a, &b), by_table(&a, &b), "{n} x {m}, alphabet {alphabet}");
            }
        }
    }
}
