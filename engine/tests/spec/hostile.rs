//! Files made to hurt are refused, quickly.

use std::time::{Duration, Instant};

use crate::support::{problems, resolve_files};

/// The time is that of a test build on a busy machine; a release build takes a tenth.
fn quickly(text: &str) -> String {
    let start = Instant::now();
    let problems = problems(text);
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
    problems
}

#[test]
fn alias_bombs() {
    let mut text = "pipeline: p\nvars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text += &format!("  a{i}: &a{i} [{list}]\n");
    }
    assert_eq!(quickly(&text), "p.yaml:7:42: anchors and aliases stand for more than 100000 values");
    let many = format!("pipeline: p\nvars:\n  a: &a [{}]\n  b: [{}]\n", "x, ".repeat(900), "*a, ".repeat(200));
    assert!(quickly(&many).contains("anchors and aliases stand for more than 100000 values"));
}

#[test]
fn include_alias_bomb() {
    let bomb = format!(
        "vars:\n  a: &a [{}]\n  b: &b [{}]\n  c: [{}]\n",
        "x, ".repeat(100),
        "*a, ".repeat(100),
        "*b, ".repeat(100)
    );
    let start = Instant::now();
    let Err(problems) = resolve_files(&[("p.yaml", "pipeline: p\ninclude: bomb.yaml\n"), ("bomb.yaml", &bomb)], &[])
    else {
        panic!("it resolves")
    };
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(problems.to_string().starts_with("bomb.yaml:4:"), "{problems}");
}

#[test]
fn nested_anchors() {
    let text = format!("vars: {}{}{}", "&a [".repeat(60), "x, ".repeat(20_000), "]".repeat(60));
    assert!(quickly(&text).contains("anchors and aliases stand for more than"));
}

#[test]
fn deep_nesting() {
    let deep = "values are nested more than 64 deep";
    let check = |open: &str, close: &str| {
        let text = format!("pipeline: p\nvars: {}{}", open.repeat(10_000), close.repeat(10_000));
        assert!(quickly(&text).contains(deep), "{open}: {}", problems(&text));
    };
    check("[", "]");
    check("{ a: ", "}");
    check("[", "");
    assert!(quickly(&"- ".repeat(10_000)).contains(deep));
    assert!(quickly(&"? ".repeat(10_000)).contains(deep));
    let blocks: String = (0..2_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(quickly(&blocks).contains(deep));
}

#[test]
fn deep_aliases() {
    let mut text = "vars:\n  a0: &a0 [x]\n".to_owned();
    for i in 1..70 {
        text += &format!("  a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(quickly(&text).contains("values are nested more than 64 deep"));
}

#[test]
fn large_files() {
    let text = format!("pipeline: p\n# {}\n", "x".repeat(17 << 20));
    assert_eq!(problems(&text), "p.yaml:1:1: the file is larger than 16 MiB");
}

#[test]
fn repeated_keys_are_not_repeated_for_ever() {
    let text = format!("pipeline: p\n{}", "a: 1\n".repeat(50_000));
    assert_eq!(quickly(&text).matches("given twice").count(), 10);
}

#[test]
fn very_many_problems_are_told_in_time() {
    let stages: String = (0..500).map(|i| format!("  s{i}: {{ kind: sample, inputs: {{ pool: x{i} }} }}\n")).collect();
    let start = Instant::now();
    let problems = problems(&format!("pipeline: p\nstages:\n{stages}"));
    assert!(problems.lines().count() > 500);
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}

#[test]
fn long_chains() {
    let mut text = "pipeline: p\nstages:\n  s0: { kind: table, params: { path: a } }\n".to_owned();
    for i in 1..5_000 {
        text += &format!("  s{i}: {{ kind: sample, inputs: {{ pool: s{} }}, params: {{ count: 1 }} }}\n", i - 1);
    }
    let pipeline = resolve_files(&[("p.yaml", &text)], &[]).unwrap_or_else(|p| panic!("{p}")).pipeline;
    assert_eq!(pipeline.graph.node_count(), 5_000);
}

#[test]
fn harmless_oddities_are_read() {
    let check = |text: &str| {
        resolve_files(&[("p.yaml", text)], &[]).unwrap_or_else(|p| panic!("{text:?}: {p}"));
    };
    check("\u{feff}pipeline: p\nstages: {}\n");
    check("pipeline: p\r\nstages:\r\n  t:\r\n    kind: table\r\n    params: { path: a }\r\n");
    check("--- # a document\npipeline: p\nstages:\n...\n");
    check("pipeline: p\nstages: { t: { kind: table, params: { path: a } } }");
    check("%YAML 1.2\n---\npipeline: p\nstages: {}\n");
    check(
        "pipeline: p\nvars: { base: &b { path: x }, date: 2024-01-02 }\nstages: { t: { kind: table, params: { <<: *b, format: csv } }, u: { kind: table, params: { path: '${date}' } } }\n",
    );
    check("{\"pipeline\": \"p\",\n\t\"stages\": {\"t\": {\"kind\": \"table\", \"params\": {\"path\": \"a\"}}}}");
}
