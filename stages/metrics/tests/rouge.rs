//! ROUGE-L on the 1,000 pairs of Google's ROUGE tests.

use std::fs;

use pipe_metrics::RougeL;

#[path = "../../../tests/support/data.rs"]
mod data;

/// Figures of rouge_score 0.1.2.
#[test]
#[ignore = "reads PIPE_TEST_DATA"]
fn mean_f_of_the_thousand_pairs() {
    let folder = data::folder("rouge");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (predictions, targets) = (read("prediction_large.txt"), read("target_large.txt"));
    for (stemmed, expect) in [(true, 0.402_651), (false, 0.383_231)] {
        let scores: Vec<f64> =
            predictions.lines().zip(targets.lines()).map(|(p, t)| RougeL::new(stemmed).f(p, t)).collect();
        assert_eq!(scores.len(), 1000);
        let mean = scores.iter().sum::<f64>() / 1000.0;
        assert!((mean - expect).abs() < 1e-6, "stemmed {stemmed}: {mean}");
    }
}
