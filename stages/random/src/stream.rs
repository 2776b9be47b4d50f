//! The bytes that a digest is stretched to.

use crate::{Random, below};

/// A reproducible stream of random numbers. Whoever makes one hashes its name into `blake3::Hasher`, under a domain of
/// its own.
#[derive(Debug, Clone)]
pub struct Stream {
    bytes: blake3::OutputReader,
    /// The next bytes; BLAKE3 makes many at a time much faster than a few.
    ahead: [u8; Self::AHEAD],
    /// How many of these are used up.
    used: usize,
}

impl Stream {
    const AHEAD: usize = 512;

    /// So many numbers are made of what was read at once.
    const AT_ONCE: usize = 256;

    /// The stream of what was hashed.
    pub fn new(name: &blake3::Hasher) -> Self {
        Self { bytes: name.finalize_xof(), ahead: [0; Self::AHEAD], used: Self::AHEAD }
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        let left = &self.ahead[self.used..];
        let taken = left.len().min(out.len());
        let (first, rest) = out.split_at_mut(taken);
        first.copy_from_slice(&left[..taken]);
        self.used += taken;
        self.bytes.fill(rest);
    }

    /// Fills `out` with numbers below `n`: those that [`Random::below`] draws one after the other, in a third of the
    /// time.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn fill_below(&mut self, n: usize, out: &mut [usize]) {
        let mut bytes = [0; 8 * Self::AT_ONCE];
        let mut filled = 0;
        while filled < out.len() {
            let bytes = &mut bytes[..8 * Self::AT_ONCE.min(out.len() - filled)];
            self.fill(bytes);
            for bits in bytes.as_chunks().0 {
                if let Some(number) = below(u64::from_le_bytes(*bits), n) {
                    out[filled] = number;
                    filled += 1;
                }
            }
        }
    }
}

impl Random for Stream {
    fn next_u64(&mut self) -> u64 {
        if self.used == Self::AHEAD {
            self.bytes.fill(&mut self.ahead);
            self.used = 0;
        }
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_digest_however_they_are_asked_for() {
        let name = {
            let mut name = blake3::Hasher::new();
            name.update(b"a name");
            name
        };
        let mut expected = vec![0; 4000];
        name.finalize_xof().fill(&mut expected);
        let (mut stream, mut found) = (Stream::new(&name), Vec::new());
        while found.len() < 3000 {
            found.extend_from_slice(&stream.next_u64().to_le_bytes());
            let mut some = vec![0; found.len() % 700];
            stream.fill(&mut some);
            found.append(&mut some);
        }
        assert_eq!(found, expected[..found.len()]);
    }

    /// Of the last of these `n`, nearly half of all bits are rejected.
    #[test]
    fn numbers_that_are_drawn_at_once_are_those_that_are_drawn_one_by_one() {
        let mut name = blake3::Hasher::new();
        name.update(b"another name");
        for n in [1, 7, 1_000_003, (1 << 63) + 1] {
            let (mut stream, mut other) = (Stream::new(&name), Stream::new(&name));
            for count in [0, 1, 3, 256, 257, 2000] {
                let mut numbers = vec![usize::MAX; count];
                stream.fill_below(n, &mut numbers);
                assert!(numbers.iter().all(|number| *number == other.below(n)), "{count} below {n}");
            }
        }
    }
}
