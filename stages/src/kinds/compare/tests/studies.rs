//! Studies as people make them.

use super::*;

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Scores of which the draws' differences are .01, .02, .03, .04 and .05 for every item.
fn rising(level: i64, draw: &str, item: usize) -> f64 {
    let place = FIVE.iter().position(|name| *name == draw).unwrap() as f64;
    let base = 0.2 + 0.01 * item as f64 + 0.05 * (place % 2.0);
    if level == 1 { base } else { base + 0.01 * (place + 1.0) }
}

#[test]
fn five_draws_are_a_t_test_of_their_differences() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    let ran = study.run("");
    assert_eq!((ran.failures(), ran.warnings()), (vec![], vec![]));
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(
        lines(
            std::slice::from_ref(&found),
            &["factor", "level", "arm", "baseline", "draws", "items", "unpaired", "df", "weak"]
        ),
        ["n | 2 | n=2 | baseline | 5 | 6 | 0 | 4.0 | false"]
    );
    // Mean .03, standard deviation sqrt(.00025), t = .03 / (sd / sqrt 5) = 4.2426, t(.975, 4) = 2.7764.
    let error = (0.00025_f64 / 5.0).sqrt();
    close(&found, "difference", 0.03, 1e-12);
    close(&found, "low", 0.03 - 2.776_445_1 * error, 1e-9);
    close(&found, "high", 0.03 + 2.776_445_1 * error, 1e-9);
    close(&found, "p", 0.013_236, 1e-5);
    assert_eq!((&found["p_holm"], &found["verdict"]), (&found["p"], &"better".into()));
    assert_eq!(found["computed"], "t over paired draws");
    assert!(found["mixed_p"].is_null() && number(&found, "smallest") > 0.02);
    let means = study.rows("means", &[("task", "all"), ("arm", "n=2")]);
    assert_eq!(lines(&means, &["draw", "items"])[4], "draw=e | 6");
    close(&means[4], "mean", 0.225 + 0.05, 1e-12);
    let variance = study.row("variance", &[]);
    assert_eq!((number(&variance, "draws"), number(&variance, "items")), (5.0, 6.0));
    let shares = ["share_draws", "share_items", "share_sampling"].map(|name| number(&variance, name));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[2].abs() < 1e-9, "{variance}");
}

#[test]
fn three_draws_are_weak_and_one_is_asked_about_its_items_alone() {
    let study = Study::new(&[1, 2], &["a", "b", "c"], 6, rising);
    study.run("");
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!((&found["weak"], &found["verdict"]), (&true.into(), &"not shown".into()));
    close(&found, "needed", 5.0, 0.0);

    let study = Study::new(&[1, 2], &["a"], 12, |level, _, item| {
        Some(if level == 2 { 0.5 + item as f64 / 100.0 } else { 0.4 })
    });
    assert_eq!(study.run("").failures(), [""; 0]);
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(
        lines(std::slice::from_ref(&found), &["verdict", "draws", "p", "low", "df", "computed"]),
        ["not asked: one draw | 1 | - | - | - | -"]
    );
    close(&found, "difference", 0.155, 1e-12);
    let found = study.row("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!(
        lines(std::slice::from_ref(&found), &["verdict", "draw", "items", "improved", "computed"]),
        ["better | - | 12 | 12 | sign flips, all"]
    );
    close(&found, "p", 2.0 / 4096.0, 1e-12);
}

#[test]
fn where_less_is_better_that_is_better() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    study.run("lower_is_better: [f1]");
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(found["verdict"], "worse");
    let found = study.row("effects", &[("draw", "draw=a"), ("task", "all")]);
    assert_eq!((number(&found, "improved"), number(&found, "regressed")), (0.0, 6.0));
    assert!(study.rows("flips", &[]).iter().all(|flip| flip["flip"] == "regressed"));
}

#[test]
fn a_difference_within_its_margin_is_none() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    study.run("margins: { f1: 0.06 }");
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(found["verdict"], "same within ±0.06");
    // t = (.06 - .03) / .0070711 = 4.2426 with 4 degrees of freedom, on one side.
    close(&found, "p_same", 0.013_236 / 2.0, 1e-5);
    study.run("margins: { f1: 0.031 }");
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(found["verdict"], "better");
}

#[test]
fn questions_of_a_passage_are_one_sample() {
    // In eight of ten passages both questions are better.
    let score = |level: i64, _: &str, item: usize| Some(if level == 2 && item < 16 { 0.7 } else { 0.5 });
    let study = Study::new(&[1, 2], &["a"], 20, score);
    study.run("");
    let of_items = study.row("effects", &[("question", "items"), ("task", "all")]);
    study.run("cluster: passage");
    let of_clusters = study.row("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!(of_items["difference"], of_clusters["difference"]);
    close(&of_clusters, "p", 2.0 / 256.0, 1e-12);
    assert!(number(&of_items, "p") < 1e-3, "{of_items}");
    assert!(number(&of_clusters, "low") < number(&of_items, "low"), "{of_clusters}");
    // Scores of 0 and 1 that come in clusters are no tosses of a coin.
    let study = Study::new(&[1, 2], &["a"], 20, |level, _, item| Some(f64::from(u8::from(level == 2 && item < 16))));
    study.run("cluster: passage");
    let found = study.row("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!((&found["computed"], number(&found, "p")), (&"sign flips, all".into(), 2.0 / 256.0));
    assert!(study.run("cluster: passsage").failure().contains("has no column `passsage`"));
}

#[test]
fn arms_that_do_not_agree_on_clusters_or_tasks_are_told() {
    let moved = |level: i64, _: &str| {
        let mut all = items(8, |item| Some(0.1 * item as f64 + 0.05 * level as f64));
        if level == 2 {
            (all[3].passage, all[5].task) = (Some("p0".into()), Some("t0".into()));
            all[7].passage = None;
        }
        all
    };
    let study = Study::of(&[1, 2], &["a"], &["f1"], moved);
    let of_task = "arms do not agree on the task of 1 items: that of `i5` is `t1` in `baseline` and `t0` in `n=2`; \
                   they are counted where `baseline` has them";
    let told = study.run("").warnings().join("\n");
    assert!(told.contains(of_task) && !told.contains("cluster"), "{told}");
    let told = study.run("cluster: passage").warnings().join("\n");
    let of_cluster =
        "arms do not agree on the cluster of 1 items: that of `i3` is `p1` in `baseline` and `p0` in `n=2`";
    assert!(told.contains(of_cluster) && told.contains(of_task), "{told}");
}

#[test]
fn several_stages_are_arms_and_what_does_not_depend_on_a_factor_is_one() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    write(&study.lab, "base.parquet", &["f1"], &items(6, |item| Some(0.1 + 0.01 * item as f64)));
    let stages = "  base: { kind: table, params: { path: base.parquet } }\n  effects: { kind: compare, inputs: { base: \
                  'base[*]', tuned: 'scores[*]' }, params: { BASELINE } }\n";
    let ran = study.run_with(&stages.replace("BASELINE", ""));
    assert_eq!((ran.failures(), ran.warnings()), (vec![], vec![]));
    let found = study.rows("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(
        lines(&found, &["arm", "baseline", "factor", "level", "draws", "df"]),
        ["tuned | base | stage | tuned | 5 | 4.0", "tuned@n=2 | base | stage | tuned | 5 | 4.0"]
    );
    assert_eq!(
        lines(&study.rows("left_out", &[]), &["arm", "why"]),
        ["base@n=2 | the same rows as `base`: the stage does not depend on `n`"]
    );
    // As a table without draws it is the same in all of them.
    let ran = study.run_with(&stages.replace("BASELINE", "").replace("'base[*]'", "base"));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!(study.rows("effects", &[("question", "draws"), ("task", "all")]), found);

    study.run_with(&stages.replace("BASELINE", "baseline: tuned"));
    let found = study.rows("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(
        lines(&found, &["arm", "baseline", "factor", "level"]),
        ["base | tuned | stage | base", "tuned@n=2 | tuned | n | 2"]
    );
    let failure = study.run_with(&stages.replace("BASELINE", "baseline: 'tuned@n=3'")).failure();
    assert!(failure.contains("there is no arm `tuned@n=3` to be the baseline"), "{failure}");
}

#[test]
fn models_without_draws_are_asked_about_once() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    for name in ["base", "other"] {
        let of_items = items(6, |item| Some((name.len() + item) as f64 / 20.0));
        write(&study.lab, &format!("{name}.parquet"), &["f1"], &of_items);
    }
    study.run_with(
        "  base: { kind: table, params: { path: base.parquet } }\n  other: { kind: table, params: { path: \
         other.parquet } }\n  effects: { kind: compare, inputs: { base: 'base[*]', other: 'other[*]' } }\n",
    );
    let found = study.rows("effects", &[("task", "all")]);
    assert_eq!(
        lines(&found, &["question", "draw", "draws", "verdict"]),
        ["draws | - | 5 | not asked: draws do not differ", "items | draw=a | 5 | better"]
    );
}

#[test]
fn a_matrix_has_main_effects_and_interactions() {
    let lab = Lab::with(crate::registry());
    let draws = ["a", "b", "c", "d", "e"];
    for (n, k) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        for (place, draw) in draws.iter().enumerate() {
            // .1 for n, .02 for k, .06 more for both, each a little off in every draw.
            let off = 0.001 * (place as f64 - 2.0);
            let together = if n == 2 && k == 1 { 0.06 + off } else { 0.0 };
            let score = 0.1 * f64::from(n - 1) + 0.02 * f64::from(k) + together;
            let of_items = items(6, |item| Some(score + 0.05 * item as f64));
            write(&lab, &format!("{n}-{k}-{draw}.parquet"), &["f1"], &of_items);
        }
    }
    let ran = lab.run(
        "pipeline: p\nvars: { n: 1, k: 0, draw: a }\nmatrix: { n: [1, 2], k: [0, 1] }\nreplicate: { draw: [a, b, c, d, \
         e] }\nstages:\n  scores: { kind: table, params: { path: '${n}-${k}-${draw}.parquet' } }\n  effects: { kind: \
         compare, inputs: { predictions: 'scores[*]' } }\n",
    );
    assert_eq!(ran.failures(), [""; 0]);
    let found = rows(&lab, "contrasts", &[("question", "draws")]);
    assert_eq!(
        lines(&found, &["contrast", "factor", "level", "baseline_level", "draws", "verdict"]),
        [
            "main effect | k | 1 | 0 | 5 | better",
            "main effect | n | 2 | 1 | 5 | better",
            "interaction | k × n | 1 × 2 | 0 × 1 | 5 | above the sum"
        ]
    );
    for (row, expect) in found.iter().zip([0.02 + 0.03, 0.1 + 0.03, 0.06]) {
        close(row, "difference", expect, 1e-12);
    }
    // The standard deviation of the interaction is that of -2, -1, 0, 1, 2 thousandths.
    close(&found[2], "high", 0.06 + 2.776_445_1 * (2.5e-6_f64 / 5.0).sqrt(), 1e-9);
    assert_eq!(rows(&lab, "contrasts", &[("question", "items")]).len(), 3 * 5);
    let found = rows(&lab, "effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(lines(&found, &["factor", "level"]), ["k | 1", "n | 2", "k × n | 1 × 2"]);
}

#[test]
fn metrics_keep_their_signatures_and_are_not_compared_with_others() {
    let study = Study::new(&[1, 2], &FIVE, 6, rising);
    let row = |norm: &str| {
        format!("{{\"f1\": 0.5, \"f1_stderr\": 0.1, \"signature\": \"token_f1|norm:{norm}|v1; interval:b=2000\"}}\n")
    };
    let stages = "  sums: { kind: table, params: { path: '${n}.jsonl' } }\n  effects: { kind: compare, inputs: { \
                  predictions: 'scores[*]', signatures: 'sums[*]' } }\n";
    study.lab.write("1.jsonl", &row("squad1.1"));
    study.lab.write("2.jsonl", &row("squad1.1"));
    assert_eq!(study.run_with(stages).failures(), [""; 0]);
    for output in ["effects", "means"] {
        assert!(study.rows(output, &[]).iter().all(|row| row["signature"] == "token_f1|norm:squad1.1|v1"), "{output}");
    }
    study.lab.write("2.jsonl", &row("none"));
    let failure = study.run_with(stages).failure();
    assert!(failure.contains("`f1` is `token_f1|norm:squad1.1|v1` in `baseline` of"), "{failure}");
    assert!(failure.contains("and `token_f1|norm:none|v1` in `n=2"), "{failure}");
}
