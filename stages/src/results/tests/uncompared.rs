//! Stages with scores that no stage `compare` takes.

use super::*;

#[test]
fn stages_without_a_comparison_are_compared_by_themselves() {
    // Programs with scores: items in common make one study of two stages, others another.
    let lab = Lab::with(crate::registry());
    lab.jsonl("items.jsonl", (0..8).map(|i| json!({ "id": format!("i{i}"), "text": "x".repeat(i + 1) })));
    lab.jsonl("others.jsonl", (0..8).map(|i| json!({ "id": format!("o{i}"), "text": "y" })));
    let scores = |rows: &str, times: &str| {
        format!(
            "
    kind: command
    inputs: {{ rows: {rows} }}
    params:
      rows: each
      shell: sed 's/.*/{{\"long\":{times}.5}}/'
      outputs: {{ scored: {{ format: jsonl, columns: {{ long: float }} }} }}
      scores: [long]
"
        )
    };
    let yaml = format!(
        "pipeline: p
vars: {{ times: 1 }}
ablate: {{ times: [2] }}
stages:
  items: {{ kind: table, params: {{ path: items.jsonl }} }}
  others: {{ kind: table, params: {{ path: others.jsonl }} }}
  fixed: {}  ablated: {}  elsewhere: {}",
        scores("items", "3"),
        scores("items", "${times}"),
        scores("others", "1"),
    );
    gathered(&lab, &yaml, |gathered| {
        let names: Vec<&str> = gathered.results.studies.iter().map(|study| &*study.comparison.name).collect();
        assert_eq!(names, ["ablated, fixed", "elsewhere"], "{:?}", gathered.results.failures);
        let study = &gathered.results.studies[0];
        let arms: Vec<&str> = study.comparison.arms.iter().map(|arm| &*arm.name).collect();
        assert_eq!(arms, ["baseline", "times=2", "fixed"]);
        assert_eq!(study.not_compared, None);
        let alone = &gathered.results.studies[1];
        assert_eq!(alone.arms.len(), 1, "a stage that depends on no factor is one arm");
    });
}

#[test]
fn scores_of_rows_without_ids_are_shown_and_not_compared() {
    let lab = Lab::with(crate::registry());
    lab.jsonl("items.jsonl", (0..4).map(|i| json!({ "text": "x".repeat(i + 1) })));
    let yaml = "pipeline: p
vars: { times: 1 }
ablate: { times: [2] }
stages:
  items: { kind: table, params: { path: items.jsonl } }
  scored:
    kind: command
    inputs: { rows: items }
    params:
      rows: each
      shell: sed 's/.*/{\"long\":${times}.5}/'
      outputs: { scored: { format: jsonl, columns: { long: float } } }
      scores: [long]
";
    gathered(&lab, yaml, |gathered| {
        assert_eq!(gathered.results.failures, []);
        let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
        let means: Vec<Option<f64>> = study.arms.iter().map(|arm| arm.scores[0].mean).collect();
        assert_eq!(means, [Some(1.5), Some(2.5)]);
        assert!(study.not_compared.as_ref().is_some_and(|why| why.contains("no `id`")), "{study:?}");
    });
}

#[test]
fn what_all_texts_have_together_is_shown_and_bits_alone_are_compared() {
    let lab = Lab::with(crate::registry());
    let yaml = "pipeline: p
vars: { weights: f32 }
ablate: { weights: [nf4] }
stages:
  world: { kind: embedded_world, params: { seeds: 4, exam_items: 4 } }
  texts:
    kind: score
    inputs: { items: world.cards }
    params: { model: 'builtin:nano', output_type: loglikelihood_rolling, weights: '${weights}' }
";
    gathered(&lab, yaml, |gathered| {
        assert_eq!(gathered.results.failures, []);
        let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
        let [bits] = &study.comparison.metrics[..] else { panic!("{:?}", study.comparison.metrics) };
        assert!(bits.name == "bits_per_byte" && bits.lower_is_better, "{bits:?}");
        let mean: f64 = lab.rows("texts").iter().map(|row| row["bits_per_byte"].as_f64().unwrap()).sum();
        let (mean, own) =
            (mean / lab.rows("texts").len() as f64, lab.rows("texts.scores")[0]["bits_per_byte"].as_f64());
        assert!(study.arms[0].scores[0].mean == own && own != Some(mean), "{study:?}, {own:?}, {mean}");
        let effect = study.comparison.effects.iter().find(|e| e.task == "all" && e.question == "items").unwrap();
        let rises = effect.difference > Some(0.0);
        assert_ne!(effect.verdict, if rises { "better" } else { "worse" }, "{effect:?}");
        assert_ne!(effect.verdict, "not shown", "the texts are enough to tell them apart: {effect:?}");
    });
}

#[test]
fn scores_of_others_are_those_of_their_items_whatever_they_are_called() {
    let lab = Lab::with(crate::registry());
    for level in [1, 2] {
        let row = |i: i64| json!({ "id": format!("i{i}"), "word_perplexity": (10 * level + i) as f64 });
        lab.jsonl(&format!("{level}.jsonl"), (0..4).map(row));
    }
    let yaml = "pipeline: p
vars: { n: 1 }
ablate: { n: [2] }
stages:
  scores: { kind: table, params: { path: '${n}.jsonl', schema: { id: string, word_perplexity: float } } }
  effects: { kind: compare, inputs: { predictions: 'scores[*]' } }
";
    gathered(&lab, yaml, |gathered| {
        let [study] = &gathered.results.studies[..] else { panic!("{:?}", gathered.results) };
        let means: Vec<Option<f64>> = study.arms.iter().map(|arm| arm.scores[0].mean).collect();
        assert_eq!(means, [Some(11.5), Some(21.5)], "{study:?}");
    });
}
