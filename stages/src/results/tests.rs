//! Studies as people make them, gathered from a store.

mod uncompared;

use std::collections::BTreeMap;

use pipe_engine::{
    events::Event,
    execute::{RunOptions, run},
    pipeline::Pipeline,
};
use pipe_testing::Lab;
use serde_json::json;

use super::*;

/// Runs a pipeline as `pipe run --keep-going` does, and gathers what came out.
fn gathered<T>(lab: &Lab, yaml: &str, look: impl FnOnce(&Gathered<'_>) -> T) -> T {
    let pipeline = lab.pipeline(yaml);
    let heard = heard(lab, &pipeline);
    look(&Gathered::new(&pipeline, &lab.store, &lab.options.env, &heard).unwrap())
}

fn heard(lab: &Lab, pipeline: &Pipeline) -> Heard {
    let mut heard = Heard::default();
    let options = RunOptions { keep_going: true, ..lab.options.clone() };
    run(pipeline, &lab.store, &options, &mut |event: &Event| heard.event(event)).unwrap();
    heard
}

/// A lab with scored items in `<level>-<draw>.jsonl`.
fn lab(levels: &[i64], draws: &[&str], items: usize, score: impl Fn(i64, &str, usize) -> Option<f64>) -> Lab {
    let lab = Lab::with(crate::registry());
    for level in levels {
        for draw in draws {
            let row = |i: usize| {
                let task = format!("t{}", i % 2);
                json!({ "id": format!("i{i}"), "task": task, "f1": score(*level, draw, i) })
            };
            lab.jsonl(&format!("{level}-{draw}.jsonl"), (0..items).map(row));
        }
    }
    lab
}

/// Levels of `n` in draws, and a stage that compares them.
fn study(levels: &[i64], draws: &[&str]) -> String {
    let others = levels[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let replicate =
        if draws.len() > 1 { format!("replicate: {{ draw: [{}] }}\n", draws.join(", ")) } else { String::new() };
    format!(
        "pipeline: p\nabout: Is more better?\nvars: {{ n: {}, draw: {} }}\nablate: {{ n: [{others}] }}\n{replicate}\
         stages:\n  scores: {{ kind: table, params: {{ path: '${{n}}-${{draw}}.jsonl', schema: {{ id: string, task: \
         string, f1: float }} }} }}\n  effects: {{ kind: compare, inputs: {{ predictions: 'scores[*]' }} }}\n",
        levels[0], draws[0],
    )
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

fn rising(level: i64, draw: &str, item: usize) -> Option<f64> {
    let place = FIVE.iter().position(|name| *name == draw)? as f64;
    Some(0.2 + 0.01 * item as f64 + level as f64 * 0.01 * (place + 1.0))
}

#[test]
fn draws_that_agree_by_chance_weigh_as_many_as_they_are() {
    // Four draws of the second level have the very same scores, and the fifth others.
    let score = |level: i64, draw: &str, item: usize| {
        let place = FIVE.iter().position(|name| *name == draw)? as f64;
        let of_draw = if level == 1 { 0.01 * place } else { f64::from(u8::from(draw == "e")) * 0.5 };
        Some(0.2 + 0.01 * item as f64 + of_draw)
    };
    let lab = lab(&[1, 2], &FIVE, 6, score);
    gathered(&lab, &study(&[1, 2], &FIVE), |gathered| {
        let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
        let means: Vec<f64> = study.arms.iter().map(|arm| arm.scores[0].mean.unwrap()).collect();
        let effect = &study.comparison.effects[0];
        assert!((means[1] - (0.225 + 0.1)).abs() < 1e-12, "{means:?}");
        assert!((means[1] - means[0] - effect.difference.unwrap()).abs() < 1e-12, "{means:?} {effect:?}");
    });
}

#[test]
fn a_study_is_what_its_stage_has_found() {
    let lab = lab(&[1, 2], &FIVE, 6, rising);
    gathered(&lab, &study(&[1, 2], &FIVE), |gathered| {
        let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
        assert_eq!(gathered.results.question.as_deref(), Some("Is more better?"));
        assert_eq!((study.arms.len(), study.arms[1].draws, study.arms[1].items), (2, 5, 6));
        let means = study.arms[1].scores[0];
        // Of the draws' means 0.225 + 0.02 (1, 2, 3, 4, 5).
        assert!((means.mean.unwrap() - 0.285).abs() < 1e-12);
        assert!((means.standard_error.unwrap() - (0.001_f64 / 5.0).sqrt()).abs() < 1e-12);
        let effect = &study.comparison.effects[0];
        assert_eq!((&*effect.question, effect.draws, &*effect.verdict), ("draws", 5, "better"));
        let report = gathered.report(Made::default(), &|ms| ms.to_string()).unwrap();
        assert_eq!(report.answer.len(), 1);
        assert!(
            report.answer[0].starts_with("n=2 is better than baseline (n=1): f1 +0.030, 95 % interval"),
            "{:?}",
            report.answer
        );
        assert_eq!(report.stages.len(), 11);
        let html = html(&report).unwrap();
        assert!(html.contains("Is more better?"));
    });
}

#[test]
fn what_differs_is_read_from_the_records_of_all_stages_below() {
    let lab = Lab::with(crate::registry());
    lab.jsonl("rows.jsonl", (0..6).map(|i| json!({ "id": format!("i{i}"), "f1": 0.1 * f64::from(i) })));
    let yaml = "pipeline: p
vars: { n: 3, seed: 1 }
ablate: { size: { large: { n: 5, seed: 1 }, other: { n: 3, seed: 2 } } }
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  few: { kind: select, inputs: { rows: rows }, params: { steps: [{ sample: { rows: '${n}', seed: '${seed}' } }] } }
  effects: { kind: compare, inputs: { p: 'few[*]' } }
";
    gathered(&lab, yaml, |gathered| {
        let differing = &gathered.results.studies[0].comparison.differing;
        let told: BTreeMap<&str, (&[String], Option<&str>)> =
            differing.iter().map(|of| (&*of.parameter, (&of.values[..], of.factor.as_deref()))).collect();
        assert_eq!(told.len(), 2, "{differing:?}");
        assert_eq!(told["steps.0.sample.rows"], (&["3".to_owned(), "5".into(), "3".into()][..], Some("size")));
        assert_eq!(told["steps.0.sample.seed"].1, Some("size"));
    });
}

#[test]
fn an_arm_that_failed_is_named_and_the_others_are_compared() {
    let lab = lab(&[1, 2, 3], &["a"], 12, |level, _, item| Some(if level == 3 { 0.9 } else { 0.05 * item as f64 }));
    std::fs::remove_file(lab.path("2-a.jsonl")).unwrap();
    let yaml = study(&[1, 2, 3], &["a"]);
    gathered(&lab, &yaml, |gathered| {
        let [study] = &gathered.results.studies[..] else { panic!() };
        let arms: Vec<(&str, usize, usize)> = study
            .comparison
            .arms
            .iter()
            .zip(&study.arms)
            .map(|(arm, told)| (&*arm.name, told.draws, told.draws_missing))
            .collect();
        assert_eq!(arms, [("baseline", 1, 0), ("n=2", 0, 1), ("n=3", 1, 0)]);
        let over_items = |arm: &str| {
            study
                .comparison
                .effects
                .iter()
                .any(|e| e.arm == arm && e.question == "items" && e.task == "all" && e.verdict == "better")
        };
        assert!(over_items("n=3") && !over_items("n=2"));
        let left_out: Vec<(&str, &str)> = study.comparison.left_out.iter().map(|of| (&*of.arm, &*of.why)).collect();
        assert_eq!(left_out, [("n=2", "its stage has no result")]);
        let [failed] = &gathered.results.failures[..] else { panic!("{:?}", gathered.results.failures) };
        assert_eq!(
            (&*failed.stage, &*failed.state, &failed.variants[..]),
            ("scores", "failed", &["n=2".to_owned()][..])
        );
        assert!(failed.message.contains("2-a.jsonl"), "{}", failed.message);
        let page = html(&gathered.report(Made::default(), &|ms| ms.to_string()).unwrap()).unwrap();
        assert!(page.contains("2-a.jsonl"));
    });
    // The stage's own result says which arm is missing; with that arm it is another one.
    let partial = lab.digest("effects.left_out");
    lab.jsonl("2-a.jsonl", (0..12).map(|i| json!({ "id": format!("i{i}"), "task": "t0", "f1": 0.5 })));
    gathered(&lab, &yaml, |gathered| assert_eq!(gathered.results.failures, []));
    assert_ne!(lab.digest("effects.left_out"), partial);
}

#[test]
fn a_missing_baseline_stays_the_baseline() {
    let lab = lab(&[1, 2], &["a"], 6, |level, _, _| Some(level as f64));
    std::fs::remove_file(lab.path("1-a.jsonl")).unwrap();
    gathered(&lab, &study(&[1, 2], &["a"]), |gathered| {
        let comparison = &gathered.results.studies[0].comparison;
        assert_eq!((&*comparison.baseline, comparison.arms.len()), ("baseline", 2));
        assert!(comparison.effects.iter().all(|effect| effect.difference.is_none()), "{:?}", comparison.effects);
    });
}

#[test]
fn little_and_broken_data_are_told_and_nothing_panics() {
    let look = |levels: &[i64], draws: &[&str], items: usize, score: fn(i64, &str, usize) -> Option<f64>| {
        let lab = lab(levels, draws, items, score);
        gathered(&lab, &study(levels, draws), |gathered| {
            let report = gathered.report(Made::default(), &|ms| ms.to_string()).unwrap();
            assert!(!html(&report).unwrap().is_empty());
            gathered.results.studies.clone()
        })
    };
    let one = look(&[1, 2], &["a"], 1, rising);
    assert_eq!(one[0].arms[1].items, 1);
    assert!(one[0].comparison.effects.iter().all(|effect| effect.p.is_none()), "a single item is no sample");
    let none = look(&[1, 2], &["a"], 0, rising);
    assert!(none[0].arms.iter().all(|arm| arm.scores.iter().all(|score| score.mean.is_none())), "{none:?}");
    let broken =
        look(&[1, 2], &["a"], 6, |level, draw, item| rising(level, draw, item).filter(|_| level == 1 || item > 1));
    let left_out = &broken[0].comparison.left_out[0];
    assert_eq!(
        (left_out.items, &left_out.ids[..], &*left_out.why),
        (2, &["i0".to_owned(), "i1".into()][..], "no score")
    );
    assert_eq!(broken[0].comparison.effects.iter().find(|e| e.question == "items").unwrap().items, 4);
    let many: Vec<i64> = (1..=500).collect();
    let many = look(&many, &["a"], 3, rising);
    assert_eq!(many[0].arms.len(), 500);
}

#[test]
fn arms_without_any_result_are_said_to_have_none() {
    for (levels, expect) in [("[2]", "none of its arms has a result yet"), ("[2, 3]", "none of its arms")] {
        let lab = Lab::with(crate::registry());
        lab.jsonl("items.jsonl", (0..4).map(|i| json!({ "id": i, "text": "x" })));
        let yaml = format!(
            "pipeline: p
vars: {{ times: 1 }}
ablate: {{ times: {levels} }}
stages:
  items: {{ kind: table, params: {{ path: items.jsonl }} }}
  scored:
    kind: command
    inputs: {{ rows: items }}
    params:
      shell: exit ${{times}}
      outputs: {{ scored: {{ format: jsonl, columns: {{ long: float }} }} }}
      scores: [long]
  effects: {{ kind: compare, inputs: {{ p: 'scored[*]' }} }}
"
        );
        gathered(&lab, &yaml, |gathered| {
            let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
            assert!(study.not_compared.as_ref().is_some_and(|why| why.contains(expect)), "{study:?}");
        });
    }
}

#[test]
fn what_several_studies_examine_is_traced_once() {
    let lab = lab(&[1, 2], &["a", "b"], 6, rising);
    let yaml = study(&[1, 2], &["a", "b"]) + "  from_2: { like: effects, params: { baseline: n=2 } }\n";
    gathered(&lab, &yaml, |gathered| {
        assert_eq!(gathered.results.studies.len(), 2);
        let arms = |arm: Option<&str>| -> Vec<(String, String)> {
            let answers = gathered.trace("i0", arm).unwrap().answers;
            answers.into_iter().map(|answer| (answer.arm, answer.draw)).collect()
        };
        assert_eq!(arms(None).len(), 4, "{:?}", arms(None));
        assert_eq!(arms(Some("n=2")), [("n=2".into(), "draw=a".into()), ("n=2".into(), "draw=b".into())]);
        assert!(gathered.trace("nobody", None).unwrap().answers.is_empty());
    });
}

#[test]
fn a_page_says_nothing_of_records_that_it_was_not_shown() {
    let lab = lab(&[1, 2], &["a"], 6, rising);
    let yaml = study(&[1, 2], &["a"]) + "  page: { kind: report, inputs: { predictions: 'scores[*]' } }\n";
    let claim = "So say the key records";
    gathered(&lab, &yaml, |gathered| {
        let report = gathered.report(Made::default(), &|ms| ms.to_string()).unwrap();
        assert!(html(&report).unwrap().contains(claim));
    });
    let page = std::fs::read_to_string(lab.object("page").join("report.html")).unwrap();
    assert!(page.contains("n=2") && !page.contains(claim));
}

/// What opens doors, in texts of rows and in variables of the environment; parameters with such are refused before.
#[test]
fn no_credentials_stand_on_the_page() {
    let mut lab = Lab::with(crate::registry());
    lab.env("DOOR", "open-sesame");
    let row = |i: usize| json!({ "id": format!("i{i}"), "instruction": "see https://me:hunter2@host/a", "text": "x" });
    lab.jsonl("items.jsonl", (0..4).map(row));
    let yaml = "pipeline: p
stages:
  items: { kind: table, params: { path: items.jsonl } }
  scored:
    kind: command
    inputs: { rows: items }
    params:
      rows: each
      shell: sed 's/.*/{\"long\":1.5}/'
      env: [DOOR]
      outputs: { scored: { format: jsonl, columns: { long: float } } }
      scores: [long]
";
    gathered(&lab, yaml, |gathered| {
        assert_eq!(gathered.results.failures, []);
        let report = gathered.report(Made::default(), &|ms| ms.to_string()).unwrap();
        let sources = report.stages.iter().flat_map(|stage| &stage.sources);
        assert!(
            sources.into_iter().any(|(label, said)| label.contains("DOOR") && said == "set"),
            "{:?}",
            report.stages
        );
        let page = html(&report).unwrap();
        for secret in ["hunter2", "open-sesame"] {
            assert!(!page.contains(secret), "{secret}");
        }
        assert!(page.contains("***@host"), "the rest of an address stays");
    });
}
