//! The postings of a portion of the corpus, packed: what is held of a corpus while the rest of it is read.

use std::ops::Range;

/// Postings of successive documents, by term: numbers in groups of seven bits.
pub(super) struct Run {
    /// First document.
    pub first: u32,
    lists: Vec<List>,
    bytes: Vec<u8>,
}

/// Where the postings of a term are.
struct List {
    term: u32,
    begin: u32,
    end: u32,
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> u32 {
    let (mut number, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    number
}

impl Run {
    /// An empty run of documents from `first` on.
    pub(crate) fn new(first: u32) -> Self {
        Self { first, lists: Vec::new(), bytes: Vec::new() }
    }

    /// Packs the postings of a term: the documents of its occurrences, ascending, counted from `first`.
    pub(crate) fn push(&mut self, term: u32, occurrences: &[u32]) {
        let begin = self.bytes.len() as u32;
        let mut last = 0;
        for same in occurrences.chunk_by(|a, b| a == b) {
            // Most terms stand once in a text: the lowest bit tells, and only others need a second number.
            put(&mut self.bytes, (same[0] - last) << 1 | u32::from(same.len() > 1));
            if same.len() > 1 {
                put(&mut self.bytes, same.len() as u32);
            }
            last = same[0];
        }
        self.lists.push(List { term, begin, end: self.bytes.len() as u32 });
    }

    /// Gives back memory that no more postings will need.
    pub(crate) fn close(mut self) -> Self {
        self.lists.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self
    }

    /// The terms, and their number of documents, in no order.
    pub(crate) fn frequencies(&self) -> impl Iterator<Item = (u32, u32)> {
        self.lists.iter().map(|list| (list.term, unpack(self.packed(list)).count() as u32))
    }

    /// Renumbers the terms, and sorts them.
    pub(crate) fn renumber(&mut self, numbers: &[u32]) {
        for list in &mut self.lists {
            list.term = numbers[list.term as usize];
        }
        self.lists.sort_unstable_by_key(|list| list.term);
    }

    /// The packed postings of some terms, once they are sorted.
    pub(crate) fn of(&self, terms: &Range<usize>) -> impl Iterator<Item = (usize, &[u8])> {
        let begin = self.lists.partition_point(|list| (list.term as usize) < terms.start);
        let lists = self.lists[begin..].iter();
        let end = terms.end;
        lists.take_while(move |list| (list.term as usize) < end).map(|list| (list.term as usize, self.packed(list)))
    }

    fn packed(&self, list: &List) -> &[u8] {
        &self.bytes[list.begin as usize..list.end as usize]
    }
}

/// The `(document, frequency)` pairs in some bytes of a run, documents counted from its first.
pub(super) fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut document = 0;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let head = take(&mut bytes);
        document += head >> 1;
        Some((document, if head & 1 == 1 { take(&mut bytes) } else { 1 }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let mut run = Run::new(5);
        run.push(7, &[0, 1, 1, 1, 200_000]);
        run.push(2, &[1 << 30]);
        let mut run = run.close();
        assert_eq!(run.frequencies().collect::<Vec<_>>(), [(7, 3), (2, 1)]);
        run.renumber(&[0, 0, 1, 0, 0, 0, 0, 0]);
        let back: Vec<Vec<(u32, u32)>> = run.of(&(0..2)).map(|(_, bytes)| unpack(bytes).collect()).collect();
        assert_eq!((run.first, back), (5, vec![vec![(0, 1), (1, 3), (200_000, 1)], vec![(1 << 30, 1)]]));
        assert_eq!(run.of(&(1..9)).map(|(term, _)| term).collect::<Vec<_>>(), [1]);
    }
}
