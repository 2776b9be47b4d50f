//! Token F1 and exact match as in the SQuAD 1.1 evaluation script (Rajpurkar et al. 2016).

use std::collections::HashMap;

use crate::normalize::normalize_answer;

/// Harmonic mean of precision and recall over the multiset of normalised tokens; 0 without overlap.
///
/// As in SQuAD 1.1, two empty answers score 0 (their overlap is empty).
pub fn token_f1(prediction: &str, reference: &str) -> f64 {
    f1_of_normalized(&normalize_answer(prediction), &normalize_answer(reference))
}

/// [`token_f1`] of texts that are normalised already.
pub(crate) fn f1_of_normalized(prediction: &str, reference: &str) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut n_reference = 0;
    for token in reference.split_whitespace() {
        *counts.entry(token).or_default() += 1;
        n_reference += 1;
    }
    let (mut same, mut n_prediction) = (0, 0);
    for token in prediction.split_whitespace() {
        n_prediction += 1;
        if let Some(left) = counts.get_mut(token)
            && *left > 0
        {
            *left -= 1;
            same += 1;
        }
    }
    f_measure(same, n_prediction, n_reference)
}

/// 2PR/(P+R) for `same` matches among so many predicted and reference tokens; 0 without a match.
pub(crate) fn f_measure(same: usize, n_prediction: usize, n_reference: usize) -> f64 {
    if same == 0 {
        return 0.0;
    }
    let (precision, recall) = (same as f64 / n_prediction as f64, same as f64 / n_reference as f64);
    2.0 * precision * recall / (precision + recall)
}

/// Whether both answers are the same after normalisation.
pub fn exact_match(prediction: &str, reference: &str) -> bool {
    normalize_answer(prediction) == normalize_answer(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_is_over_the_multiset() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(token_f1("heart heart", "heart"), 2.0 / 3.0);
        close(token_f1("the liver and kidney", "Liver"), 0.5);
        close(token_f1("", ""), 0.0);
        close(token_f1("x", "y"), 0.0);
        close(token_f1("Beta blockers!", "beta blockers"), 1.0);
    }
}
