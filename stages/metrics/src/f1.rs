//! F measures.

use std::collections::HashMap;

/// Harmonic mean of precision and recall over the multiset of words of two normalised texts; 0 without overlap.
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
