//! Files made to hurt are refused, quickly.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{problems, resolve_files};

/// The time is that of a test build on a busy machine; a release build takes a tenth.
fn quickly(text: &str) -> String {
    let start = Instant::now();
    let problems = problems(text);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
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
    assert_eq!(problems(&text), "p.yaml is larger than 16 MiB");
}

#[test]
fn many_values() {
    let text = format!("pipeline: p\nvars: {{ a: [{}] }}\n", "x,".repeat(2_100_000));
    assert!(problems(&text).contains("the file holds more than 2000000 keys and values"));
}

#[test]
fn aliases_of_long_texts() {
    let text = format!("vars:\n  a: &a {}\n  b: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(50_000));
    assert!(quickly(&text).contains("anchors and aliases stand for more than"));
}

#[test]
fn variables_that_double() {
    let doubling = |first: &str, next: &dyn Fn(usize) -> String| {
        let vars: String = (1..41).map(|i| format!("  a{i}: {}\n", next(i - 1))).collect();
        format!(
            "pipeline: p\nvars:\n  a0: {first}\n{vars}stages:\n  t: {{ kind: table, params: {{ path: \"${{a40}}\" }} \
             }}\n"
        )
    };
    let check = |text: &str| {
        let problems = quickly(text);
        assert!(problems.contains("variables make a value larger than 200000"), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    };
    check(&doubling("[x]", &|i| format!("[\"${{a{i}}}\", \"${{a{i}}}\"]")));
    check(&doubling("x", &|i| format!("\"${{a{i}}}${{a{i}}}\"")));
    check(&doubling("{ b: 1 }", &|i| format!("{{ b: \"${{a{i}}}\", c: \"${{a{i}}}\" }}")));
    // Not one value, but many.
    let large = "x".repeat(150_000);
    let stages: String =
        (0..400).map(|i| format!("  t{i}: {{ kind: table, params: {{ path: \"${{a}}{i}\" }} }}\n")).collect();
    let many = quickly(&format!("pipeline: p\nvars: {{ a: {large} }}\nstages:\n{stages}"));
    assert!(many.contains("variables make all values together larger than 50000000"), "{many:.300}");
}

#[test]
fn includes_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", path("link")).unwrap();
    std::fs::File::create(path("large")).unwrap().set_len(1 << 40).unwrap();
    let check = |include: &str, expect: &str| {
        std::fs::write(path("p.yaml"), format!("pipeline: p\ninclude: {include}\n")).unwrap();
        let start = Instant::now();
        let spec = pipe_engine::spec::load(&path("p.yaml"));
        let messages: Vec<&str> = spec.problems.iter().map(|p| p.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].contains(expect), "{include}: {messages:?}");
        assert_eq!(spec.problems[0].places.len(), 1, "it is located");
        assert!(start.elapsed() < Duration::from_secs(5));
    };
    check("/dev/zero", "it is a device, a pipe or a socket, and no file");
    check("link", "it is a device, a pipe or a socket, and no file");
    check("fifo", "it is a device, a pipe or a socket, and no file");
    check("folder", "it is a directory");
    check("large", "is larger than 16 MiB");
    // The file that is run is read in the same way.
    let spec = pipe_engine::spec::load(Path::new("/dev/zero"));
    assert!(spec.problems[0].message.contains("it is a device"), "{:?}", spec.problems);
}

/// Four times as much takes about four times as long, on a machine that does other things meanwhile; sixteen times
/// would be the square.
fn grows_with(text: &dyn Fn(usize) -> String, n: usize) {
    let time = |text: &str| {
        let once = || {
            let start = Instant::now();
            drop(resolve_files(&[("p.yaml", text)], &[]));
            start.elapsed()
        };
        once().min(once())
    };
    let (few, many) = (time(&text(n)), time(&text(4 * n)));
    assert!(many < few * 10 + Duration::from_millis(50), "{n}: {few:?}, {}: {many:?}", 4 * n);
}

#[test]
fn costs_are_linear() {
    let lines = |n: usize, line: &dyn Fn(usize) -> String| (0..n).map(line).collect::<String>();
    let stages = |n, line: &dyn Fn(usize) -> String| {
        format!("pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: a }} }}\n{}", lines(n, line))
    };
    grows_with(&|n| format!("pipeline: p\nvars:\n{}stages: {{}}\n", lines(n, &|i| format!("  a{i}: {i}\n"))), 5_000);
    grows_with(&|n| stages(n, &|i| format!("  s{i}: {{ kind: table, params: {{ path: a{i} }} }}\n")), 2_000);
    grows_with(&|n| stages(n, &|i| format!("  s{i}: {{ like: t, params: {{ path: a{i} }} }}\n")), 2_000);
    // Problems, too, and variables that refer to each other.
    grows_with(&|n| stages(n, &|i| format!("  s{i}: {{ kind: table, params: {{ path: {i} }} }}\n")), 2_000);
    grows_with(
        &|n| {
            format!(
                "pipeline: p\nvars:\n  a0: 1\n{}stages: {{}}\n",
                lines(n, &|i| format!("  a{}: \"${{a{i}}}\"\n", i + 1))
            )
        },
        2_000,
    );
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
        "pipeline: p\nvars: { base: &b { path: x }, date: 2024-01-02 }\nstages: { t: { kind: table, params: { <<: *b, \
         format: csv } }, u: { kind: table, params: { path: '${date}' } } }\n",
    );
    check("{\"pipeline\": \"p\",\n\t\"stages\": {\"t\": {\"kind\": \"table\", \"params\": {\"path\": \"a\"}}}}");
}
