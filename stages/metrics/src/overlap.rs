//! Which texts of one set stand among those of another: questions of an exam among those that were trained on.

use std::collections::{HashMap, HashSet};

use crate::{
    RougeIndex,
    words::{unicode_words, with_content},
};

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

/// Looks for each of some texts for its first equal among others, or else the first that asks nearly the same, by
/// ROUGE-L F over the words that carry content. Texts without a word are like none. The others are seen one after the
/// other, and what is held of them are the words of those that come near a text.
#[derive(Debug)]
pub struct Repeats {
    /// Of each text, which of the different ones it is; `None` without a word.
    texts: Vec<Option<usize>>,
    /// Different texts by their words.
    places: HashMap<String, usize>,
    found: Vec<Found>,
    index: RougeIndex,
    seen: usize,
    /// What was compared with texts: the same again finds nothing new.
    known: HashSet<Vec<u32>>,
    /// Comparisons.
    compared: usize,
}

/// What is found of a text: the first others.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    exact: Option<usize>,
    near: Option<(usize, f64)>,
}

impl Found {
    fn is_open(&self) -> bool {
        self.exact.is_none() && self.near.is_none()
    }
}

impl Repeats {
    /// Of these texts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut index, mut places) = (RougeIndex::new(NEAR), HashMap::new());
        let one = |text: &str| {
            let words = unicode_words(text);
            (!words.is_empty()).then(|| {
                let next = places.len();
                let place = *places.entry(words.join(" ")).or_insert(next);
                if place == next {
                    index.insert_tokens(with_content(words));
                }
                place
            })
        };
        let texts = texts.into_iter().map(one).collect();
        let found = vec![Found::default(); places.len()];
        Self { texts, places, found, index, seen: 0, known: HashSet::new(), compared: 0 }
    }

    /// Looks at the next of the others, and says whether it is the first for any text.
    pub fn see(&mut self, other: &str) -> bool {
        let at = self.seen;
        self.seen += 1;
        let words = unicode_words(other);
        let equal = self.places.get(&words.join(" ")).map(|&place| &mut self.found[place].exact);
        let mut is_first = false;
        if let Some(exact) = equal {
            if exact.is_some() {
                return false; // all that is like it was found then
            }
            (*exact, is_first) = (Some(at), true);
        }
        let query = self.index.known(&with_content(words));
        if self.known.contains(&query) {
            return is_first;
        }
        let (found, mut near) = (&self.found, Vec::new());
        let has_all = |of: &[u32], these: &[u32]| these.iter().all(|word| of.contains(word));
        let compared = self.index.each(
            &query,
            |place| found[place].is_open(),
            |place, text, f| {
                if f > NEARER || has_all(text, &query) || has_all(&query, text) {
                    near.push((place, f));
                }
            },
        );
        for &(place, f) in &near {
            self.found[place].near = Some((at, f));
        }
        self.compared += compared;
        if compared > 0 {
            self.known.insert(query);
        }
        is_first || !near.is_empty()
    }

    /// What was found, in the order of the texts.
    pub fn found(&self) -> Vec<Overlap> {
        let one = |(text, place): (usize, &Option<usize>)| match self.found[(*place)?] {
            Found { exact: Some(other), .. } => Some(Overlap { text, other, exact: true, share: 1.0 }),
            Found { near, .. } => near.map(|(other, share)| Overlap { text, other, exact: false, share }),
        };
        self.texts.iter().enumerate().filter_map(one).collect()
    }
}

/// What [`Repeats`] finds of texts among others.
pub fn repeated<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    others: impl IntoIterator<Item = impl AsRef<str>>,
) -> Vec<Overlap> {
    let mut repeats = Repeats::new(texts);
    for other in others {
        repeats.see(other.as_ref());
    }
    repeats.found()
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

    /// Against the plain way: each of the others in turn, by the words that carry content.
    #[test]
    fn the_first_that_is_nearly_the_same_is_found_as_by_looking_at_all_of_them() {
        let word = |i: usize| ["rate", "bond", "loan", "may", "june", "tax", "sign", "year", "note"][i % 9];
        let text = |seed: usize| -> String {
            let words = 3 + seed % 5;
            (0..words).map(|i| word(seed / 7 + i * (seed % 2 + 1) + seed * i % 3)).collect::<Vec<_>>().join(" ")
        };
        let (texts, others): (Vec<String>, Vec<String>) =
            ((0..120).map(|i| text(i * 3)).collect(), (0..400).map(|i| text(i * 5 + 1)).collect());
        let rouge = crate::RougeL::new(false);
        let is_near = |text: &str, other: &str| {
            let has_all = |of: &str, these: &str| these.split(' ').all(|word| of.split(' ').any(|of| of == word));
            let f = rouge.f(text, other);
            f > NEARER || f > NEAR && (has_all(text, other) || has_all(other, text))
        };
        let first = |text: &String| {
            let equal = others.iter().position(|other| other == text).map(|at| (at, true));
            equal.or_else(|| others.iter().position(|other| is_near(text, other)).map(|at| (at, false)))
        };
        let found = repeated(texts.iter().map(String::as_str), &others);
        let expect: Vec<_> = texts.iter().enumerate().filter_map(|(i, text)| Some((i, first(text)?))).collect();
        assert_eq!(found.iter().map(|o| (o.text, (o.other, o.exact))).collect::<Vec<_>>(), expect);
        assert!(expect.iter().any(|(_, (_, exact))| *exact) && expect.iter().any(|(_, (_, exact))| !exact));
    }

    /// A million rows may be one row a million times, and an exam one question: each is looked at once.
    #[test]
    fn what_is_said_again_and_again_is_compared_once() {
        let mut repeats = Repeats::new(vec!["What is the rate of the bond in May and June of the year?"; 50]);
        for _ in 0..100 {
            repeats.see("What is the rate of the bond in May and July of the year?");
        }
        assert_eq!((repeats.compared, repeats.found().len()), (1, 0));
    }

    /// Neither is a question compared any more that was found, nor does it stand in the way of others.
    #[test]
    fn what_was_found_is_not_looked_for_any_more() {
        let exam: Vec<String> = (0..40).map(|i| format!("rate bond loan tax note year q{i}")).collect();
        let mut repeats = Repeats::new(exam.iter().map(String::as_str));
        for number in 0..200 {
            repeats.see(&format!("rate bond loan tax note year r{number}"));
            repeats.see(&format!("rate bond loan tax note year q{}", number % 40));
        }
        assert!(repeats.found().iter().all(|found| found.exact) && repeats.found().len() == 40);
        assert!(repeats.compared < 40 * 41 + 40, "{}", repeats.compared);
    }
}
