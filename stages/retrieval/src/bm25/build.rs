//! From texts to an index, in portions: what is held meanwhile are the packed postings, a third of the text or less,
//! and the vocabulary.

use std::{io, mem, ops::Range};

use parking_lot::Mutex;
use rayon::prelude::*;

use super::{
    Bm25, Bm25Params, FileWords, WriteWords, idf,
    layout::{HEAD, MAGIC},
    postings::{Run, unpack},
    words::Storage,
};
use crate::{
    analyzer::Analyzer,
    vocabulary::{Vocabulary, Words},
};

/// Documents of a run, unless there would be fewer runs than threads.
const RUN: usize = 1 << 14;
/// Postings that are put in order at a time by each thread: 32 MB.
const ORDERED: usize = 1 << 22;

/// An index in the making.
pub struct Bm25Builder {
    analyzer: Analyzer,
    vocabulary: Vocabulary,
    /// What threads know of the vocabulary and their memory, while they are at no portion.
    idle: Mutex<Vec<Worker>>,
    runs: Vec<Run>,
    /// Terms of each document.
    lengths: Vec<u32>,
}

/// What one thread needs for a run.
#[derive(Default)]
struct Worker {
    words: Words,
    /// The run's terms, text by text.
    terms: Vec<u32>,
    /// For each term its occurrences in the run, then where the next one is noted; 0 between runs.
    places: Vec<u32>,
    /// Terms that occur.
    seen: Vec<u32>,
    /// Documents of the occurrences, by term.
    documents: Vec<u32>,
}

impl Bm25Builder {
    /// An index of nothing yet.
    pub fn new(analyzer: Analyzer) -> Self {
        Self {
            analyzer,
            vocabulary: Vocabulary::default(),
            idle: Mutex::default(),
            runs: Vec::new(),
            lengths: Vec::new(),
        }
    }

    /// Takes the next texts of the corpus; they are not kept. Some ten thousand at a time give all threads work.
    pub fn add<S: AsRef<str> + Sync>(&mut self, texts: &[S]) {
        let size = texts.len().div_ceil(2 * rayon::current_num_threads()).clamp(64, RUN);
        let before = self.lengths.len();
        let this = &*self;
        let one = |(number, texts): (usize, &[S])| {
            let mut worker = this.idle.lock().pop().unwrap_or_default();
            let made = worker.run(this, (before + number * size) as u32, texts);
            this.idle.lock().push(worker);
            made
        };
        let made: Vec<(Run, Vec<u32>)> = texts.par_chunks(size).enumerate().map(one).collect();
        for (run, lengths) in made {
            self.runs.push(run);
            self.lengths.extend(lengths);
        }
    }

    /// The documents so far.
    pub fn documents(&self) -> usize {
        self.lengths.len()
    }

    /// The index, in memory.
    ///
    /// # Panics
    /// Never: what is written to memory can be read there.
    pub fn into_memory(self, params: Bm25Params) -> Bm25 {
        let analyzer = self.analyzer;
        let mut words = Vec::new();
        let made = self.put(params, &mut words).and_then(|()| Bm25::of(analyzer, Storage::Memory(words)));
        made.expect("an index in memory is whole")
    }

    /// Writes the index to a file, for [`Bm25::open`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(self, params: Bm25Params, mut file: FileWords) -> io::Result<()> {
        self.put(params, &mut file)?;
        file.finish()
    }

    fn put(mut self, params: Bm25Params, to: &mut impl WriteWords) -> io::Result<()> {
        // What threads knew is not needed any more.
        self.idle = Mutex::default();
        let (spellings, numbers) = mem::take(&mut self.vocabulary).sorted();
        let mut frequencies = vec![0_u32; spellings.len()];
        for run in &self.runs {
            for (term, documents) in run.frequencies() {
                frequencies[numbers[term as usize] as usize] += documents;
            }
        }
        self.runs.par_iter_mut().for_each(|run| run.renumber(&numbers));
        let starts: Vec<u64> = ends(frequencies.iter().map(|&df| u64::from(df)));
        let [low, high] = halves(starts[spellings.len()]);
        let bytes: usize = spellings.iter().map(|spelling| spelling.len()).sum();
        if u32::try_from(bytes).is_err() || u32::try_from(self.lengths.len()).is_err() {
            return Err(io::Error::other("the corpus has more documents or longer words than an index can hold"));
        }
        let head: [u32; HEAD] =
            [MAGIC, self.lengths.len() as u32, spellings.len() as u32, bytes.div_ceil(4) as u32, low, high, 0, 0];
        to.put(&head)?;
        starts.iter().try_for_each(|&start| to.put(&halves(start)))?;
        let places: Vec<u64> = ends(spellings.iter().map(|spelling| spelling.len() as u64));
        places.iter().try_for_each(|&place| to.put(&[place as u32]))?;
        put_bytes(&spellings, to)?;
        drop(spellings);

        let total: usize = self.lengths.iter().map(|&length| length as usize).sum();
        let average = total as f32 / self.lengths.len().max(1) as f32;
        let norm = |&length: &u32| params.k1 * (1.0 - params.b + params.b * length as f32 / average);
        let norms: Vec<f32> = self.lengths.iter().map(norm).collect();
        let idfs: Vec<f32> = frequencies.iter().map(|&df| idf(norms.len(), df as usize)).collect();
        let portions = portions(&starts);
        for portions in portions.chunks(rayon::current_num_threads()) {
            let ordered: Vec<Vec<u32>> =
                portions.par_iter().map(|terms| self.ordered(terms, &starts, &norms, &idfs)).collect();
            ordered.iter().try_for_each(|words| to.put(words))?;
        }
        Ok(())
    }

    /// The postings of some terms, with their scores.
    fn ordered(&self, terms: &Range<usize>, starts: &[u64], norms: &[f32], idfs: &[f32]) -> Vec<u32> {
        let first = starts[terms.start];
        let mut words = vec![0; 2 * (starts[terms.end] - first) as usize];
        let mut next: Vec<usize> = terms.clone().map(|term| (starts[term] - first) as usize).collect();
        for run in &self.runs {
            for (term, packed) in run.of(terms) {
                let place = &mut next[term - terms.start];
                for (document, frequency) in unpack(packed) {
                    let document = run.first + document;
                    let tf = frequency as f32;
                    let weight = tf / (tf + norms[document as usize]);
                    words[2 * *place] = document;
                    words[2 * *place + 1] = (idfs[term] * weight).to_bits();
                    *place += 1;
                }
            }
        }
        words
    }
}

impl Worker {
    fn run<S: AsRef<str>>(&mut self, builder: &Bm25Builder, first: u32, texts: &[S]) -> (Run, Vec<u32>) {
        let Self { words, terms, places, seen, documents } = self;
        terms.clear();
        seen.clear();
        let mut lengths = Vec::with_capacity(texts.len());
        for text in texts {
            let before = terms.len();
            builder.vocabulary.terms(builder.analyzer, words, text.as_ref(), terms);
            for &term in &terms[before..] {
                if places.len() <= term as usize {
                    places.resize((term as usize + 1).next_power_of_two(), 0);
                }
                if places[term as usize] == 0 {
                    seen.push(term);
                }
                places[term as usize] += 1;
            }
            lengths.push((terms.len() - before) as u32);
        }
        let mut end = 0;
        for &term in &*seen {
            let count = mem::replace(&mut places[term as usize], end);
            end += count;
        }
        documents.clear();
        documents.resize(terms.len(), 0);
        let mut left = &terms[..];
        for (document, &length) in lengths.iter().enumerate() {
            let (of_text, rest) = left.split_at(length as usize);
            for &term in of_text {
                let place = &mut places[term as usize];
                documents[*place as usize] = document as u32;
                *place += 1;
            }
            left = rest;
        }
        let mut run = Run::new(first);
        let mut begin = 0;
        for &term in &*seen {
            let end = mem::take(&mut places[term as usize]) as usize;
            run.push(term, &documents[begin..end]);
            begin = end;
        }
        (run.close(), lengths)
    }
}

/// Sums of the numbers so far, from 0 on.
fn ends(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut sum = 0;
    let sums = numbers.map(|number| {
        sum += number;
        sum
    });
    std::iter::once(0).chain(sums).collect()
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Bytes as words, the last one filled up.
fn put_bytes(spellings: &[Box<str>], to: &mut impl WriteWords) -> io::Result<()> {
    let (mut word, mut filled) = ([0; 4], 0);
    for byte in spellings.iter().flat_map(|spelling| spelling.bytes()) {
        word[filled] = byte;
        filled += 1;
        if filled == word.len() {
            to.put(&[u32::from_le_bytes(word)])?;
            (word, filled) = ([0; 4], 0);
        }
    }
    if filled > 0 { to.put(&[u32::from_le_bytes(word)]) } else { Ok(()) }
}

/// Successive terms with about as many postings as are put in order at a time.
fn portions(starts: &[u64]) -> Vec<Range<usize>> {
    let (mut portions, mut begin) = (Vec::new(), 0);
    for term in 1..starts.len() {
        if starts[term] - starts[begin] >= ORDERED as u64 || term + 1 == starts.len() {
            portions.push(begin..term);
            begin = term;
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the corpus is cut, and wherever the index is.
    #[test]
    fn portions_and_files_make_the_same_index() {
        let corpus: Vec<String> = (0..700_u32)
            .map(|i| {
                (0..i % 40).fold("été".to_owned(), |text, j| text + &format!(" word{}s", (i * 31 + j * j * 7) % 211))
            })
            .collect();
        let params = Bm25Params::default();
        let words = |portion: usize| {
            let mut builder = Bm25Builder::new(Analyzer::default());
            corpus.chunks(portion).for_each(|texts| builder.add(texts));
            assert_eq!(builder.documents(), corpus.len());
            let mut words: Vec<u32> = Vec::new();
            builder.put(params, &mut words).unwrap();
            words
        };
        let whole = words(700);
        assert!(words(1) == whole && words(97) == whole);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let mut builder = Bm25Builder::new(Analyzer::default());
        builder.add(&corpus);
        builder.write(params, FileWords::create(&path).unwrap()).unwrap();
        let (mapped, memory) =
            (Bm25::open(&path, Analyzer::default()).unwrap(), Bm25::new(&corpus, Analyzer::default(), params));
        assert_eq!((mapped.documents(), mapped.terms()), (700, memory.terms()));
        for query in ["word7", "word12 word100 word12 été", "nothing"] {
            assert_eq!(mapped.search(query, 20), memory.search(query, 20));
            assert_eq!(mapped.idf("été").to_bits(), memory.idf("été").to_bits());
        }

        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
        assert!(Bm25::open(&path, Analyzer::default()).err().unwrap().to_string().contains("not as long"));
        std::fs::write(&path, [0; 64]).unwrap();
        assert!(Bm25::open(&path, Analyzer::default()).err().unwrap().to_string().contains("no index"));
    }
}
