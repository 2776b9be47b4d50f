use pipe_testing::Lab;
use serde_json::json;

fn lab() -> Lab {
    Lab::with(crate::registry())
}

#[test]
fn the_answers_of_a_model_scored_again_have_the_same_scores() {
    let lab = lab();
    let ran = lab.run_stages(
        "  world: { kind: embedded_world, params: { seeds: 4, exam_items: 8 } }
  asked:
    kind: evaluate
    inputs: { items: world.exam }
    params: { model: 'builtin:nano', max_new_tokens: 8, bootstrap: { resamples: 50 } }
  again: { kind: evaluate, inputs: { items: asked }, params: { predictions: prediction, bootstrap: { resamples: 50 } } }
",
    );
    assert_eq!(ran.failures(), [""; 0]);
    for output in ["predictions", "scores", "tasks", "yield"] {
        assert_eq!(lab.digest(&format!("again.{output}")), lab.digest(&format!("asked.{output}")), "{output}");
    }
}

#[test]
fn answers_of_other_people_are_scored_and_those_that_are_missing_counted() {
    let lab = lab();
    lab.jsonl(
        "answers.jsonl",
        [
            json!({ "id": "a", "output": "Paris", "said": " Paris. ", "task": "t", "labels": ["Paris", "Rome"] }),
            json!({ "id": "b", "output": "Rome", "said": null, "task": "t", "labels": ["Paris", "Rome"] }),
            json!({ "id": "c", "output": "Oslo", "said": "", "task": null, "labels": [] }),
            json!({ "id": "d", "output": null, "said": "Bern", "task": "t", "labels": [] }),
        ],
    );
    let ran = lab.run_stages(
        "  t: { kind: table, params: { path: answers.jsonl } }
  e: { kind: evaluate, inputs: { items: t }, params: { predictions: said, metrics: [exact_match] } }
",
    );
    assert_eq!(ran.failures(), [""; 0]);
    let rows = lab.rows("e");
    let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<Vec<_>>();
    assert_eq!(of("exact_match"), [json!(1.0), json!(0.0), json!(0.0), json!(null)]);
    assert_eq!(of("accuracy"), [json!(1.0), json!(0.0), json!(null), json!(null)]);
    assert_eq!(of("prediction"), ["Paris.", "", "", "Bern"]);
    // How a text ended is not made up.
    assert!(rows[0].get("finish_reason").is_none() && rows[0].get("prompt_tokens").is_none(), "{}", rows[0]);
    assert_eq!(lab.rows("e.scores")[0]["n"], 3);
    assert_eq!(
        lab.yields("e"),
        [("attempted", 4), ("no_reference", 1), ("no_prediction", 1), ("truncated", 0), ("empty", 1), ("answered", 1)]
            .map(|(name, n)| (name.to_owned(), n))
    );
    let told = ran.warnings().join("\n");
    assert!(told.contains("of 3 rows 1 had no answer among those that are given (row `b`"), "{told}");
}

#[test]
fn metrics_that_do_not_see_the_answers_say_so() {
    let lab = lab();
    lab.jsonl(
        "answers.jsonl",
        [
            json!({ "output": "Печень вырабатывает желчь", "said": "Желчь вырабатывает печень" }),
            json!({ "output": "肝脏产生胆汁。", "said": "胆汁由肝脏产生" }),
            json!({ "output": "naïve T cells", "said": "naïve T cells" }),
        ],
    );
    let evaluate = |params: &str| {
        lab.run_stages(&format!(
            "  t: {{ kind: table, params: {{ path: answers.jsonl }} }}
  e: {{ kind: evaluate, inputs: {{ items: t }}, params: {{ predictions: said, {params} }} }}
"
        ))
    };
    let ran = evaluate("metrics: [token_f1, rouge_l, exact_match]");
    let told = ran.warnings().join("\n");
    assert!(told.contains("`rouge_l` does not see most words of the right answers of 2 of 3 items"), "{told}");
    assert!(told.contains("such as `Печень вырабатывает желчь`: `rouge_l_unicode` sees"), "{told}");
    assert!(told.contains("`token_f1` does not see most words of the right answers of 1 of 3 items"), "{told}");
    assert!(!told.contains("exact_match"), "{told}");
    assert_eq!(lab.rows("e").iter().map(|row| row["rouge_l"].clone()).collect::<Vec<_>>(), [0.0, 0.0, 1.0]);

    let ran = evaluate("metrics: [token_f1, rouge_l_unicode], normalizer: unicode");
    assert_eq!(ran.warnings(), [""; 0]);
    let rows = lab.rows("e");
    let of = |column: &str| rows.iter().map(|row| row[column].as_f64().unwrap()).collect::<Vec<_>>();
    for (metric, expect) in [("token_f1", [1.0, 12.0 / 13.0, 1.0]), ("rouge_l_unicode", [1.0 / 3.0, 8.0 / 13.0, 1.0])] {
        let close = of(metric).iter().zip(expect).all(|(score, expect)| (score - expect).abs() < 1e-12);
        assert!(close, "{metric}: {:?}", of(metric));
    }
}

#[test]
fn too_many_missing_answers_are_an_error_and_so_is_a_column_that_is_none() {
    let lab = lab();
    lab.jsonl(
        "answers.jsonl",
        [
            json!({ "id": "a", "output": "Paris", "said": null, "n": 1 }),
            json!({ "id": "b", "output": "Rome", "said": null, "n": 2 }),
        ],
    );
    let stages = |column: &str| {
        format!(
            "  t: {{ kind: table, params: {{ path: answers.jsonl, schema: {{ said: string }} }} }}\n  e: {{ kind: \
             evaluate, inputs: {{ items: t }}, params: {{ predictions: {column} }} }}\n"
        )
    };
    let failure = lab.run_stages(&stages("said")).failure();
    assert!(failure.contains("more than `max_refused: 0.5` allows"), "{failure}");
    let failure = lab.run_stages(&stages("sayd")).failure();
    assert!(failure.contains("no column `sayd`"), "{failure}");
    let failure = lab.run_stages(&stages("n")).failure();
    assert!(failure.contains("column `n` of the input `items` is Int64 where text is wanted"), "{failure}");
}

#[test]
fn what_is_for_a_model_has_no_place_beside_given_answers() {
    let lab = lab();
    lab.jsonl("answers.jsonl", [json!({ "output": "Paris", "said": "Paris" })]);
    for (given, said) in [
        ("predictions: said, model: 'builtin:nano'", "`model`"),
        ("predictions: said, temperature: 0.7", "`temperature`"),
        ("predictions: said, num_fewshot: 2", "`num_fewshot`"),
        ("predictions: said, domain: geography", "`domain`"),
    ] {
        let problems = lab.problems(&format!(
            "  t: {{ kind: table, params: {{ path: answers.jsonl }} }}\n  e: {{ kind: evaluate, inputs: {{ items: t \
             }}, params: {{ {given} }} }}\n"
        ));
        assert!(problems.contains("is for a model that is asked") && problems.contains(said), "{given}: {problems}");
    }
    let adapter = lab.problems(
        "  t: { kind: table, params: { path: answers.jsonl } }
  e: { kind: evaluate, inputs: { items: t, adapter: t }, params: { predictions: said } }
",
    );
    assert!(adapter.contains("adapter"), "{adapter}");
    // What is said of answers is meant.
    let fine = "  t: { kind: table, params: { path: answers.jsonl } }
  e:
    kind: evaluate
    inputs: { items: t }
    params: { predictions: said, metrics: [rouge_l], normalizer: lowercase, max_refused: 0.1, reasoning: off }
";
    assert_eq!(lab.problems(fine), "");
}
