//! Which labels are taken for which: precision, recall and F1 of each, and their averages.
//!
//! The numbers are those of scikit-learn's `confusion_matrix` and `precision_recall_fscore_support`: a share of nothing
//! is 0 (`zero_division=0`). The labels are those that occur, as right ones or as given ones; an answer that names no
//! label is wrong, and is none of them.

use std::collections::BTreeMap;

/// Counts of pairs: the right label, and the one that was given, if any.
#[derive(Debug, Clone, Default)]
pub struct Confusion(BTreeMap<(String, Option<String>), u64>);

/// How well one label is told, or all of them on average.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LabelScore {
    /// Of the answers that give it, the share for which it is right.
    pub precision: f64,
    /// Of the items for which it is right, the share of answers that give it.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Items for which it is right.
    pub support: u64,
    /// Answers that give it.
    pub predicted: u64,
}

/// The averages over labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averages {
    /// Over all answers: precision among those that name a label, recall among all items.
    pub micro: LabelScore,
    /// Every label counts alike.
    pub macro_: LabelScore,
    /// Every label counts by its support.
    pub weighted: LabelScore,
}

impl LabelScore {
    fn of(same: u64, predicted: u64, support: u64) -> Self {
        let share = |of: u64| if of == 0 { 0.0 } else { same as f64 / of as f64 };
        let f1 = if predicted + support == 0 { 0.0 } else { 2.0 * same as f64 / (predicted + support) as f64 };
        Self { precision: share(predicted), recall: share(support), f1, support, predicted }
    }
}

impl Confusion {
    /// Counts an answer.
    pub fn add(&mut self, right: &str, given: Option<&str>) {
        *self.0.entry((right.to_owned(), given.map(str::to_owned))).or_default() += 1;
    }

    /// Every pair that occurs: the right label, the given one, and how often; by the names of the labels, an answer
    /// without a label first.
    pub fn cells(&self) -> impl Iterator<Item = (&str, Option<&str>, u64)> {
        self.0.iter().map(|((right, given), n)| (right.as_str(), given.as_deref(), *n))
    }

    /// Every label that occurs, by name.
    pub fn labels(&self) -> BTreeMap<&str, LabelScore> {
        let mut counts: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
        for (right, given, n) in self.cells() {
            counts.entry(right).or_default().2 += n;
            if let Some(given) = given {
                counts.entry(given).or_default().1 += n;
                counts.entry(given).or_default().0 += if given == right { n } else { 0 };
            }
        }
        counts.into_iter().map(|(label, (same, given, right))| (label, LabelScore::of(same, given, right))).collect()
    }

    /// The averages over all labels that occur.
    pub fn averages(&self) -> Averages {
        let labels: Vec<LabelScore> = self.labels().into_values().collect();
        let sum = |of: fn(&LabelScore) -> u64| labels.iter().map(of).sum::<u64>();
        let (support, predicted) = (sum(|l| l.support), sum(|l| l.predicted));
        let same = self.cells().filter(|(right, given, _)| *given == Some(*right)).map(|(.., n)| n).sum();
        let mean = |weight: &dyn Fn(&LabelScore) -> f64| {
            let all: f64 = labels.iter().map(weight).sum();
            let of = |value: fn(&LabelScore) -> f64| {
                let weighted: f64 = labels.iter().map(|label| weight(label) * value(label)).sum();
                if all > 0.0 { weighted / all } else { 0.0 }
            };
            LabelScore {
                precision: of(|l| l.precision),
                recall: of(|l| l.recall),
                f1: of(|l| l.f1),
                support,
                predicted,
            }
        };
        Averages {
            micro: LabelScore::of(same, predicted, support),
            macro_: mean(&|_| 1.0),
            weighted: mean(&|label| label.support as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_label_is_wrong_and_no_label() {
        let mut confusion = Confusion::default();
        for (right, given) in [("a", Some("a")), ("a", None), ("b", Some("a")), ("b", Some("c"))] {
            confusion.add(right, given);
        }
        let labels = confusion.labels();
        assert_eq!(labels.keys().copied().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(labels["a"], LabelScore { precision: 0.5, recall: 0.5, f1: 0.5, support: 2, predicted: 2 });
        assert_eq!(labels["c"], LabelScore { predicted: 1, ..LabelScore::default() });
        let averages = confusion.averages();
        assert_eq!((averages.micro.precision, averages.micro.recall), (1.0 / 3.0, 0.25));
        assert!((averages.macro_.f1 - 1.0 / 6.0).abs() < 1e-12 && (averages.weighted.f1 - 0.25).abs() < 1e-12);
        assert_eq!(Confusion::default().averages().macro_, LabelScore::default());
    }
}
