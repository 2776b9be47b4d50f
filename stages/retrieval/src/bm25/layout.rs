//! What an index is, word by word (32 bits each): a head, where each term's postings and spelling begin, all spellings,
//! all postings. Terms are sorted by their bytes and found by bisection; a posting is a document and its score's bits,
//! those of a term in corpus order.

use std::{io, ops::Range};

/// The first word: `PBM1`.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"PBM1");
/// Words of the head: the magic number, documents, terms, words of all spellings, postings (low and high half), and two
/// that are 0.
pub(super) const HEAD: usize = 8;

/// Where the parts of an index are, in words.
pub(super) struct Layout {
    pub documents: usize,
    pub terms: usize,
    /// Beginnings of postings, two words each (low, high), one more than there are terms.
    starts: usize,
    /// Beginnings of spellings in bytes, one word each, one more than there are terms.
    spellings: usize,
    /// The spellings themselves, four bytes a word.
    bytes: usize,
    postings: usize,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is no index of this program: {what}"))
}

impl Layout {
    /// From the head, checked against the length.
    pub(crate) fn read(words: &[u32]) -> io::Result<Self> {
        let Some((&[magic, documents, terms, spelt, low, high, ..], _)) = words.split_first_chunk::<HEAD>() else {
            return Err(damaged("it is too short"));
        };
        if magic != MAGIC {
            return Err(damaged("it begins otherwise"));
        }
        let (documents, terms, spelt) = (documents as usize, terms as usize, spelt as usize);
        let starts = HEAD;
        let spellings = starts + 2 * (terms + 1);
        let bytes = spellings + terms + 1;
        let postings = bytes + spelt;
        let count = u64::from(low) | u64::from(high) << 32;
        if words.len() as u64 != postings as u64 + 2 * count {
            return Err(damaged("it is not as long as its head says"));
        }
        Ok(Self { documents, terms, starts, spellings, bytes, postings })
    }

    fn start(&self, words: &[u32], term: usize) -> usize {
        let at = self.starts + 2 * term;
        (u64::from(words[at]) | u64::from(words[at + 1]) << 32) as usize
    }

    /// The postings of a term as the analyzer makes it: document and score in turns.
    pub(crate) fn find<'a>(&self, words: &'a [u32], term: &str) -> Option<&'a [u32]> {
        let (mut low, mut high) = (0, self.terms);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.compare(words, middle, term.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let range: Range<usize> = self.start(words, middle)..self.start(words, middle + 1);
                    return words.get(self.postings + 2 * range.start..self.postings + 2 * range.end);
                }
            }
        }
        None
    }

    /// How the spelling of a term compares with another.
    fn compare(&self, words: &[u32], term: usize, with: &[u8]) -> std::cmp::Ordering {
        let range = words[self.spellings + term] as usize..words[self.spellings + term + 1] as usize;
        let byte = |at: usize| words.get(self.bytes + at / 4).map_or(0, |word| word.to_le_bytes()[at % 4]);
        range.map(byte).cmp(with.iter().copied())
    }
}
