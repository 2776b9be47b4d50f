//! From YAML text to `Pipeline`: cost per (variant, stage) pair, in three shapes. Run with `cargo bench -p pipe-engine
//! --bench resolve`.

use std::{fmt::Write as _, path::Path};

use divan::{Bencher, counter::ItemsCount};
use pipe_engine::{
    kind::Registry,
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec::load_with,
};
use pipe_testing::shapes;

fn main() {
    divan::main();
}

/// `variants` levels of one factor that enters half of `stages` chained stages.
fn ablation(variants: usize, stages: usize) -> String {
    let levels = (1..variants).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let factor = if variants > 1 { format!("ablate: {{ n: [{levels}] }}\n") } else { String::new() };
    let mut text = format!("pipeline: p\nvars: {{ n: 1000000, model: models/nano, seed: 17 }}\n{factor}stages:\n");
    text += "  s0: { kind: table, params: { path: seeds.jsonl } }\n";
    for i in 1..stages {
        let count = if i > stages / 2 || i + 1 == stages { "\"${n}\"" } else { "5" };
        let _ = writeln!(
            text,
            "  s{i}: {{ kind: generate, inputs: {{ seeds: s{} }}, params: {{ model: \"${{model}}\", count: {count}, \
             temperature: 0.9, stop: [\"###\"] }} }}",
            i - 1
        );
    }
    text.replace("model: models/nano, seed: 17", "model: models/nano")
}

fn run(text: &str, registry: &Registry) -> Pipeline {
    let spec = load_with(Path::new("p.yaml"), &|_| Ok(text.as_bytes().to_vec()));
    match resolve(&spec, registry, &Overrides::default()) {
        Ok(resolved) => resolved.pipeline,
        Err(problems) => panic!("{problems}"),
    }
}

fn bench(bencher: Bencher<'_, '_>, variants: usize, stages: usize) {
    let text = ablation(variants, stages);
    let registry = shapes::registry();
    let pipeline = run(&text, &registry);
    assert_eq!(pipeline.placements().count(), variants * stages);
    bencher.counter(ItemsCount::new(variants * stages)).bench_local(|| run(&text, &registry));
}

/// Few variants, many stages.
#[divan::bench(args = [10_000, 100_000])]
fn stages(bencher: Bencher<'_, '_>, pairs: usize) {
    bench(bencher, 1, pairs);
}

/// A hundred variants.
#[divan::bench(args = [10_000, 100_000])]
fn square(bencher: Bencher<'_, '_>, pairs: usize) {
    bench(bencher, 100, pairs / 100);
}

/// Many variants of ten stages.
#[divan::bench(args = [10_000, 100_000])]
fn variants(bencher: Bencher<'_, '_>, pairs: usize) {
    bench(bencher, pairs / 10, 10);
}
