//! The page as text: nothing in it breaks out of its place, whatever the data is, and it stays small.

use pipe_report::{Arm, Comparison, Effect, Failure, Item, Mean, Metric, Report, Sample, html};
use serde_json::Value;
use study::{Size, study};

mod markup;
#[path = "../study/mod.rs"]
mod study;

const FOUR: Size = Size { arms: 4, draws: 5, items: 660 };

fn page(report: &Report) -> String {
    let page = html(report).unwrap();
    markup::check(&page);
    page
}

#[test]
fn four_arms_of_660_items_fit_into_one_and_a_half_megabytes() {
    let page = page(&study(FOUR));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert!(!page.contains("leaves out"));
    for id in
        ["forest-draws-0-0", "forest-items-0-0", "factor-0-0-0", "map-0-0", "variance-figure-0", "curve-0", "yield-0"]
    {
        assert!(page.contains(&format!("<figure id=\"{id}\">")), "{id}");
    }
    assert!(page.contains("<figure id=\"sharing-figure\">"));
}

#[test]
fn texts_as_long_as_they_may_be_change_little_of_that() {
    // The second is spelt out character by character.
    for (tail, most) in [(" very long".repeat(160), 1_500_000), ("\u{1}<&\u{202e}ß漢".repeat(120), 1_900_000)] {
        let page = page(&with_all_texts(&study(FOUR), &tail));
        assert!(page.len() < most, "{} bytes", page.len());
    }
}

#[test]
fn more_arms_do_not_make_a_page_that_hangs() {
    for (arms, draws, most) in [(12, 5, 1_700_000), (500, 3, 2_800_000)] {
        let page = page(&study(Size { arms, draws, items: 660 }));
        assert_eq!(page.contains("leaves out"), arms == 500, "{arms} arms");
        assert!(page.len() < most, "{arms} arms: {} bytes", page.len());
        assert!(page.matches("</tr>").count() < 2500);
    }
    let page = page(&study(Size { arms: 500, draws: 1, items: 20 }));
    for said in
        ["of 499 differences are drawn", "The first 40 of 500 arms are drawn", "Answers of the first 12 of 500 arms"]
    {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn the_logic_stays_small_enough_to_be_read() {
    let page = page(&Report::default());
    let logic = page.rsplit("<script").next().and_then(|rest| rest.split("</script>").next()).unwrap();
    assert!(logic.contains("use strict") && logic.len() < 15_100, "{} bytes", logic.len());
}

#[test]
fn the_same_data_makes_the_same_bytes() {
    assert_eq!(page(&study(FOUR)), page(&study(FOUR)));
}

/// Every text of a report with this behind it, but for words that the page knows.
fn with_all_texts(report: &Report, tail: &str) -> Report {
    fn change(value: &mut Value, tail: &str) {
        const KNOWN: [&str; 10] =
            ["draws", "items", "all", "improved", "regressed", "computed", "reused", "failed", "skipped", "better"];
        match value {
            Value::String(text) if !KNOWN.contains(&text.as_str()) && text.parse::<f64>().is_err() => {
                text.push_str(tail);
            }
            Value::Array(values) => values.iter_mut().for_each(|value| change(value, tail)),
            Value::Object(fields) => fields.values_mut().for_each(|value| change(value, tail)),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(report).unwrap();
    change(&mut value, tail);
    serde_json::from_value(value).unwrap()
}

#[test]
fn texts_of_others_are_inert() {
    let nasty = "</script></style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'><!--\
                 \u{2028}\u{0}\u{1b}\
                 \u{202e}{{ 7 * 7 }}{% raw %}&lt;";
    let mut report = study(Size { arms: 3, draws: 2, items: 12 });
    report.failures = vec![Failure { stage: "s".into(), variants: vec!["v".into()], ..Failure::default() }];
    let page = page(&with_all_texts(&report, nasty));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<!--\u{2028}"));
    assert!(!page.contains(['\u{0}', '\u{1b}', '\u{2028}', '\u{202e}']));
    // Nothing of it is a template, either.
    assert!(page.contains("{{ 7 * 7 }}") && !page.contains("49&lt;"));
}

#[test]
fn what_is_missing_is_no_panic_and_no_nan() {
    let arm = |name: &str| Arm { name: name.to_owned(), ..Arm::default() };
    let metric = Metric { name: "f1".to_owned(), ..Metric::default() };
    let nan = Some(f64::NAN);
    let about = Comparison { arms: vec![arm("a"), arm("b")], metrics: vec![metric], ..Comparison::default() };
    let effect = Effect { metric: "f1".into(), question: "draws".into(), task: "all".into(), ..Effect::default() };
    let (difference, low, high, p_holm) = (nan, nan, Some(f64::INFINITY), nan);
    let nans = Effect { arm: "b".into(), difference, low, high, p_holm, mean: nan, ..effect.clone() };
    let cases = [
        Comparison::default(),
        Comparison { arms: vec![arm("only")], ..Comparison::default() },
        Comparison { effects: vec![effect, nans], ..about.clone() },
        Comparison {
            items: vec![Item::default(), Item { scores: vec![vec![nan]], ..Item::default() }],
            samples: vec![Sample::default()],
            means: vec![Mean {
                metric: "f1".into(),
                arm: "b".into(),
                task: "all".into(),
                mean: nan,
                ..Mean::default()
            }],
            ..about
        },
    ];
    for comparison in cases {
        let report = Report { comparisons: vec![comparison], ..Report::default() };
        let page = page(&report);
        let shown = page.split("<script").next().unwrap();
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    }
    page(&Report::default());
    for (arms, draws, items) in [(1, 1, 1), (1, 5, 3), (2, 1, 0), (2, 1, 1), (3, 2, 1)] {
        page(&study(Size { arms, draws, items }));
    }
}

#[test]
fn p_never_stands_without_its_effect() {
    let metric = Metric { name: "f1".to_owned(), ..Metric::default() };
    let arms = ["a", "b"].map(|name| Arm { name: name.to_owned(), ..Arm::default() }).to_vec();
    let (question, task, arm) = ("draws".to_owned(), "all".to_owned(), "b".to_owned());
    let effect = Effect { metric: "f1".into(), question, task, arm, p_holm: Some(0.04567), ..Effect::default() };
    let shown = |effect: Effect| {
        let comparison = Comparison {
            metrics: vec![metric.clone()],
            arms: arms.clone(),
            effects: vec![effect],
            ..Comparison::default()
        };
        let page = page(&Report { comparisons: vec![comparison], ..Report::default() });
        page.split("<script").next().unwrap().contains(">0.046<")
    };
    assert!(shown(Effect { difference: Some(0.1), ..effect.clone() }));
    assert!(!shown(effect));
}

#[test]
fn a_failed_run_says_first_what_failed() {
    let mut report = study(Size { arms: 4, draws: 2, items: 6 });
    study::fail(&mut report);
    report.failures[0].variants = (0..9).map(|i| format!("arm {i}")).collect();
    let page = page(&report);
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words}"));
    assert!(at("the loss is not finite at step 12") < at("5,000 rows are better"));
    assert!(page.contains("arm 5 and 3 more"));
}

#[test]
fn confounds_are_loud_and_their_absence_is_said() {
    let none = "Parameters that differ besides the factor: none.";
    let mut report = study(Size { arms: 2, draws: 1, items: 4 });
    let page_of = |report: &Report| page(report);
    assert!(page_of(&report).contains(none));
    study::fail(&mut report);
    let page = page_of(&report);
    assert!(!page.contains(none) && page.matches("class=\"warning\"").count() == 2);
}
