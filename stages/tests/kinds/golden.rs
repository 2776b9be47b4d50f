//! What every kind makes of small inputs, with its version (I7): a changed output without a new version would be taken
//! for the old one.
//!
//! `golden.txt` has one line for each output: kind, version, output, and the digest of its content. Where a line is
//! wrong because an output was meant to change, raise the kind's VERSION, and write the file anew with
//! `PIPE_GOLDEN=write cargo test -p pipe-stages --test kinds golden`; that refuses, too, where a version is still the
//! same.

use std::{collections::BTreeMap, fs, path::Path};

use pipe_testing::Lab;
use serde_json::json;

/// Every kind once, on few rows. The models are the embedded one and what is trained from it.
const STAGES: &str = r#"
  world: { kind: embedded_world, params: { seeds: 12, exam_items: 6 } }
  texts: { kind: embedded_texts, params: { passages: 3, lists: 2, reading: 2, copies: 1 } }
  rows: { kind: table, params: { path: rows.jsonl } }
  subset: { kind: seed_subset, inputs: { pool: world.seeds }, params: { count: 6, quality: noisy, fraction: 0.5 } }
  new: { kind: generate, inputs: { seeds: subset }, params: { model: MODEL, count: 4, filters: { rouge_l: null } } }
  found: { kind: retrieve, inputs: { queries: new, corpus: world.cards }, params: { method: hybrid, embedder: lsa,
      dimensions: 8, top_k: 2 } }
  answers: { kind: respond, inputs: { instructions: found, seeds: subset }, params: { model: MODEL,
      num_demonstrations: 2, max_new_tokens: 24, filters: { truncated: false } } }
  taught: { kind: train, inputs: { examples: answers }, params: { model: MODEL, lora: { r: 2 }, budget: { steps: 2 },
      warmup_steps: 0 } }
  scores: { kind: evaluate, inputs: { items: rows, adapter: taught }, params: { model: MODEL, max_new_tokens: 8,
      bootstrap: { resamples: 50 } } }
  file: { kind: export, inputs: { adapter: taught }, params: { model: MODEL, dtype: float16 } }
  base: { kind: pretrain, inputs: { documents: texts }, params: { vocab_size: 270, max_seq_len: 48, batch_size: 4,
      warmup_steps: 1, architecture: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
      num_attention_heads: 2, max_position_embeddings: 48 } } }
  sorted: { kind: command, inputs: { rows: rows },
      params: { shell: "sort \"$PIPE_INPUT_rows\" > \"$PIPE_OUTPUT_sorted\"", input_format: jsonl,
      outputs: { sorted: { format: jsonl } } } }
"#;

/// `kind output -> (version, digest)`.
type Golden = BTreeMap<String, (u32, String)>;

fn read(path: &Path) -> Golden {
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [kind, version, output, digest] => {
            (format!("{kind} {output}"), (version.trim_start_matches('v').parse().unwrap(), digest.to_owned()))
        }
        _ => panic!("{line}"),
    };
    fs::read_to_string(path).unwrap_or_default().lines().map(line).collect()
}

#[test]
fn outputs_change_with_a_new_version_only() {
    let lab = Lab::with(pipe_stages::registry());
    let row = |i: usize| {
        let labels: &[&str] = if i.is_multiple_of(2) { &["yes", "no"] } else { &[] };
        json!({ "id": i, "task": format!("t{}", i % 2), "instruction": format!("Is item {i} a \
        thing?"), "output": "yes", "labels": labels })
    };
    lab.jsonl("rows.jsonl", (0..4).map(row));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stages = STAGES.replace("MODEL", &folder.join("../pipelines/models/nano").display().to_string());
    let ran = lab.run_stages(&stages);
    assert_eq!(ran.failures(), [""; 0]);

    let registry = pipe_stages::registry();
    let mut found = Golden::new();
    for stage in STAGES.lines().filter_map(|line| line.trim().split_once(": { kind: ")) {
        let (name, kind) = (stage.0, stage.1.split([',', ' ']).next().unwrap());
        let version = registry.get(kind).unwrap().version();
        for port in lab.ports(name) {
            found.insert(format!("{kind} {port}"), (version, lab.digest(&format!("{name}.{port}")).to_string()));
        }
    }
    for kind in registry.iter() {
        assert!(found.keys().any(|key| key.starts_with(&format!("{} ", kind.name()))), "{} has no golden", kind.name());
    }

    let path = folder.join("tests/kinds/golden.txt");
    let golden = read(&path);
    let changed: Vec<String> = found
        .iter()
        .filter_map(|(key, new)| Some((key, golden.get(key)?, new)))
        .filter(|(_, (version, digest), new)| *version == new.0 && *digest != new.1)
        .map(|(key, (version, _), _)| format!("{key} is another than before, and its kind is still version {version}"))
        .collect();
    assert!(changed.is_empty(), "raise VERSION:\n{}", changed.join("\n"));
    if std::env::var_os("PIPE_GOLDEN").is_some_and(|how| how == "write") {
        let line = |(key, (version, digest)): (&String, &(u32, String))| {
            let (kind, output) = key.split_once(' ').unwrap();
            format!("{kind} v{version} {output} {digest}\n")
        };
        fs::write(&path, found.iter().map(line).collect::<String>()).unwrap();
        return;
    }
    assert_eq!(found, golden, "write {} anew, as the top of this file says", path.display());
}
