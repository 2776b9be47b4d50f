//! Which label an answer means.
//!
//! Labels are compared normalised, so that `yes` is found in `Yes.` and `A` in `(A) because`. Normalising must not make
//! one label of two, though: what `C`, `C++` and `C#` have in common once punctuation is gone says nothing of which one
//! is meant. Labels that coincide are therefore compared as they are written; and what makes another number of a number
//! is never taken away.
//!
//! Scripts that put no space between words (`答案是A。`) set their own punctuation and other scripts' words apart, and
//! nothing else: 正确 is no label inside of 不正确, which says the contrary.

use std::collections::HashMap;

use pipe_text::is_unspaced;

use crate::{
    normalize::{Normalizer, is_article, without_punctuation},
    words::placed_words,
};

/// Two labels that no comparison can tell apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the labels `{first}` and `{second}` cannot be told apart")]
pub struct AmbiguousLabels {
    /// The one.
    pub first: String,
    /// The other.
    pub second: String,
}

/// How a label is looked for.
enum Form {
    /// Its normalised words.
    Words(Vec<String>),
    /// An article, such as the label `A`: in its own case, without punctuation.
    Article(String),
    /// As it is written, but for its case.
    Caseless(String),
    /// As it is written.
    Written,
}

struct Label<'a> {
    text: &'a str,
    /// Normalised.
    plain: String,
    form: Form,
}

/// The answers that there are to choose from.
pub struct Labels<'a> {
    normalizer: Normalizer,
    labels: Vec<Label<'a>>,
}

/// A word of an answer, with the place of its first byte and of the byte behind it.
struct Word<'a> {
    begin: usize,
    end: usize,
    written: &'a str,
    plain: String,
}

/// Where a label stands in an answer, in bytes.
#[derive(Clone, Copy)]
struct Found<'a> {
    begin: usize,
    end: usize,
    label: &'a str,
}

impl<'a> Labels<'a> {
    /// Labels that are told apart as far as `normalizer` allows, and as they are written where it would not.
    ///
    /// # Errors
    /// Two of them differ in nothing but white space at their ends, or not at all.
    pub fn new<S: AsRef<str>>(normalizer: Normalizer, labels: &'a [S]) -> Result<Self, AmbiguousLabels> {
        let texts: Vec<&str> = labels.iter().map(|label| label.as_ref().trim()).collect();
        let mut seen = HashMap::new();
        for (text, label) in texts.iter().zip(labels) {
            if let Some(first) = seen.insert(*text, label.as_ref()) {
                return Err(AmbiguousLabels { first: first.to_owned(), second: label.as_ref().to_owned() });
            }
        }
        let plain: Vec<String> = texts.iter().map(|text| comparable(normalizer, text)).collect();
        let caseless: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let alone = |texts: &[String], i: usize| texts.iter().filter(|text| **text == texts[i]).count() == 1;
        let forms = (0..labels.len()).map(|i| {
            // Nothing is left of `?`: it stands wherever nothing stands.
            if alone(&plain, i) && !plain[i].is_empty() {
                if is_article(&plain[i]) {
                    Form::Article(without_punctuation(texts[i]))
                } else {
                    Form::Words(words_of(normalizer, texts[i]).map(|word| word.plain).collect())
                }
            } else if normalizer != Normalizer::None && alone(&caseless, i) {
                Form::Caseless(caseless[i].clone())
            } else {
                Form::Written
            }
        });
        let forms: Vec<Form> = forms.collect();
        let labels = labels.iter().zip(plain).zip(forms);
        Ok(Self {
            normalizer,
            labels: labels.map(|((l, plain), form)| Label { text: l.as_ref(), plain, form }).collect(),
        })
    }

    /// The label that `answer` gives: the one it equals, else, of those that stand in it as whole words, the first one
    /// that is no part of another. `None` where there is none.
    ///
    /// Articles stay, for `A` is a label of many exams; inside a longer answer such a label must stand in its own case.
    pub fn named_in(&self, answer: &str) -> Option<&'a str> {
        let answer = answer.trim();
        let plain = comparable(self.normalizer, answer);
        if let Some(label) = self.labels.iter().find(|label| label.equals(answer, &plain)) {
            return Some(label.text);
        }
        let words: Vec<Word<'_>> = words_of(self.normalizer, answer).collect();
        let found: Vec<Found<'_>> = self.labels.iter().flat_map(|label| label.places(answer, &words)).collect();
        let covers = |by: &Found<'_>, it: &Found<'_>| {
            by.begin <= it.begin && it.end <= by.end && by.label.trim().len() > it.label.trim().len()
        };
        let whole = found.iter().filter(|it| !found.iter().any(|by| covers(by, it)));
        whole.min_by_key(|found| (found.begin, std::cmp::Reverse(found.end))).map(|found| found.label)
    }
}

impl<'a> Label<'a> {
    fn equals(&self, answer: &str, plain: &str) -> bool {
        match &self.form {
            Form::Words(_) | Form::Article(_) => self.plain == plain,
            Form::Caseless(text) => *text == answer.to_lowercase(),
            Form::Written => self.text.trim() == answer,
        }
    }

    /// Where it stands in an answer of these words.
    fn places(&self, answer: &str, words: &[Word<'_>]) -> Vec<Found<'a>> {
        let found = |begin, end| Found { begin, end, label: self.text };
        match &self.form {
            Form::Words(wanted) => {
                let same = |window: &&[Word<'_>]| window.iter().map(|word| &word.plain).eq(wanted);
                words.windows(wanted.len()).filter(same).map(|w| found(w[0].begin, w[w.len() - 1].end)).collect()
            }
            Form::Article(wanted) => {
                let same = words.iter().filter(|word| without_punctuation(word.written) == *wanted);
                same.map(|word| found(word.begin, word.end)).collect()
            }
            Form::Caseless(text) => {
                // Lower case may have another length: then the places are those in the lower-cased text, which are as
                // good for an order.
                let lower = answer.to_lowercase();
                standing(&lower, text).map(|(begin, end)| found(begin, end)).collect()
            }
            Form::Written => standing(answer, self.text.trim()).map(|(begin, end)| found(begin, end)).collect(),
        }
    }
}

/// The words of a text of which something is left once they are normalised.
fn words_of(normalizer: Normalizer, text: &str) -> impl Iterator<Item = Word<'_>> {
    let words = parted_words(text).map(move |(begin, end, word)| Word {
        begin,
        end,
        written: word,
        plain: comparable(normalizer, word),
    });
    words.filter(|word| !word.plain.is_empty())
}

/// The words of a text with their places, as white space, changes of script and punctuation that is not ASCII's part
/// them.
fn parted_words(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    #[derive(PartialEq)]
    enum Part {
        Spaced,
        Unspaced,
        Between,
    }
    let part = |c: char| match c {
        _ if is_unspaced(c) => Part::Unspaced,
        '。' | '、' | '，' | '；' | '：' | '？' | '！' => Part::Between,
        '（' | '）' | '【' | '】' | '「' | '」' | '『' | '』' | '《' | '》' | '〈' | '〉' => Part::Between,
        '“' | '”' | '‘' | '«' | '»' | '…' => Part::Between,
        _ => Part::Spaced,
    };
    placed_words(text).flat_map(move |(begin, _, word)| {
        let mut parts: Vec<(usize, usize, Part)> = Vec::new();
        for (at, c) in word.char_indices() {
            let (end, kind) = (at + c.len_utf8(), part(c));
            match parts.last_mut().filter(|last| last.2 == kind) {
                Some(last) => last.1 = end,
                None => parts.push((at, end, kind)),
            }
        }
        let words = parts.into_iter().filter(|(_, _, kind)| *kind != Part::Between);
        words.map(move |(from, to, _)| (begin + from, begin + to, &word[from..to]))
    })
}

/// Where `label` stands in `text` as it is written: nothing in front of it or behind it makes something else of it.
fn standing<'t>(text: &'t str, label: &'t str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices(label).map(|(at, found)| (at, at + found.len())).filter(|&(begin, end)| {
        let before = text[..begin].trim_end_matches(is_wrapper);
        let behind = text[end..].trim_start_matches(is_wrapper);
        let number = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let open = |c: Option<char>| c.is_none_or(char::is_whitespace);
        // `1.5` and `1,5` hold no 5, `(C)` and `C, I think` hold C; `A/B` and `A,B` hold both.
        let separated = |wrapped: bool, c: Option<char>| open(c) || (wrapped && !number(c));
        separated(before.len() < begin, before.chars().next_back())
            && separated(behind.len() < text.len() - end, behind.chars().next())
    })
}

/// Punctuation that stands around words and is no part of them.
fn is_wrapper(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '"' | '\'' | '`' | '*' | '_' | '/' | '|')
        || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '“' | '”' | '‘' | '’' | '«' | '»' | '…')
}

/// A text as labels are compared: normalised, but that articles stay, and what tells numbers apart (`-1`, `1.5`, `<5`)
/// or stands right behind a word as a part of it (`C++`, `C#`).
fn comparable(normalizer: Normalizer, text: &str) -> String {
    if !matches!(normalizer, Normalizer::Squad | Normalizer::Unicode) {
        return normalizer.apply(text);
    }
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    let at = |i: Option<usize>| i.and_then(|i| chars.get(i)).copied().unwrap_or(' ');
    let digit = |c: char| c.is_ascii_digit();
    let kept = |i: usize, c: char| {
        let (before, behind) = (at(i.checked_sub(1)), at(Some(i + 1)));
        let thousands = || (1..=3).all(|n| digit(at(Some(i + n)))) && !digit(at(Some(i + 4)));
        match c {
            '.' => digit(behind) && (digit(before) || !before.is_alphanumeric()),
            ',' => digit(before) && digit(behind) && !thousands(),
            ':' | '/' => digit(before) && digit(behind),
            '-' => (digit(behind) || behind == '.') && (digit(before) || !before.is_alphanumeric()),
            '<' | '>' | '=' => (digit(behind) || matches!(behind, '-' | '.' | '=')) && !before.is_alphanumeric(),
            '+' | '#' => before.is_alphanumeric() || before == '+',
            _ => !c.is_ascii_punctuation(),
        }
    };
    let kept: String = chars.iter().enumerate().filter(|(i, c)| kept(*i, **c)).map(|(_, c)| *c).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(normalizer: Normalizer, labels: &[&str], cases: &[(&str, Option<&str>)]) {
        let told_apart = Labels::new(normalizer, labels).unwrap();
        for (answer, expect) in cases {
            assert_eq!(told_apart.named_in(answer), *expect, "{answer:?} of {labels:?}");
        }
        for label in labels {
            assert_eq!(told_apart.named_in(label), Some(*label), "of {labels:?}");
        }
    }

    #[test]
    fn articles_are_labels_too() {
        let cases = [
            ("a.", Some("A")),
            ("The answer is A.", Some("A")),
            ("(A) because of B", Some("A")),
            ("It is a case of B", Some("B")),
            ("**C**", Some("C")),
            ("", None),
            ("the", None),
        ];
        check(Normalizer::Squad, &["A", "B", "C", "D"], &cases);
    }

    #[test]
    fn labels_are_found_in_answers() {
        let labels = ["yes", "no", "maybe", "not sure", "not"];
        let cases = [
            ("Yes.", Some("yes")),
            ("The answer is no, not yes", Some("no")),
            ("Not sure, maybe", Some("not sure")),
            ("I know nothing", None),
            ("", None),
        ];
        check(Normalizer::Squad, &labels, &cases);
        check(Normalizer::None, &labels, &[("Yes", None), ("I say yes", Some("yes"))]);
    }

    #[test]
    fn labels_that_coincide_once_normalised_are_compared_as_written() {
        let cases = [
            ("c#", Some("C#")),
            ("I would take C++.", Some("C++")),
            ("(C)", Some("C")),
            ("C, of course", Some("C")),
            ("Rust", None),
        ];
        check(Normalizer::Squad, &["C", "C++", "C#"], &cases);
        check(Normalizer::Squad, &["<5%", ">5%"], &[("It is <5%.", Some("<5%")), ("5%", None), ("(>5%)", Some(">5%"))]);
        check(
            Normalizer::Squad,
            &["1", "-1"],
            &[("It is -1.", Some("-1")), ("1.", Some("1")), ("1.5", None), ("11", None)],
        );
        check(Normalizer::Squad, &["15", "1.5"], &[("about 1.5 mg", Some("1.5")), ("15", Some("15")), ("1.50", None)]);
        check(Normalizer::Squad, &["+", "-"], &[("The result is +.", Some("+")), ("", None)]);
        check(
            Normalizer::Squad,
            &["A", "a", "yes"],
            &[("(a) because", Some("a")), ("A.", Some("A")), ("Yes!", Some("yes"))],
        );
        check(
            Normalizer::Squad,
            &["re-sign", "resign"],
            &[("Re-sign", Some("re-sign")), ("They resign.", Some("resign"))],
        );
        check(Normalizer::Lowercase, &["US", "us"], &[("the US", Some("US")), ("with us", Some("us")), ("Us", None)]);
        check(Normalizer::None, &["a b", "a  b"], &[("a  b", Some("a  b"))]);
    }

    #[test]
    fn another_number_is_another_answer() {
        check(Normalizer::Squad, &["1", "2"], &[("-1", None), ("It is 1.", Some("1")), ("1.5", None), ("<2", None)]);
        check(
            Normalizer::Squad,
            &["15", "20"],
            &[("1.5", None), ("1,5", None), ("15.", Some("15")), ("#15", Some("15"))],
        );
        check(Normalizer::Squad, &["1000", "2000"], &[("1,000", Some("1000")), ("about 2,000.", Some("2000"))]);
        check(Normalizer::Squad, &["C", "Java"], &[("C#", None), ("C", Some("C"))]);
    }

    #[test]
    fn a_label_that_is_a_part_of_another_gives_way() {
        let cases = [
            ("acute heart failure", Some("heart failure")),
            ("renal failure", Some("failure")),
            ("heart and failure", Some("heart")),
        ];
        check(Normalizer::Squad, &["heart", "failure", "heart failure"], &cases);
        check(Normalizer::Squad, &["grade 1", "grade 1-2", "grade 12"], &[("It is grade 1-2.", Some("grade 1-2"))]);
    }

    #[test]
    fn labels_are_found_beside_scripts_without_spaces() {
        let cases = [
            ("答案是A。", Some("A")),
            ("答案：B，因为……", Some("B")),
            ("「C」だと思います", Some("C")),
            ("คำตอบคือ D", Some("D")),
            ("IgA型", None),
        ];
        check(Normalizer::Squad, &["A", "B", "C", "D"], &cases);
        let cases = [
            ("正确。", Some("正确")),
            ("我的答案：不正确", Some("不正确")),
            ("答案是“错误”", Some("错误")),
            ("并不正确。", None),
        ];
        check(Normalizer::Squad, &["正确", "不正确", "错误"], &cases);
        check(Normalizer::Unicode, &["正确", "错误"], &[("“正确”。", Some("正确")), ("并不正确。", None)]);
        check(
            Normalizer::Squad,
            &["1型", "2型"],
            &[("属于 2型。", Some("2型")), ("12型", None), ("2 型", Some("2型"))],
        );
        check(Normalizer::Squad, &["yes", "no"], &[("“Yes”, she said", Some("yes")), ("It says «no».", Some("no"))]);
        check(Normalizer::Squad, &["grade 1", "can’t"], &[("grade 1–2", None), ("I can’t", Some("can’t"))]);
    }

    #[test]
    fn labels_that_nothing_tells_apart_are_refused() {
        for (labels, normalizer) in [
            (["yes", "yes "], Normalizer::Squad),
            (["no", "no"], Normalizer::Lowercase),
            ([" a", "a"], Normalizer::None),
        ] {
            assert!(Labels::new(normalizer, &labels).is_err(), "{labels:?}");
        }
        assert!(Labels::new(Normalizer::Squad, &["yes", "Yes", "yes."]).is_ok());
    }
}
