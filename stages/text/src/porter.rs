//! The Porter stemmer: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980.
//!
//! Two dialects are in use in this field and give different stems: NLTK's (the default of Google's `rouge_score`) and
//! Porter's own later revision (Lucene's `PorterStemFilter`). Words are taken as lower-case ASCII; others come back
//! unchanged.

/// Which revision of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `nltk.stem.PorterStemmer` in its default mode.
    Nltk,
    /// Porter's published revision (`bli -> ble`, `logi -> log`), as in Lucene.
    Martin,
}

/// Irregular forms that NLTK's mode looks up before any rule.
const NLTK_IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// A suffix and what replaces it where the remaining stem has measure > 0.
type Rule = (&'static str, &'static str);

const STEP_2: [Rule; 20] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
];

const STEP_3: [Rule; 7] =
    [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

/// Removed where the remaining stem has measure > 1 (`ion` also needs an `s` or `t` before it).
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
];

/// The stem of a lower-case ASCII word.
pub fn stem(word: &str, dialect: Dialect) -> String {
    if !word.is_ascii() {
        return word.to_owned();
    }
    let nltk = dialect == Dialect::Nltk;
    if nltk && let Some((_, stem)) = NLTK_IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let mut w = Word { text: word.to_owned(), nltk };
    w.step_1a();
    w.step_1b();
    w.step_1c();
    w.step_2();
    w.step_3();
    w.step_4();
    w.step_5();
    w.text
}

struct Word {
    text: String,
    nltk: bool,
}

/// For each letter whether it is a consonant: not a vowel, and not a `y` behind a consonant.
fn consonants(word: &str) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::with_capacity(word.len());
    for c in word.bytes() {
        flags.push(match c {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => flags.last().is_none_or(|previous| !previous),
            _ => true,
        });
    }
    flags
}

/// The number of vowel-consonant sequences, `m` in the paper.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

fn has_vowel(stem: &str) -> bool {
    consonants(stem).contains(&false)
}

fn ends_in_double_consonant(word: &str) -> bool {
    let b = word.as_bytes();
    b.len() >= 2 && b[b.len() - 1] == b[b.len() - 2] && consonants(word)[b.len() - 1]
}

impl Word {
    /// The word without `suffix`, if it ends so.
    fn without(&self, suffix: &str) -> Option<&str> {
        self.text.strip_suffix(suffix)
    }

    fn replace(&mut self, suffix: &str, by: &str) {
        self.text.truncate(self.text.len() - suffix.len());
        self.text.push_str(by);
    }

    /// `*o`: the stem ends consonant, vowel, consonant, and the last is not w, x or y. NLTK also takes vowel,
    /// consonant.
    fn ends_cvc(&self, stem: &str) -> bool {
        let c = consonants(stem);
        let n = c.len();
        let last_is_wxy = matches!(stem.as_bytes().last(), Some(b'w' | b'x' | b'y'));
        (n >= 3 && c[n - 3] && !c[n - 2] && c[n - 1] && !last_is_wxy) || (self.nltk && n == 2 && !c[0] && c[1])
    }

    fn step_1a(&mut self) {
        if self.nltk && self.text.len() == 4 && self.text.ends_with("ies") {
            return self.replace("ies", "ie");
        }
        for (suffix, by) in [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")] {
            if self.text.ends_with(suffix) {
                return self.replace(suffix, by);
            }
        }
    }

    fn step_1b(&mut self) {
        if self.nltk && self.text.ends_with("ied") {
            let by = if self.text.len() == 4 { "ie" } else { "i" };
            return self.replace("ied", by);
        }
        if let Some(stem) = self.without("eed") {
            if measure(stem) > 0 {
                self.replace("eed", "ee");
            }
            return;
        }
        let Some(suffix) = ["ed", "ing"].into_iter().find(|s| self.without(s).is_some_and(has_vowel)) else { return };
        self.replace(suffix, "");
        for (ending, by) in [("at", "ate"), ("bl", "ble"), ("iz", "ize")] {
            if self.text.ends_with(ending) {
                return self.replace(ending, by);
            }
        }
        if ends_in_double_consonant(&self.text) {
            if !self.text.ends_with(['l', 's', 'z']) {
                self.text.pop();
            }
        } else if measure(&self.text) == 1 && self.ends_cvc(&self.text) {
            self.text.push('e');
        }
    }

    fn step_1c(&mut self) {
        let Some(stem) = self.without("y") else { return };
        let applies =
            if self.nltk { stem.len() > 1 && consonants(stem).last() == Some(&true) } else { has_vowel(stem) };
        if applies {
            self.replace("y", "i");
        }
    }

    /// Applies the first rule whose suffix fits; only then asks for measure > 0.
    fn first_rule(&mut self, rules: &[Rule]) -> bool {
        for (suffix, by) in rules {
            if let Some(stem) = self.without(suffix) {
                if measure(stem) > 0 {
                    self.replace(suffix, by);
                }
                return true;
            }
        }
        false
    }

    fn step_2(&mut self) {
        if self.nltk && self.without("alli").is_some_and(|stem| measure(stem) > 0) {
            self.replace("alli", "al");
            return self.step_2();
        }
        if self.first_rule(&STEP_2) {
            return;
        }
        if self.nltk {
            if self.first_rule(&[("fulli", "ful")]) {
                return;
            }
            // NLTK measures the word without `ogi`'s last three letters, so that the `l` counts.
            if self.without("ogi").is_some_and(|stem| stem.ends_with('l') && measure(stem) > 0) {
                self.replace("logi", "log");
            }
        } else {
            self.first_rule(&[("logi", "log")]);
        }
    }

    fn step_3(&mut self) {
        self.first_rule(&STEP_3);
    }

    fn step_4(&mut self) {
        for suffix in STEP_4 {
            if let Some(stem) = self.without(suffix) {
                if measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't'])) {
                    self.replace(suffix, "");
                }
                return;
            }
        }
    }

    fn step_5(&mut self) {
        if let Some(stem) = self.without("e") {
            let m = measure(stem);
            if m > 1 || (m == 1 && !self.ends_cvc(stem)) {
                self.replace("e", "");
            }
        }
        if self.text.ends_with("ll") && measure(&self.text[..self.text.len() - 1]) > 1 {
            self.text.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// word, NLTK's stem, Porter's revised stem; from nltk 3.10.4 (`NLTK_EXTENSIONS`, `MARTIN_EXTENSIONS`).
    const CASES: &str = include_str!("../tests/golden/porter.tsv");

    #[test]
    fn stems_agree_with_nltk() {
        let mut n = 0;
        for line in CASES.lines() {
            let [word, nltk, martin] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("bad golden line {line:?}")
            };
            assert_eq!(stem(word, Dialect::Nltk), nltk, "nltk dialect of {word}");
            assert_eq!(stem(word, Dialect::Martin), martin, "martin dialect of {word}");
            n += 1;
        }
        assert!(n > 1000);
    }
}
