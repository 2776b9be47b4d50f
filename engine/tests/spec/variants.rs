//! Factors to variants.

use crate::support::{problems, resolve_files, resolved};

/// The variants' names for some factors, over `vars: { n: 5, m: a, seed: 17, x: 0 }`.
fn names(factors: &str) -> Vec<String> {
    let text = format!(
        "pipeline: p\nvars: {{ n: 5, m: a, seed: 17, x: 0 }}\n{factors}\nstages:\n  \
         t: {{ kind: table, params: {{ path: '${{n}}${{m}}${{seed}}${{x}}' }} }}\n"
    );
    resolved(&text).variants.into_iter().map(|v| v.name).collect()
}

#[test]
fn expansion() {
    let check = |factors: &str, expect: &[&str]| assert_eq!(names(factors), expect, "{factors}");
    check("", &["baseline"]);
    check("ablate: { n: [1, 10] }", &["baseline", "n=1", "n=10"]);
    // The baseline's own value makes no second variant.
    check("ablate: { n: [1, 5, 10] }", &["baseline", "n=1", "n=10"]);
    check("ablate: { n: [1, 5.0] }", &["baseline", "n=1"]);
    // Each factor alone.
    check("ablate: { n: [1], m: [b, c] }", &["baseline", "n=1", "m=b", "m=c"]);
    // Every combination; the baseline is there only if its values are.
    check("matrix: { n: [1, 5], m: [a, b] }", &["baseline", "n=1", "n=1,m=b", "m=b"]);
    check("matrix: { n: [1, 2], m: [b, c] }", &["n=1,m=b", "n=1,m=c", "n=2,m=b", "n=2,m=c"]);
    // Every variant again.
    check("replicate: { seed: [17, 18] }", &["baseline", "seed=18"]);
    check("replicate: { seed: [1, 2] }", &["seed=1", "seed=2"]);
    check("ablate: { n: [1] }\nreplicate: { seed: [18, 17] }", &["baseline", "seed=18", "n=1,seed=18", "n=1"]);
    // All three multiply.
    check(
        "replicate: { seed: [17, 18] }\nmatrix: { m: [a, b] }\nablate: { n: [1] }",
        &["baseline", "seed=18", "m=b", "m=b,seed=18", "n=1", "n=1,seed=18", "n=1,m=b", "n=1,m=b,seed=18"],
    );
    // Named levels set several variables; a level equal to the baseline is the baseline.
    check(
        "ablate: { budget: { short: { n: 1, x: 1 }, usual: { n: 5, x: 0 }, long: { n: 50 } } }",
        &["baseline", "budget=short", "budget=long"],
    );
}

#[test]
fn names_of_many_factors_are_cut() {
    let vars: Vec<String> = (0..20).map(|i| format!("variable_number_{i}")).collect();
    let define = vars.iter().map(|v| format!("{v}: 0")).collect::<Vec<_>>().join(", ");
    let vary = vars.iter().map(|v| format!("{v}: [1]")).collect::<Vec<_>>().join(", ");
    let path: String = vars.iter().map(|v| format!("${{{v}}}")).collect();
    let text = format!(
        "pipeline: p\nvars: {{ {define} }}\nmatrix: {{ {vary} }}\nstages: {{ t: {{ kind: table, params: {{ path: \
         '{path}' }} }} }}\n"
    );
    assert_eq!(resolved(&text).variants[0].name.len(), 160);
}

const TEXT: &str = "\
pipeline: p
vars: { n: 5, model: a, dir: \"data/${model}\", seed: 17 }
ablate: { n: [1], size: { small: { model: b } } }
replicate: { seed: [17, 18] }
stages:
  t: { kind: table, params: { path: '${dir}${n}${seed}' } }
";

#[test]
fn variants_know_their_factors_and_variables() {
    let pipeline = resolved(TEXT);
    let rows: Vec<String> = pipeline
        .variants
        .iter()
        .map(|v| {
            let factors = serde_json::to_string(&v.factors).unwrap();
            let vars = serde_json::to_string(&v.vars).unwrap();
            format!("{} | {} | {factors} | {vars}", v.name, v.arm)
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    baseline | baseline | {"n":5,"size":"baseline","seed":17} | {"n":5,"model":"a","dir":"data/a","seed":17}
    seed=18 | baseline | {"n":5,"size":"baseline","seed":18} | {"n":5,"model":"a","dir":"data/a","seed":18}
    n=1 | n=1 | {"n":1,"size":"baseline","seed":17} | {"n":1,"model":"a","dir":"data/a","seed":17}
    n=1,seed=18 | n=1 | {"n":1,"size":"baseline","seed":18} | {"n":1,"model":"a","dir":"data/a","seed":18}
    size=small | size=small | {"n":5,"size":"small","seed":17} | {"n":5,"model":"b","dir":"data/b","seed":17}
    size=small,seed=18 | size=small | {"n":5,"size":"small","seed":18} | {"n":5,"model":"b","dir":"data/b","seed":18}
    "#);
}

#[test]
fn set_moves_the_baseline() {
    let names = |set: &[&str]| -> Vec<String> {
        let resolved = resolve_files(&[("p.yaml", TEXT)], set).unwrap_or_else(|p| panic!("{p}"));
        resolved.pipeline.variants.into_iter().map(|v| v.name).collect()
    };
    assert_eq!(names(&["n=1"]), ["baseline", "seed=18", "size=small", "size=small,seed=18"]);
    assert_eq!(names(&["n=2", "model=b"]), ["baseline", "seed=18", "n=1", "n=1,seed=18"]);
    assert_eq!(names(&["n=2", "n=1"])[2], "size=small", "the last one counts");
}

#[test]
fn a_set_that_every_variant_replaces_is_a_warning() {
    let resolved = resolve_files(&[("p.yaml", TEXT)], &["seed=5"]).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(resolved.warnings.to_string(), "--set:1:1: setting `seed` changes nothing");
}

#[test]
fn many_variants_are_refused_before_they_are_made() {
    let levels = (0..1000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let text = format!(
        "pipeline: p\nvars: {{ a: 0, b: 0, c: 0 }}\nmatrix: {{ a: [{levels}], b: [{levels}], c: [{levels}] }}\n\
         stages: {{ t: {{ kind: table, params: {{ path: '${{a}}${{b}}${{c}}' }} }} }}\n"
    );
    let start = std::time::Instant::now();
    assert_eq!(problems(&text), "p.yaml:3:11: the factors make more than 100000 variants");
    assert!(start.elapsed().as_millis() < 500);
}
