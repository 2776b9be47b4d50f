//! The bytes that a digest is stretched to.

use crate::Random;

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
}
