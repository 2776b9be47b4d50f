//! What every kind makes of little, held against what stands in its file, with its version (I7): a changed output
//! without a new version would be taken for the old one.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use pipe_testing::Lab;
use serde_json::json;

/// One kind's stage in a pipeline of all kinds, and what comes out. Where the test says that an output is another:
/// raise the kind's VERSION if that was meant, and write down what the test says.
pub(crate) struct Golden {
    /// The stage but for its kind, which is its name, too. `table` has four rows with the columns of an exam; MODEL is
    /// the embedded model, ENCODER a small model that embeds.
    pub stage: &'static str,
    /// The VERSION of the kind that made the outputs.
    pub version: u32,
    /// Every output, with the digest of its content.
    pub outputs: &'static [(&'static str, &'static str)],
}

#[test]
fn outputs_change_with_a_new_version_only() {
    let lab = Lab::with(crate::registry());
    let row = |i: usize| {
        let labels: &[&str] = if i.is_multiple_of(2) { &["yes", "no"] } else { &[] };
        json!({ "id": i, "task": format!("t{}", i % 2), "instruction": format!("Is item {i} a \
        thing?"), "output": "yes", "labels": labels })
    };
    lab.jsonl("rows.jsonl", (0..4).map(row));
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/models/nano").display().to_string();
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lm/tests/golden/bert").display().to_string();
    let registry = crate::registry();
    let mut stages = String::new();
    for (kind, golden) in registry.iter().zip(crate::GOLDENS) {
        let rest = golden.stage.replace("MODEL", &model).replace("ENCODER", &encoder);
        writeln!(stages, "  {0}: {{ kind: {0}, {rest} }}", kind.name()).unwrap();
    }
    assert_eq!(lab.run_stages(&stages).failures(), [""; 0]);

    let mut wrong = Vec::new();
    for (kind, golden) in registry.iter().zip(crate::GOLDENS) {
        let name = kind.name();
        let digest = |port: &String| (port.clone(), lab.digest(&format!("{name}.{port}")).to_string());
        let made: BTreeMap<String, String> = lab.ports(name).iter().map(digest).collect();
        let expected: BTreeMap<_, _> = golden.outputs.iter().map(|&(p, d)| (p.to_owned(), d.to_owned())).collect();
        let changed = expected.iter().any(|(port, digest)| made.get(port).is_some_and(|now| now != digest));
        if changed && golden.version == kind.version() {
            wrong.push(format!("{name} makes something else than before, and is still version {}", golden.version));
        } else if made != expected || golden.version != kind.version() {
            let mut text = format!("{name}: write\n    version: {},\n    outputs: &[\n", kind.version());
            for (port, digest) in made {
                writeln!(text, "        (\"{port}\", \"{digest}\"),").unwrap();
            }
            wrong.push(text + "    ],");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
