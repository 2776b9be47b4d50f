//! Golden keys: the encoding of keys must not change by accident. A change needs a new `keys::FORMAT`, and new values
//! here.

use pipe_testing::Lab;

#[test]
fn keys_do_not_change() {
    let mut lab = Lab::new();
    lab.env("GREET", "hi ");
    lab.write("pool.txt", "b\na\nc\n");
    lab.run(
        "
pipeline: p
vars: { m: '!', n: 3 }
ablate: { m: ['!', '?'] }
stages:
  pool:  { kind: file, params: { path: pool.txt, greet: GREET } }
  rows:  { kind: lines, params: { lines: [x, y, x] } }
  loud:  { kind: upper, inputs: { in: pool }, params: { mark: '${m}' } }
  each:  { kind: map, inputs: { in: rows, side: pool } }
  some:  { kind: numbers, params: { count: '${n}' } }
  all:   { kind: concat, inputs: { a: 'loud[*]', b: each } }
",
    );
    let refs = lab.store.refs("p").unwrap();
    let keys: Vec<String> = refs
        .iter()
        .flat_map(|(variant, stages)| stages.iter().map(move |(stage, key)| format!("{stage}@{variant} {key}")))
        .collect();
    insta::assert_snapshot!(keys.join("\n"));
    let recipes: Vec<String> = ["each", "some"]
        .iter()
        .map(|stage| {
            let variant = refs.keys().next().unwrap();
            let manifest = lab.store.manifest(&refs[variant][*stage]).unwrap().unwrap();
            format!("{stage} {}", manifest.provenance.recipe.unwrap())
        })
        .collect();
    insta::assert_snapshot!(recipes.join("\n"));
}
