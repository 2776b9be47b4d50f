//! ROUGE-L against Google's `rouge_score`: other scripts, and the 1,000 pairs of its tests.

use std::fs;

use pipe_metrics::RougeL;

#[path = "../../../tests/support/data.rs"]
mod data;

/// Figures of rouge_score 0.1.2, with a tokenizer that gives runs of letters and digits, and Chinese by character.
#[test]
fn words_of_any_script_are_compared() {
    for (prediction, reference, unicode, ascii) in [
        ("Печень вырабатывает желчь.", "Желчь вырабатывает печень, а не почки", 0.222_222_222_222_222_2, 0.0),
        ("肝脏产生胆汁。", "胆汁由肝脏产生", 0.615_384_615_384_615_4, 0.0),
        ("GDP — это валовой продукт", "GDP измеряет рынок", 0.285_714_285_714_285_75, 1.0),
        ("El hígado produce bilis", "La bilis la produce el hígado", 0.4, 0.5),
    ] {
        let close = |rouge: RougeL, expect: f64| (rouge.f(prediction, reference) - expect).abs() < 1e-12;
        assert!(close(RougeL::unicode(), unicode) && close(RougeL::new(false), ascii), "{prediction}");
    }
}

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
