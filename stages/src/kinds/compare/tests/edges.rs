//! What is missing, and what is too little.

use super::*;

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

fn plain(level: i64, draw: &str, item: usize) -> f64 {
    let place = FIVE.iter().position(|name| *name == draw).unwrap();
    0.1 * level as f64 + 0.02 * ((item * 7 + place * 3 + level as usize) % 5) as f64
}

#[test]
fn a_draw_that_an_arm_lacks_is_listed_and_the_verdict_goes_by_the_others() {
    let whole = Study::new(&[1, 2], &["a", "b", "c", "d"], 6, plain);
    whole.run("");
    let expect = whole.row("effects", &[("question", "draws"), ("task", "all")]);
    let study = Study::of(&[1, 2], &FIVE, &["f1"], |level, draw| {
        items(if level == 2 && draw == "e" { 0 } else { 6 }, |item| plain(level, draw, item))
    });
    let ran = study.run("");
    assert_eq!(ran.failures(), [""; 0]);
    assert!(ran.warnings()[0].contains("arms lack 1 draws and 0 items"), "{:?}", ran.warnings());
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    for name in ["difference", "baseline_mean", "mean", "low", "high", "df", "p", "verdict", "computed"] {
        assert_eq!(found[name], expect[name], "{name}");
    }
    assert_eq!(lines(std::slice::from_ref(&found), &["draws", "unpaired", "weak"]), ["4 | 1 | true"]);
    assert!(number(&found, "mixed_p") > 0.0 && expect["mixed_p"].is_null());
    assert_eq!(
        lines(&study.rows("left_out", &[]), &["metric", "arm", "draw", "id", "why"]),
        ["- | n=2 | draw=e | - | the arm has no item in this draw"]
    );
    let variance = study.row("variance", &[]);
    assert_eq!((number(&variance, "draws"), number(&variance, "draws_left_out")), (4.0, 1.0));
}

#[test]
fn items_and_scores_that_are_missing_are_counted_and_listed_one_by_one() {
    let study = Study::of(&[1, 2], &FIVE, &["f1"], |level, draw| {
        let mut of = items(6, |item| match (level, draw, item) {
            (2, "b", 1) => None,
            (1, "c", 2) => Some(f64::NAN),
            (2, "c", 3) => Some(f64::INFINITY),
            _ => Some(plain(level, draw, item)),
        });
        if (level, draw) == (2, "a") {
            of.remove(0);
        } else if (level, draw) == (1, "d") {
            of.remove(5);
        }
        of
    });
    let ran = study.run("");
    assert_eq!(ran.failures(), [""; 0]);
    assert!(
        ran.warnings()[0].contains("lack 0 draws and 2 items that others have, and 3 scores"),
        "{:?}",
        ran.warnings()
    );
    assert_eq!(
        lines(&study.rows("left_out", &[]), &["metric", "arm", "draw", "id", "why"]),
        [
            "- | n=2 | draw=a | i0 | the arm lacks the item",
            "f1 | n=2 | draw=b | i1 | no score",
            "f1 | baseline | draw=c | i2 | the score is NaN",
            "f1 | n=2 | draw=c | i3 | the score is infinite",
            "- | baseline | draw=d | i5 | the arm lacks the item",
        ]
    );
    let found = study.rows("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!(
        lines(&found, &["draw", "items", "unpaired"]),
        ["draw=a | 5 | 1", "draw=b | 5 | 1", "draw=c | 4 | 2", "draw=d | 5 | 1", "draw=e | 6 | 0"]
    );
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(lines(&[found], &["draws", "items", "unpaired"]), ["5 | 6 | 0"]);
    for output in ["effects", "means", "flips", "variance"] {
        for row in study.rows(output, &[]) {
            assert!(["difference", "mean", "p"].iter().all(|name| row.get(name).is_none_or(|v| !v.is_null())), "{row}");
        }
    }
}

#[test]
fn a_single_item_is_no_sample_of_items_and_may_be_one_of_draws() {
    let study = Study::new(&[1, 2], &FIVE, 1, |level, draw, item| plain(level, draw, item).powi(2));
    assert_eq!(study.run("").failures(), [""; 0]);
    let found = study.rows("effects", &[("question", "items"), ("task", "all")]);
    assert_eq!(lines(&found[..1], &["verdict", "items", "p", "low"]), ["not asked: too few items | 1 | - | -"]);
    let found = study.row("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(found["verdict"], "better");
    assert_eq!(study.row("variance", &[])["not_asked"], "too few items");
}

#[test]
fn without_an_item_nothing_is_asked() {
    let study = Study::new(&[1, 2], &FIVE, 0, plain);
    assert_eq!(study.run("").failures(), [""; 0]);
    assert_eq!(
        lines(&study.rows("effects", &[]), &["arm", "question", "verdict", "items"]),
        ["n=2 | draws | not asked: no draws | 0"]
    );
    assert_eq!(study.row("variance", &[])["not_asked"], "no draws");
    // An arm without an item stands beside those that have some.
    let study = Study::of(&[1, 2, 3], &["a"], &["f1"], |level, draw| {
        items(if level == 2 { 0 } else { 6 }, |item| plain(level, draw, item))
    });
    study.run("");
    let found = study.rows("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(lines(&found, &["arm", "verdict"]), ["n=2 | not asked: no draws", "n=3 | not asked: one draw"]);
    assert_eq!(lines(&study.rows("left_out", &[]), &["arm", "why"]), ["n=2 | the arm has no item in this draw"]);
}

#[test]
fn ids_that_stand_twice_or_are_missing_are_refused_with_their_rows() {
    let study = Study::of(&[1, 2], &["a"], &["f1"], |level, draw| {
        let mut of = items(4, |item| plain(level, draw, item));
        if level == 2 {
            of[3].id = "i1".into();
        }
        of
    });
    let failure = study.run("").failure();
    let expect = "rows 2 and 4 of the input `predictions` in the variant `n=2` have the same `id`, `i1`";
    assert!(failure.contains(expect), "{failure}");
    let failure = study.run("item: task").failure();
    assert!(
        failure.contains("rows 1 and 3 of the input `predictions` in the variant `baseline` have the same `task`"),
        "{failure}"
    );
    let failure = study.run("item: ids").failure();
    assert!(failure.contains("has no column `ids`"), "{failure}");
}

#[test]
fn arms_without_any_difference_are_an_answer() {
    let study = Study::new(&[1, 2, 3], &FIVE, 6, |_, draw, item| plain(1, draw, item));
    let ran = study.run("margins: { f1: 0.01 }");
    assert_eq!((ran.failures(), ran.warnings()), (vec![], vec![]));
    let found = study.rows("effects", &[("question", "draws"), ("task", "all")]);
    assert_eq!(
        lines(&found, &["arm", "difference", "p", "verdict"]),
        ["n=2 | 0.0 | 1.0 | same within ±0.01", "n=3 | 0.0 | 1.0 | same within ±0.01"]
    );
    assert!(study.rows("flips", &[]).is_empty());
}

#[test]
fn one_arm_and_metrics_that_are_none_are_refused() {
    let study = Study::new(&[1, 2], &["a"], 4, plain);
    let one = "  effects: { kind: compare, inputs: { predictions: scores } }\n";
    assert!(study.run_with(one).failures()[0].contains("there is one arm to compare"));
    assert!(study.run("metrics: [f2]").failure().contains("has no column of numbers `f2`"));
    for params in ["margins: { f2: 0.1 }", "lower_is_better: [f2]"] {
        assert!(study.run(params).failure().contains("`f2` is none of the metrics"), "{params}");
    }
    let problems = |params: &str| {
        let of = "  s: { kind: table, params: { path: 1-a.parquet } }\n  effects: { kind: compare, inputs: { a: s, \
                  b: s }, params: { PARAMS } }\n";
        study.lab.problems(&of.replace("PARAMS", params))
    };
    assert!(problems("metrics: [f1], margins: { f2: 0.1 }").contains("`f2` is none of the `metrics`"));
    assert!(problems("metrics: [f1, f1]").contains("`f1` stands here twice"));
    assert!(problems("margins: { f1: 0 }").contains("it must be above 0"));
    assert!(problems("alpha: 0.9").contains("it must lie between `alpha` and 1"));
    assert_eq!(problems(""), "");
}

#[test]
fn a_task_may_be_called_like_all_of_them() {
    let study = Study::of(&[1, 2], &["a"], &["f1"], |level, draw| {
        let mut of = items(4, |item| plain(level, draw, item));
        of[0].task = Some("all".into());
        of
    });
    study.run("");
    let found = study.rows("effects", &[("question", "items")]);
    assert_eq!(lines(&found, &["task", "items"]), ["all | 4", "all (task) | 1", "t0 | 1", "t1 | 2"]);
}

#[test]
fn a_column_that_is_broken_numbers_in_one_arm_alone_is_told() {
    let lab = Lab::with(crate::registry());
    let row = |id: &str, right: Value, f1: f64| serde_json::json!({ "id": id, "right": right, "f1": f1 });
    lab.jsonl("a.jsonl", [row("x", 0.5.into(), 0.5), row("y", 1.0.into(), 0.25)]);
    lab.jsonl("b.jsonl", [row("x", 1.into(), 0.5), row("y", 0.into(), 0.5)]);
    let told = |params: &str| {
        let ran = lab.run_stages(&format!(
            "  a: {{ kind: table, params: {{ path: a.jsonl }} }}
  b: {{ kind: table, params: {{ path: b.jsonl }} }}
  c: {{ kind: compare, inputs: {{ a: a, b: b }}, params: {{ bootstrap: {{ resamples: 50 }}{params} }} }}
"
        ));
        assert_eq!(ran.failures(), [""; 0]);
        ran.warnings().join("\n")
    };
    let said = "`right` has broken numbers in the input `a` and int64 in `b`: name it under `metrics` to compare it";
    assert!(told("").contains(said), "{}", told(""));
    assert!(!told(", metrics: [right, f1]").contains("broken"));
}
