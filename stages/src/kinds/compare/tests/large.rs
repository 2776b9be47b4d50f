//! Many arms, many items.

use super::*;

fn score(arm: i64, draw: &str, item: usize, metric: usize) -> f64 {
    let of = (arm as usize * 7919 + draw.len() * 31 + item * 104_729 + metric * 1_299_709) % 1009;
    of as f64 / 1009.0
}

/// How long the stage itself ran.
fn seconds(study: &Study, params: &str) -> f64 {
    let ran = study.run(params);
    assert_eq!(ran.failures(), [""; 0]);
    ran.stats("effects").seconds
}

#[test]
fn five_hundred_arms_are_compared() {
    let levels: Vec<i64> = (1..=500).collect();
    let study = Study::new(&levels, &["a"], 20, |arm, draw, item| score(arm, draw, item, 0));
    let seconds = seconds(&study, "");
    let found = study.rows("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!(found.len(), 499);
    assert!(found.iter().all(|row| number(row, "p_holm") >= number(row, "p")));
    assert!(seconds < 10.0, "{seconds}");
}

fn large() -> Study {
    let levels: Vec<i64> = (1..=12).collect();
    Study::of(&levels, &["a"], &["f1", "rouge", "right"], |arm, draw| {
        let item = |i: usize| Item {
            id: format!("i{i}"),
            task: Some(format!("t{}", i % 6)),
            passage: None,
            scores: (0..3).map(|metric| Some(score(arm, draw, i, metric))).collect(),
        };
        (0..660).map(item).collect()
    })
}

#[test]
fn a_dozen_arms_of_a_whole_exam_take_no_two_seconds() {
    let study = large();
    let seconds = seconds(&study, "");
    assert_eq!(study.rows("effects", &[]).len(), 3 * 11 * 7 * 2);
    // Answers are found by several threads, and stand in one order.
    let (first, again) = (study.lab.digest("effects.effects"), large());
    assert_eq!(again.run("").failures(), [""; 0]);
    assert_eq!(again.lab.digest("effects.effects"), first);
    assert!(seconds < 2.0, "{seconds}");
}
