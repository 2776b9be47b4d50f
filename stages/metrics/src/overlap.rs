//! Which texts of one set stand in another: questions of an exam among those that were trained on, or inside documents.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    RougeIndex,
    words::{content_words, unicode_words},
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

/// For each of `texts` its first equal among `others`, or else the first that asks nearly the same, by ROUGE-L F over
/// the words that carry content. Texts without a word are like none.
pub fn repeated<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    others: impl IntoIterator<Item = &'a str>,
) -> Vec<Overlap> {
    let mut equal: HashMap<String, usize> = HashMap::new();
    let mut near = RougeIndex::of_content();
    let mut contents: Vec<HashSet<String>> = Vec::new();
    for (at, other) in others.into_iter().enumerate() {
        equal.entry(unicode_words(other).join(" ")).or_insert(at);
        near.insert(other);
        contents.push(content_words(other).into_iter().collect());
    }
    let found = texts.into_iter().enumerate().filter_map(|(text, words)| {
        let normal = unicode_words(words).join(" ");
        match equal.get(&normal) {
            Some(&other) if !normal.is_empty() => Some(Overlap { text, other, exact: true, share: 1.0 }),
            _ => {
                let own: HashSet<String> = content_words(words).into_iter().collect();
                let same =
                    |at: usize, f: f64| f > NEARER || own.is_subset(&contents[at]) || contents[at].is_subset(&own);
                let found = near.find_above_where(words, NEAR, same);
                found.map(|(other, share)| Overlap { text, other, exact: false, share })
            }
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

/// So many words in a row are compared; a shorter text is found nowhere, because it may stand anywhere.
const GRAM: usize = 5;

/// For each of `texts` the document that has most of it: of its runs of five words, the share `share` or more. Exact
/// are those that stand there whole.
pub fn contained<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    documents: impl IntoIterator<Item = &'a str>,
    share: f64,
) -> Vec<Overlap> {
    let texts: Vec<Vec<String>> = texts.into_iter().map(unicode_words).collect();
    let mut holders: HashMap<&[String], Vec<usize>> = HashMap::new();
    let mut grams_of: Vec<usize> = Vec::with_capacity(texts.len());
    for (text, words) in texts.iter().enumerate() {
        let grams: HashSet<&[String]> = words.windows(GRAM).collect();
        grams_of.push(grams.len());
        let mut grams: Vec<_> = grams.into_iter().collect();
        grams.sort_unstable();
        for gram in grams {
            holders.entry(gram).or_default().push(text);
        }
    }
    let mut best: BTreeMap<usize, Overlap> = BTreeMap::new();
    for (other, document) in documents.into_iter().enumerate() {
        let words = unicode_words(document);
        let mut hits: BTreeMap<usize, HashSet<&[String]>> = BTreeMap::new();
        let mut whole: HashSet<usize> = HashSet::new();
        for (at, gram) in words.windows(GRAM).enumerate() {
            for &text in holders.get(gram).into_iter().flatten() {
                hits.entry(text).or_default().insert(gram);
                if words[at..].starts_with(&texts[text]) {
                    whole.insert(text);
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
        assert_eq!(repeated(exam, []), []);
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
}
