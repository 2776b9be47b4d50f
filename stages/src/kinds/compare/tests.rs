use pipe_testing::Lab;
use serde_json::{Value, json};

/// A study with a made-up score: `score(level, draw, item)`.
fn study(levels: &[i64], draws: &[&str], items: usize, score: impl Fn(i64, &str, usize) -> Option<f64>) -> Lab {
    let lab = Lab::with(crate::registry());
    for level in levels {
        for draw in draws {
            let row = |item: usize| json!({ "id": format!("i{item}"), "task": format!("t{}", item % 2), "f1": score(*level, draw, item) });
            lab.jsonl(&format!("{level}-{draw}.jsonl"), (0..items).map(row));
        }
    }
    lab
}

fn pipeline(levels: &[i64], draws: &[&str], params: &str) -> String {
    let list = |all: &[&str]| all.join(", ");
    let others: Vec<String> = levels[1..].iter().map(ToString::to_string).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let replicate = match draws {
        [_] => String::new(),
        [_, rest @ ..] => format!("replicate: {{ draw: [{}] }}\n", list(rest)),
        [] => unreachable!(),
    };
    format!(
        "pipeline: p\nvars: {{ n: {}, draw: {} }}\nablate: {{ n: [{}] }}\n{replicate}stages:\n  scores: {{ kind: table, \
         params: {{ path: \"${{n}}-${{draw}}.jsonl\", id: id, schema: {{ f1: float }} }} }}\n  effects: {{ kind: \
         compare, inputs: {{ predictions: \"scores[*]\" }}, params: {{ {params} }} }}\n",
        levels[0],
        draws[0],
        list(&others),
    )
}

fn rows(lab: &Lab, output: &str, wanted: &[(&str, &str)]) -> Vec<Value> {
    let all = lab.rows(&format!("effects.{output}"));
    all.into_iter().filter(|row| wanted.iter().all(|(name, value)| row[*name] == *value)).collect()
}
