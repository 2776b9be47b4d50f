//! Words as numbers: each spelling is analysed once, and a text costs no more than looking up its words.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use parking_lot::Mutex;

use crate::analyzer::{Analyzer, each_word};

/// The terms of a corpus, numbered in the order in which they were met (which depends on the threads).
#[derive(Default)]
pub(crate) struct Vocabulary {
    terms: Mutex<HashMap<Box<str>, u32, BuildHasherDefault<Mix>>>,
}

/// What a thread knows of a vocabulary: spellings in texts, with the numbers of their terms.
#[derive(Default)]
pub(crate) struct Words(HashMap<Box<str>, u32, BuildHasherDefault<Mix>>);

/// The number of spellings that are no term.
const LEFT_OUT: u32 = u32::MAX;
/// Spellings that a thread remembers.
const REMEMBERED: usize = 1 << 20;

impl Vocabulary {
    /// Appends the terms of a text, in order.
    pub(crate) fn terms(&self, analyzer: Analyzer, known: &mut Words, text: &str, to: &mut Vec<u32>) {
        if known.0.len() >= REMEMBERED {
            known.0.clear();
        }
        each_word(text, |word| {
            let number = if let Some(&number) = known.0.get(word) {
                number
            } else {
                let number = analyzer.term(word).map_or(LEFT_OUT, |term| self.number(&term));
                known.0.insert(word.into(), number);
                number
            };
            if number != LEFT_OUT {
                to.push(number);
            }
        });
    }

    fn number(&self, term: &str) -> u32 {
        let mut terms = self.terms.lock();
        if let Some(&number) = terms.get(term) {
            return number;
        }
        let number = terms.len() as u32;
        terms.insert(term.into(), number);
        number
    }

    /// The terms sorted by their bytes, and for each number the place of its term among them.
    pub(crate) fn sorted(self) -> (Vec<Box<str>>, Vec<u32>) {
        let mut terms: Vec<(Box<str>, u32)> = self.terms.into_inner().into_iter().collect();
        terms.sort_unstable();
        let mut places = vec![0; terms.len()];
        for (place, (_, number)) in terms.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        (terms.into_iter().map(|(term, _)| term).collect(), places)
    }
}

/// A hash of short words: eight bytes at a time, multiplied and folded. The standard one takes longer than all else
/// that is done with a word, and guards against what does no harm here.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Mix {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<8>();
        for eight in whole {
            self.word(u64::from_le_bytes(*eight));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.word(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
