//! `pipe doctor`, and what a run says of stages that drop most of their rows.

use crate::TestEnvironment;

const STUDY: &str = "pipeline: p
stages:
  world: { kind: embedded_world, params: { seeds: 24, exam_items: 12 } }
  new:
    kind: generate
    inputs: { seeds: world.seeds }
    params:
      model: builtin:nano
      count: 12
      max_new_tokens: 48
      filters: { rouge_l: null, min_words: 3, forbidden_words: [] }
  answers:
    kind: respond
    inputs: { instructions: new, seeds: world.seeds }
    params: { model: builtin:nano, num_demonstrations: 1, max_new_tokens: 1 }
  adapter:
    kind: train
    inputs: { examples: world.seeds }
    params: { model: builtin:nano, lora: { r: 2 }, budget: { steps: 2 } }
  scores:
    kind: evaluate
    inputs: { items: world.exam, adapter: adapter }
    params: { model: builtin:nano, max_new_tokens: 24 }
";

#[test]
fn the_weak_link_of_a_study_is_named() {
    let project = TestEnvironment::with(&[("p.yaml", STUDY)]);
    let nothing = project.pipe(&["doctor", "p.yaml"]);
    assert_ne!(nothing.code, Some(0));
    assert!(nothing.stderr.contains("no stage has a result to look at"), "{}", nothing.stderr);

    let ran = project.ok(&["run", "p.yaml", "--no-report"]);
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("more than half of the 12 answers were dropped"), "{}", ran.stderr);
    assert!(said.contains("truncated, for example: `") && said.contains("raise `max_new_tokens`"), "{}", ran.stderr);

    let doctor = project.ok(&["doctor", "p.yaml"]).stdout;
    assert!(doctor.contains("the weak link: answers, rows dropped: "), "{doctor}");
    assert!(doctor.contains("looked at as well:") && doctor.contains("instructions alike"), "{doctor}");
    let json = project.json(&["doctor", "p.yaml", "--format", "json"]);
    let signs = json.as_array().unwrap();
    let weak: Vec<&str> =
        signs.iter().filter(|sign| sign["weak"] == true).filter_map(|s| s["stage"].as_str()).collect();
    assert!(weak.contains(&"answers") && !weak.contains(&"new"), "{json}");
    assert!(signs.iter().any(|sign| sign["stage"] == "adapter" && sign["what"] == "loss"), "{json}");
}
