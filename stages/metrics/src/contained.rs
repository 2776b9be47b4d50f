//! Which texts of one set stand inside those of another: questions of an exam inside documents.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{Overlap, words::unicode_words};

/// Runs of words by which texts are found inside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grams {
    /// So many words in a row are compared.
    pub words: usize,
    /// A text of fewer words than that is compared as a whole; one of fewer than this is found nowhere, because it may
    /// stand anywhere.
    pub shortest: usize,
}

impl Grams {
    /// Of questions.
    const OF_QUESTIONS: Self = Self { words: 5, shortest: 5 };

    /// The length of a text's runs; `None` where it has none.
    fn of(self, text: &[u32]) -> Option<usize> {
        (text.len() >= self.shortest.max(1)).then(|| self.words.min(text.len()))
    }
}

/// Looks for each of some texts for the document that has most of it: of its runs of words, a share of `share` or more.
/// Exact are those that stand there whole. Documents are seen one after the other, and what is held of them are the
/// runs that those have which have any.
#[derive(Debug)]
pub struct Contained {
    share: f64,
    /// Of each text, which of the different ones it is.
    texts: Vec<usize>,
    different: Vec<Different>,
    vocabulary: HashMap<String, u32>,
    /// Of each run, its number.
    runs: HashMap<Box<[u32]>, u32>,
    /// By number: the texts that have the run, and its place among theirs.
    holders: Vec<Vec<(usize, usize)>>,
    lengths: BTreeSet<usize>,
    /// Most runs of documents are runs of no text: that shows by their first words, whatever lengths there are.
    beginnings: HashSet<Box<[u32]>>,
    /// What documents had of texts: the same again, in the same order, is nothing better.
    known: HashSet<Vec<u32>>,
    seen: usize,
    /// Times that a text's runs were looked for in a document.
    counted: usize,
}

/// One of the different texts.
#[derive(Debug)]
struct Different {
    words: Vec<u32>,
    /// Its different runs, those that few texts have first.
    runs: Vec<u32>,
    /// Whoever is better than the best so far has one of so many of the first of these: he has more than were found,
    /// and so not only others. What all texts begin with soon leads to none of them.
    open: usize,
    /// The document, whether it has all of the text, and its share.
    best: Option<(usize, bool, f64)>,
}

/// Between two places in a document; two of them where there is something between them that is in no text.
const APART: u32 = u32::MAX;

impl Contained {
    /// Of these texts.
    pub fn new<'a>(grams: Grams, texts: impl IntoIterator<Item = &'a str>, share: f64) -> Self {
        // A run of a document that has a word which no text has is a run of none of them.
        let mut vocabulary: HashMap<String, u32> = HashMap::new();
        let mut id = |word: String| {
            let next = vocabulary.len() as u32;
            *vocabulary.entry(word).or_insert(next)
        };
        let mut places: HashMap<Vec<u32>, usize> = HashMap::new();
        let (mut numbers, mut counts) = (HashMap::<Box<[u32]>, u32>::new(), Vec::new());
        let (mut different, mut lengths) = (Vec::new(), BTreeSet::new());
        let one = |text: &str| {
            let words: Vec<u32> = unicode_words(text).into_iter().map(&mut id).collect();
            if let Some(&place) = places.get(&words) {
                return place;
            }
            let (length, place) = (grams.of(&words), different.len());
            let own: BTreeSet<&[u32]> = length.into_iter().flat_map(|length| words.windows(length)).collect();
            lengths.extend(length);
            let number = |gram: &[u32]| {
                let number = *numbers.entry(gram.into()).or_insert(counts.len() as u32);
                counts.resize(counts.len().max(number as usize + 1), 0);
                counts[number as usize] += 1;
                number
            };
            let runs: Vec<u32> = own.into_iter().map(number).collect();
            let too_few = (0..runs.len()).take_while(|&few| few as f64 / (runs.len() as f64) < share).count();
            let open = runs.len() + 1 - too_few.max(1);
            different.push(Different { words: words.clone(), runs, open, best: None });
            places.insert(words, place);
            place
        };
        let texts = texts.into_iter().map(one).collect();
        let mut holders = vec![Vec::new(); counts.len()];
        for (text, Different { runs, .. }) in different.iter_mut().enumerate() {
            runs.sort_by_key(|&run| counts[run as usize]);
            for (place, &run) in runs.iter().enumerate() {
                holders[run as usize].push((text, place));
            }
        }
        let least = lengths.first().copied().unwrap_or(usize::MAX);
        let beginnings = numbers.keys().map(|gram| gram[..least].into()).collect();
        let (runs, known, seen, counted) = (numbers, HashSet::new(), 0, 0);
        Self { share, texts, different, vocabulary, runs, holders, lengths, beginnings, known, seen, counted }
    }

    /// Looks at the next document, and says whether it is the best so far for any text.
    pub fn see(&mut self, document: &str) -> bool {
        let at = self.seen;
        self.seen += 1;
        let Some(&least) = self.lengths.first() else { return false };
        let words: Vec<Option<u32>> =
            unicode_words(document).iter().map(|word| self.vocabulary.get(word).copied()).collect();
        let runs: Vec<Vec<u32>> =
            words.split(Option::is_none).map(|run| run.iter().copied().flatten().collect()).collect();
        // What stands behind a place, and the number of the run there.
        let (mut matches, mut key) = (Vec::<(&[u32], u32)>::new(), Vec::new());
        for run in &runs {
            // Shorter than the shortest run, and there is no window; so `least` of a run that has one is a length.
            for (at, beginning) in run.windows(least).enumerate() {
                if self.beginnings.contains(beginning) {
                    let behind = &run[at..];
                    for &length in self.lengths.range(..=behind.len()) {
                        let Some(&number) = self.runs.get(&behind[..length]) else { continue };
                        matches.push((behind, number));
                        key.push(number);
                    }
                }
                if !key.ends_with(&[APART; 2]) {
                    key.push(APART);
                }
            }
            while !key.ends_with(&[APART; 2]) {
                key.push(APART);
            }
        }
        if matches.is_empty() || self.known.contains(&key) {
            return false;
        }
        let has: HashSet<u32> = matches.iter().map(|&(_, number)| number).collect();
        let mut touched = BTreeSet::new();
        for &(_, number) in &matches {
            let holders = &mut self.holders[number as usize];
            let is_open = |&(text, place): &(usize, usize)| place < self.different[text].open;
            let open = holders.iter().copied().filter(is_open).map(|(text, _)| text);
            let before = touched.len();
            touched.extend(open);
            self.counted += touched.len() - before;
            holders.retain(is_open);
        }
        let mut is_best = false;
        for text in touched {
            let Different { words, runs, open, best } = &mut self.different[text];
            let hits = runs.iter().filter(|run| has.contains(run)).count();
            let exact = hits == runs.len() && matches.iter().any(|(behind, _)| behind.starts_with(words));
            let found = if exact { 1.0 } else { hits as f64 / runs.len() as f64 };
            if found >= self.share && best.is_none_or(|(_, whole, share)| (exact, found) > (whole, share)) {
                (*best, is_best) = (Some((at, exact, found)), true);
                // One that has all of them may stand there whole.
                *open = if exact { 0 } else { (runs.len() - hits).max(1) };
            }
        }
        self.known.insert(key);
        is_best
    }

    /// What was found, in the order of the texts.
    pub fn found(&self) -> Vec<Overlap> {
        let one = |(text, place): (usize, &usize)| {
            let (other, exact, share) = self.different[*place].best?;
            Some(Overlap { text, other, exact, share })
        };
        self.texts.iter().enumerate().filter_map(one).collect()
    }
}

/// For each of `texts` the document that has most of it: of its runs of five words, the share `share` or more. Exact
/// are those that stand there whole.
pub fn contained<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    documents: impl IntoIterator<Item = impl AsRef<str>>,
    share: f64,
) -> Vec<Overlap> {
    let mut contained = Contained::new(Grams::OF_QUESTIONS, texts, share);
    for document in documents {
        contained.see(document.as_ref());
    }
    contained.found()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_found_inside_documents() {
        let documents = [
            "Answers: what is the rate of the bond in May? It is three percent.",
            "One may ask what is the rate of the bond, or in which month of the year it was issued first.",
        ];
        let exam = [
            "What is the rate of the bond in May?",
            "Say what is the rate of the bond",
            "the bond in May",
            "Who signs the report of the year?",
        ];
        let found = contained(exam, documents, 0.5);
        let told: Vec<_> = found.iter().map(|o| (o.text, o.other, o.exact)).collect();
        assert_eq!(told, [(0, 0, true), (1, 0, false)]);
        assert!((found[1].share - 3.0 / 4.0).abs() < 1e-12, "{found:?}");
    }

    /// Against the plain way: sets of runs of words, for every text and document.
    #[test]
    fn runs_of_any_length_are_found_as_by_looking_at_all_of_them() {
        let word = |i: usize| ["a", "b", "c", "the", "of", "x9"][i % 6];
        let text = |seed: usize, words: usize| -> String {
            (0..words).map(|i| word(seed * seed + i * (seed % 5 + 1) + i * i % 3)).collect::<Vec<_>>().join(" ")
        };
        let texts: Vec<String> = (0..40).map(|i| text(i, i % 17)).collect();
        let documents: Vec<String> = (0..60).map(|i| format!("{} new {}", text(i + 7, 12), text(i, 20))).collect();
        for grams in [Grams { words: 13, shortest: 3 }, Grams { words: 4, shortest: 4 }] {
            let mut contained = Contained::new(grams, texts.iter().map(String::as_str), 0.3);
            for document in &documents {
                contained.see(document);
            }
            let found = contained.found();
            for (at, text) in texts.iter().enumerate() {
                let words: Vec<&str> = text.split_whitespace().collect();
                let length = grams.words.min(words.len());
                let own: BTreeSet<&[&str]> =
                    if words.len() < grams.shortest { BTreeSet::new() } else { words.windows(length).collect() };
                let share = |document: &String| {
                    let all: Vec<&str> = document.split_whitespace().collect();
                    let theirs: BTreeSet<&[&str]> = all.windows(length.max(1)).collect();
                    let exact = !own.is_empty() && all.windows(words.len()).any(|window| window == words);
                    let share = own.intersection(&theirs).count() as f64 / own.len().max(1) as f64;
                    (exact, if exact { 1.0 } else { share })
                };
                let best = documents.iter().map(share).fold((false, 0.0), |a, b| if b > a { b } else { a });
                let expect = (best.1 >= 0.3).then_some(best);
                let found = found.iter().find(|overlap| overlap.text == at).map(|o| (o.exact, o.share));
                assert_eq!(found, expect, "{text:?} by {grams:?}");
            }
        }
    }

    /// A million rows may be one row a million times, or begin alike, and an exam one question: each is counted once.
    #[test]
    fn what_is_said_again_and_again_is_counted_once() {
        let exam = vec!["What is the rate of the bond in May and June of the year?"; 50];
        let mut contained = Contained::new(Grams { words: 5, shortest: 5 }, exam, 0.1);
        for number in 0..100 {
            let row = format!("Row {number}. What is the rate of the bond in May and July of {number}?");
            assert_eq!(contained.see(&row), number == 0);
        }
        assert_eq!((contained.counted, contained.found().len()), (1, 50));
    }

    /// An exam whose items begin alike is not gone through for every document that begins like them.
    #[test]
    fn what_all_texts_begin_with_leads_to_none_of_them() {
        let exam: Vec<String> = (0..40).map(|i| format!("answer this question in one word q{i} r{i} s{i}")).collect();
        let mut contained = Contained::new(Grams { words: 5, shortest: 5 }, exam.iter().map(String::as_str), 0.0);
        for number in 0..200 {
            contained.see(&format!("answer this question in one word q{} x{number}", number % 40));
        }
        contained.see(&exam[7]);
        assert!(contained.counted <= 40 + 40 + 1, "{}", contained.counted);
        let found: Vec<_> = contained.found().iter().map(|o| (o.other, o.exact, o.share)).collect();
        let expect: Vec<_> = (0..40).map(|i| if i == 7 { (200, true, 1.0) } else { (i, false, 0.6) }).collect();
        assert_eq!(found, expect);
    }
}
