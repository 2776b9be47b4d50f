//! Which texts of one set stand in another: questions of an exam among those that were trained on, or inside documents.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{RougeIndex, words::unicode_words};

/// A text that stands in another set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Which text of the first set.
    pub text: usize,
    /// Which of the second.
    pub other: usize,
    /// Whether their words are the same, in the same order: up to case, white space and punctuation.
    pub exact: bool,
    /// How much they have in common, in `0..=1`.
    pub share: f64,
}

/// ROUGE-L F above which two questions ask the same if one of them has no word of its own, as in Self-Instruct.
const NEAR: f64 = 0.7;
/// The same if both have: questions that differ in what they ask about (`in May`, `in June`) are very much alike.
const NEARER: f64 = 0.9;

/// For each of `texts` its first equal among `others`, or else the first that asks nearly the same, by ROUGE-L F over
/// the words that carry content. Texts without a word are like none. Of `others`, the ids of their words are held.
pub fn repeated<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    others: impl IntoIterator<Item = impl AsRef<str>>,
) -> Vec<Overlap> {
    let texts: Vec<(&str, String)> = texts.into_iter().map(|text| (text, unicode_words(text).join(" "))).collect();
    let mut equal: HashMap<&str, Option<usize>> = texts.iter().map(|(_, normal)| (normal.as_str(), None)).collect();
    let mut near = RougeIndex::of_content(NEAR);
    for (at, other) in others.into_iter().enumerate() {
        let other = other.as_ref();
        if let Some(first) = equal.get_mut(unicode_words(other).join(" ").as_str()) {
            first.get_or_insert(at);
        }
        near.insert(other);
    }
    let found = texts.iter().enumerate().filter_map(|(text, (words, normal))| match equal[normal.as_str()] {
        Some(other) if !normal.is_empty() => Some(Overlap { text, other, exact: true, share: 1.0 }),
        _ => {
            let has_all = |of: &[u32], these: &[u32]| these.iter().all(|word| of.contains(word));
            let same = |own: &[u32], other: &[u32], f: f64| f > NEARER || has_all(other, own) || has_all(own, other);
            let found = near.find_where(words, same);
            found.map(|(other, share)| Overlap { text, other, exact: false, share })
        }
    });
    found.collect()
}

/// Those of `texts` that have the words of an earlier one, in the same order. What is nearly the same is not told.
pub fn repeated_within<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Overlap> {
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (text, words) in texts.into_iter().enumerate() {
        let normal = unicode_words(words).join(" ");
        if normal.is_empty() {
            continue;
        }
        let other = *first.entry(normal).or_insert(text);
        if other != text {
            found.push(Overlap { text, other, exact: true, share: 1.0 });
        }
    }
    found
}

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

/// For each of `texts` the document that has most of it: of its runs of five words, the share `share` or more. Exact
/// are those that stand there whole.
pub fn contained<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    documents: impl IntoIterator<Item = impl AsRef<str>>,
    share: f64,
) -> Vec<Overlap> {
    contained_by(Grams::OF_QUESTIONS, texts, documents, share)
}

/// [`contained`] by other runs of words. Documents are read once, one after the other, and nothing is held of them.
pub fn contained_by<'a>(
    grams: Grams,
    texts: impl IntoIterator<Item = &'a str>,
    documents: impl IntoIterator<Item = impl AsRef<str>>,
    share: f64,
) -> Vec<Overlap> {
    // A run of a document that has a word which no text has is a run of none of them.
    let mut vocabulary: HashMap<String, u32> = HashMap::new();
    let mut id = |word: String| {
        let next = vocabulary.len() as u32;
        *vocabulary.entry(word).or_insert(next)
    };
    let texts: Vec<Vec<u32>> =
        texts.into_iter().map(|text| unicode_words(text).into_iter().map(&mut id).collect()).collect();
    let mut holders: HashMap<&[u32], Vec<usize>> = HashMap::new();
    let mut grams_of: Vec<usize> = Vec::with_capacity(texts.len());
    let mut lengths: BTreeSet<usize> = BTreeSet::new();
    for (text, words) in texts.iter().enumerate() {
        let length = grams.of(words);
        let own: BTreeSet<&[u32]> = length.into_iter().flat_map(|length| words.windows(length)).collect();
        grams_of.push(own.len());
        lengths.extend(length);
        for gram in own {
            holders.entry(gram).or_default().push(text);
        }
    }
    // Most runs of documents are runs of no text: that shows by their first words, whatever lengths there are.
    let least = lengths.first().copied().unwrap_or(usize::MAX);
    let beginnings: HashSet<&[u32]> = holders.keys().map(|gram| &gram[..least]).collect();
    let mut best: BTreeMap<usize, Overlap> = BTreeMap::new();
    for (other, document) in documents.into_iter().enumerate() {
        let words: Vec<Option<u32>> =
            unicode_words(document.as_ref()).iter().map(|word| vocabulary.get(word).copied()).collect();
        let (mut hits, mut whole) = (BTreeMap::<usize, HashSet<&[u32]>>::new(), HashSet::<usize>::new());
        for run in words.split(Option::is_none) {
            let run: Vec<u32> = run.iter().copied().flatten().collect();
            // Shorter than the shortest run, and there is no window; so `least` of a run that has one is a length.
            for (at, beginning) in run.windows(least).enumerate() {
                if !beginnings.contains(beginning) {
                    continue;
                }
                let behind = &run[at..];
                for &length in lengths.range(..=behind.len()) {
                    let Some((gram, texts_with)) = holders.get_key_value(&behind[..length]) else { continue };
                    for &text in texts_with {
                        hits.entry(text).or_default().insert(gram);
                        if behind.starts_with(&texts[text]) {
                            whole.insert(text);
                        }
                    }
                }
            }
        }
        for (text, hits) in hits {
            let exact = whole.contains(&text);
            let found = if exact { 1.0 } else { hits.len() as f64 / grams_of[text] as f64 };
            let better = best.get(&text).is_none_or(|known| (exact, found) > (known.exact, known.share));
            if found >= share && better {
                best.insert(text, Overlap { text, other, exact, share: found });
            }
        }
    }
    best.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_told_from_similar_ones() {
        let seeds = ["What is the rate of the bond?", "Кто платит налог на доход?", "…"];
        let exam = [
            "what is THE rate of the bond",
            "What is the rate of the old bond?",
            "Кто платит налог на доход",
            "…",
            "What is the rate of the loan?",
        ];
        let found = repeated(exam, seeds);
        let told: Vec<_> = found.iter().map(|o| (o.text, o.other, o.exact)).collect();
        assert_eq!(told, [(0, 0, true), (1, 0, false), (2, 1, true)]);
        assert!((found[1].share - 6.0 / 7.0).abs() < 1e-12, "{found:?}");
        assert_eq!(repeated(exam, [""; 0]), []);
    }

    #[test]
    fn later_ones_repeat_earlier_ones() {
        let found = repeated_within(["a b", "c", "A, b!", "", "", "c"]);
        assert_eq!(found.iter().map(|o| (o.text, o.other)).collect::<Vec<_>>(), [(2, 0), (5, 1)]);
    }

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
            let found = contained_by(grams, texts.iter().map(String::as_str), &documents, 0.3);
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
}
