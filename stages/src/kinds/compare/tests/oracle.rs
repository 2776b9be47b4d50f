//! What pandas, SciPy and statsmodels say of a recorded study (`golden/make_compare.py`).

use std::collections::HashMap;

use serde_json::Value;

use super::*;

fn study() -> Study {
    let mut recorded: HashMap<(i64, String), Vec<Item>> = HashMap::new();
    for line in include_str!("../golden/scores.csv").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let item = Item {
            id: cells[2].into(),
            task: Some(cells[3].into()),
            passage: None,
            scores: cells[4..].iter().map(|cell| cell.parse().ok()).collect(),
        };
        recorded.entry((cells[0].parse().unwrap(), cells[1].to_owned())).or_default().push(item);
    }
    assert_eq!(recorded.values().map(Vec::len).collect::<Vec<_>>(), [40; 15]);
    Study::of(&[1, 2, 4], &["a", "b", "c", "d", "e"], &["f1", "right"], |level, draw| {
        recorded[&(level, draw.to_owned())].clone()
    })
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

#[test]
fn a_recorded_study_agrees_with_scipy_and_statsmodels() {
    let study = study();
    let ran = study.run("margins: { f1: 0.06, right: 0.06 }, bootstrap: { resamples: 20000, flips: 20000 }");
    assert_eq!(ran.failures(), [""; 0]);
    let golden: Value = serde_json::from_str(include_str!("../golden/compare.json")).unwrap();

    let draws = golden["draws"].as_array().unwrap();
    assert_eq!((draws.len(), study.rows("effects", &[("question", "draws")]).len()), (12, 12));
    for expect in draws {
        let wanted = ["metric", "task", "arm"].map(|name| (name, text(expect, name)));
        let found = study.row("effects", &[&[("question", "draws")], &wanted[..]].concat());
        for name in ["difference", "baseline_mean", "mean", "low", "high", "df", "p", "p_holm", "p_same"] {
            close(&found, name, number(expect, name), 1e-9);
        }
        let (p, same) = (number(expect, "p_holm"), number(expect, "p_same"));
        let verdict = match () {
            () if same < 0.05 => "same within ±0.06",
            () if p >= 0.05 => "not shown",
            () if number(expect, "difference") > 0.0 => "better",
            () => "worse",
        };
        assert_eq!(text(&found, "verdict"), verdict, "{found}");
    }

    let items = golden["items"].as_array().unwrap();
    assert_eq!(items.len(), 20);
    for expect in items {
        let (metric, arm, draw) = (text(expect, "metric"), text(expect, "arm"), text(expect, "draw"));
        let of = [("metric", metric), ("arm", arm), ("draw", draw)];
        let found = study.row("effects", &[&[("question", "items"), ("task", "all")], &of[..]].concat());
        for name in ["items", "improved", "regressed"] {
            assert_eq!(found[name], expect[name], "{name}: {found}");
        }
        close(&found, "difference", number(expect, "difference"), 1e-12);
        let (p, exact) = (number(expect, "p"), metric == "right");
        // Two samples of sign flips, of 20,000 and of 200,000.
        let within = if exact { 1e-12 } else { 5.0 * (p * (1.0 - p) / 20_000.0).sqrt() + 1e-4 };
        close(&found, "p", p, within);
        close(&found, "p_holm", number(expect, "p_holm"), 2.0 * within);
        assert_eq!(text(&found, "computed"), if exact { "McNemar, exact" } else { "sign flips, 20000" });
        // The percentile interval of 40 items is about that of the normal distribution.
        let reach = 1.96 * number(expect, "standard_error");
        close(&found, "low", number(expect, "difference") - reach, 0.3 * reach);
        close(&found, "high", number(expect, "difference") + reach, 0.3 * reach);
        let flips = study.rows("flips", &of);
        assert_eq!(flips.len() as u64, expect["improved"].as_u64().unwrap() + expect["regressed"].as_u64().unwrap());
        let largest = number(&flips[0], "difference").abs();
        assert!(flips.iter().all(|flip| number(flip, "difference").abs() <= largest));
        if let Some(id) = expect["largest"].as_str() {
            assert_eq!(text(&flips[0], "id"), id);
        }
    }
    for expect in golden["trends"].as_array().unwrap() {
        let found = study.row("trends", &[("metric", text(expect, "metric"))]);
        assert_eq!((text(&found, "per"), number(&found, "levels")), ("doubling", 3.0));
        close(&found, "slope", number(expect, "slope"), 1e-12);
        close(&found, "p", number(expect, "p"), 1e-9);
    }
    // Four cells of the table are empty, for both metrics.
    let left_out = study.rows("left_out", &[("metric", "f1")]);
    assert_eq!(
        lines(&left_out, &["arm", "draw", "id", "why"]),
        [
            "baseline | draw=a | i3 | no score",
            "n=2 | draw=b | i7 | no score",
            "n=4 | draw=b | i7 | no score",
            "n=4 | draw=e | i39 | no score"
        ]
    );
}
