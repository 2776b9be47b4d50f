use super::*;
use crate::RougeL;

/// Questions out of a small grammar, so that near-duplicates of every degree occur.
fn questions(n: usize) -> Vec<String> {
    let mut state = 7_u64;
    let mut pick = |from: &[&str]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        from[(state >> 33) as usize % from.len()].to_owned()
    };
    let mut out = Vec::new();
    for _ in 0..n {
        let mut q = pick(&["What is the", "Name the", "Please report the main", "For the memo, give the"]);
        for _ in 0..2 {
            q = format!("{q} {}", pick(&["class", "target", "cause of", "test for", "half-life and the route of"]));
        }
        out.push(format!(
            "{q} {} {}?",
            pick(&["Aldin", "Corvex", "Marlon", "Sandby"]),
            pick(&["fever", "syndrome", ""])
        ));
    }
    out
}

#[test]
fn finds_what_the_naive_loop_finds() {
    let rouge = RougeL::unicode();
    for threshold in [0.0, 0.3, 0.5, 0.7, 0.9, 1.0] {
        let mut index = RougeIndex::new(threshold);
        let mut kept: Vec<String> = Vec::new();
        for q in questions(300) {
            let naive = kept.iter().position(|k| rouge.f(&q, k) > threshold);
            let found = index.insert_unless_found(&q);
            assert_eq!(found.map(|(i, _)| i), naive, "threshold {threshold}: {q}");
            if let Some((i, f)) = found {
                assert!((f - rouge.f(&q, &kept[i])).abs() < 1e-12);
            } else {
                kept.push(q);
            }
        }
        assert_eq!(index.len(), kept.len());
    }
}

#[test]
fn empty_texts_are_never_duplicates() {
    let mut index = RougeIndex::new(0.7);
    assert_eq!(index.insert_unless_found("…"), None);
    assert_eq!(index.insert_unless_found("…"), None);
    assert_eq!(index.len(), 2);
}

/// Words that are drawn from few or many, evenly or not, for texts of some lengths.
struct Drawn {
    words: u64,
    skewed: bool,
    lengths: (u64, u64),
    state: u64,
}

impl Drawn {
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % n
    }

    fn word(&mut self) -> String {
        let word = self.below(self.words);
        format!("w{}", if self.skewed { self.below(word + 1) } else { word })
    }

    /// A new text, or an earlier one with some words left out, put in or replaced.
    fn text(&mut self, earlier: &[String]) -> String {
        let (from, to) = self.lengths;
        if earlier.is_empty() || self.below(3) > 0 {
            let length = from + self.below(to - from + 1);
            return (0..length).map(|_| self.word()).collect::<Vec<_>>().join(" ");
        }
        let at = self.below(earlier.len() as u64) as usize;
        let mut words: Vec<String> = earlier[at].split(' ').map(str::to_owned).collect();
        for _ in 0..self.below(1 + words.len() as u64 / 2) {
            let (at, word) = (self.below(words.len() as u64) as usize, self.word());
            match self.below(3) {
                0 if words.len() > 1 => drop(words.remove(at)),
                1 => words.insert(at, word),
                _ => words[at] = word,
            }
        }
        words.join(" ")
    }
}

/// Lists are divided at five entries here, entries tell lengths up to twelve, and ranks change at 32, 64, 128 texts.
#[test]
fn drawn_texts_are_found_as_by_the_naive_loop() {
    let ids = |text: &str| -> Vec<u32> { text.split(' ').map(|word| word[1..].parse().unwrap()).collect() };
    let naive = |a: &[u32], b: &[u32]| 2.0 * lcs_len(a, b) as f64 / (a.len() + b.len()) as f64;
    for (words, skewed, lengths) in [
        (3, false, (1, 6)),
        (12, true, (2, 12)),
        (50, false, (5, 20)),
        (400, true, (5, 20)),
        (5_000, false, (1, 9)),
        (60, true, (30, 90)),
    ] {
        for threshold in [0.0, 0.2, 0.5, 0.7, 0.7_f64.next_down(), 0.95] {
            let mut drawn = Drawn { words, skewed, lengths, state: 7 };
            let mut texts: Vec<String> = Vec::new();
            for _ in 0..300 {
                texts.push(drawn.text(&texts));
            }
            let (mut index, mut all) = (RougeIndex::new(threshold), RougeIndex::new(threshold));
            let mut kept: Vec<Vec<u32>> = Vec::new();
            let mut closed = vec![false; texts.len()];
            for (at, text) in texts.iter().enumerate() {
                let query = ids(text);
                let first = kept.iter().map(|other| naive(&query, other)).enumerate().find(|(_, f)| *f > threshold);
                let told = format!("{words} words, {lengths:?} long, threshold {threshold}, text {at}");
                assert_eq!(index.find(text), first, "{told}");
                assert_eq!(index.insert_unless_found(text), first, "{told}");
                if first.is_none() {
                    kept.push(query.clone());
                }

                // Those that are open yet, some of which are closed then.
                let earlier = texts[..at].iter().map(|other| naive(&query, &ids(other)));
                let mut expect: Vec<(usize, f64)> = earlier.enumerate().collect();
                expect.retain(|(other, f)| *f > threshold && !closed[*other]);
                let known = all.known(&unicode_words(text));
                let mut found = Vec::new();
                all.each(&known, |other| !closed[other], |other, _, f| found.push((other, f)));
                found.sort_by_key(|(other, _)| *other);
                assert_eq!(found, expect, "{told}");
                for (other, _) in found.iter().filter(|(other, _)| other % 2 == 0) {
                    closed[*other] = true;
                }
                all.insert(text);
            }
            assert_eq!(index.len(), kept.len());
        }
    }
}

/// Texts that are alike in words that all have are passed over: rank, place and lengths say so.
#[test]
fn what_all_texts_have_leads_to_none_of_them() {
    let mut index = RougeIndex::new(0.7);
    for number in 0..2_000 {
        index.insert(&format!("what is the main point of a{number} b{number} c{number}"));
    }
    let query = index.known(&unicode_words("what is the main point of x y z u"));
    assert_eq!(index.each(&query, |_| true, |_, _, _| ()), 0);
    let query = index.known(&unicode_words("what is the main point of a7 b7 z u"));
    let mut found = Vec::new();
    assert_eq!(index.each(&query, |_| true, |at, _, _| found.push(at)), 1);
    assert_eq!(found, [7]);
}
