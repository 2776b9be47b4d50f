//! The steps, in pipelines.

use pipe_engine::events::EventKind;
use pipe_testing::Lab;
use serde_json::{Value, json};

fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    lab.jsonl(
        "rows.jsonl",
        [
            json!({ "id": "a", "task": "qa", "output": "one two", "score": 2, "tags": ["x"], "meta": { "n": 1 } }),
            json!({ "id": "b", "task": "sum", "output": " ", "score": null, "tags": [], "meta": null }),
            json!({ "id": "c", "task": "qa", "output": "three", "score": 5, "tags": ["x", "y"], "meta": { "n": 3 } }),
            json!({ "id": "d", "task": "qa", "output": null, "score": 2, "tags": null, "meta": { "n": null } }),
        ],
    );
    lab.jsonl(
        "other.jsonl",
        [
            json!({ "id": "c", "gold": "3", "score": 0.5 }),
            json!({ "id": "a", "gold": "1", "score": 1.5 }),
            json!({ "id": null, "gold": "?", "score": 2.5 }),
            json!({ "id": "a", "gold": "1b", "score": 3.5 }),
        ],
    );
    lab
}

fn stages(steps: &str) -> String {
    format!(
        "  t: {{ kind: table, params: {{ path: rows.jsonl }} }}\n  o: {{ kind: table, params: {{ path: other.jsonl }} \
         }}\n  s:\n    kind: select\n    inputs: {{ rows: t, other: o }}\n    params: {{ steps: [{steps}] }}\n"
    )
}

fn rows(steps: &str) -> Vec<Value> {
    let lab = lab();
    assert_eq!(lab.run_stages(&stages(steps)).failures(), [""; 0], "{steps}");
    lab.rows("s")
}

/// A column of what comes out; null where it is missing.
fn column(steps: &str, name: &str) -> Vec<Value> {
    rows(steps).iter().map(|row| row.get(name).cloned().unwrap_or_default()).collect()
}

/// The failure, and what it advises.
fn fails(steps: &str) -> String {
    let told = lab().run_stages(&stages(steps)).pick(|e| match e {
        EventKind::Failed { error, help, .. } => Some(format!("{} [{}]", error.join(": "), help.as_deref()?)),
        _ => None,
    });
    assert_eq!(told.len(), 1, "{steps}: {told:?}");
    told[0].clone()
}

#[test]
fn a_second_table_that_no_step_takes_is_told() {
    let told = |steps: &str| lab().run_stages(&stages(steps)).warnings().join("\n");
    assert!(told("{ limit: 2 }").contains("no step takes the input `other`"));
    assert_eq!(told("{ join: { on: id, how: anti } }"), "");
}

#[test]
fn rows_are_filtered_and_empty_ones_left_out() {
    assert_eq!(column("{ filter: \"task == 'qa' and score is not none and score > 2\" }", "id"), ["c"]);
    assert_eq!(column("{ filter: \"'y' in (tags or []) or row_index == 1\" }", "id"), ["b", "c"]);
    assert_eq!(column("{ filter: \"row['meta'].n is none\" }, { keep: [id] }", "id"), ["d"]);
    assert_eq!(column("{ drop_empty: [output] }", "id"), ["a", "c"]);
    assert_eq!(column("{ drop_empty: [tags, score] }", "id"), ["a", "c"]);
    assert_eq!(column("{ filter: \"(output or '')|matches('^t.*e$')\" }", "id"), ["c"]);
    assert_eq!(column("{ filter: 'false' }", "id"), [""; 0]);
}

#[test]
fn what_has_no_order_is_not_compared() {
    for filter in ["score < 3", "score >= 3"] {
        let failure = fails(&format!("{{ filter: '{filter}' }}"));
        assert!(
            failure.contains("fails on row 2 (id `b`)") && failure.contains("compares none with number"),
            "{failure}"
        );
        assert!(failure.contains("test what may be missing"), "{failure}");
    }
    assert!(fails("{ filter: 'id > 3' }").contains("`>` compares string with number"));
    assert_eq!(column("{ filter: 'score is not none and score < 3' }", "id"), ["a", "d"]);
}

#[test]
fn columns_are_kept_renamed_and_computed() {
    let made = rows("{ keep: [score, id, output] }, { rename: { score: points, id: name } }, { drop: [output] }");
    assert_eq!(made[0], json!({ "points": 2, "name": "a" }));
    let set = "{ set: { words: \"(output or '')|wordcount\", origin: \"'hand'\", weight: 0.5, whole: 2, ok: true, \
               half: 'none if score is none else score / 2', copy: meta, id: \"id ~ '-' ~ row_index\" } }";
    let made = rows(&format!("{set}, {{ drop: [task, tags, output] }}"));
    assert_eq!(
        made[0],
        json!({ "id": "a-0", "score": 2, "meta": { "n": 1 }, "copy": { "n": 1 }, "half": 1.0,
        "ok": true, "origin": "hand", "weight": 0.5, "whole": 2, "words": 2 })
    );
    assert_eq!(made[1], json!({ "id": "b-1", "ok": true, "origin": "hand", "weight": 0.5, "whole": 2, "words": 0 }));
    // Both see what was there before the step.
    let swapped = rows("{ set: { id: task, task: id } }, { keep: [id, task] }");
    assert_eq!(swapped[0], json!({ "id": "qa", "task": "a" }));
    // Lists and objects are columns, too.
    let nested = rows("{ set: { all: \"[{'q': id, 'n': score or 0}]\" } }, { keep: [all] }");
    assert_eq!(nested[2], json!({ "all": [{ "q": "c", "n": 5 }] }));
}

#[test]
fn rows_are_sorted_drawn_and_counted() {
    assert_eq!(column("{ sort: [{ score: desc }, id] }", "id"), ["c", "a", "d", "b"]);
    assert_eq!(column("{ sort: [score] }", "id"), ["a", "d", "c", "b"]);
    assert_eq!(column("{ sort: [{ task: desc }] }", "id"), ["b", "a", "c", "d"], "equal rows keep their order");
    assert_eq!(column("{ limit: 2 }", "id"), ["a", "b"]);
    assert_eq!(column("{ limit: 20 }", "id").len(), 4);
    assert_eq!(column("{ distinct: [task] }", "id"), ["a", "b"]);
    assert_eq!(column("{ distinct: [task, score] }", "id"), ["a", "b", "c"]);
    assert_eq!(column("{ set: { zero: \"-0.0 if id == 'a' else 0.0\" } }, { distinct: [zero] }", "id"), ["a"]);
    let all = column("{ sample: { rows: 4, seed: 3 } }", "id");
    for n in 0..4 {
        assert_eq!(column(&format!("{{ sample: {{ rows: {n}, seed: 3 }} }}"), "id"), all[..n]);
    }
    assert_eq!(column("{ sample: { fraction: 0.5, seed: 3 } }", "id"), all[..2]);
    let draws: std::collections::BTreeSet<String> = (0..9)
        .map(|seed| format!("{:?}", column(&format!("{{ sample: {{ rows: 4, seed: {seed} }} }}"), "id")))
        .collect();
    assert!(draws.len() > 3, "{draws:?}");
    // The draw goes by rows, not by their places.
    assert_eq!(column("{ sort: [{ id: desc }] }, { sample: { rows: 2, seed: 3 } }", "id"), all[..2]);
}

#[test]
fn tables_are_joined_by_a_key() {
    let join =
        |more: &str| format!("{{ join: {{ on: id, columns: [gold], many: true{more} }} }}, {{ keep: [id, gold] }}");
    let pairs = |steps: &str| -> Vec<String> {
        rows(steps).iter().map(|row| format!("{}{}", row["id"], row.get("gold").unwrap_or(&json!(null)))).collect()
    };
    assert_eq!(pairs(&join("")), ["\"a\"\"1\"", "\"a\"\"1b\"", "\"c\"\"3\""]);
    assert_eq!(pairs(&join(", how: left")), ["\"a\"\"1\"", "\"a\"\"1b\"", "\"b\"null", "\"c\"\"3\"", "\"d\"null"]);
    assert_eq!(column("{ join: { on: id, how: anti } }", "id"), ["b", "d"]);
    // Numbers of different types are the same where they are equal; nulls are the same as nothing.
    assert_eq!(column("{ join: { on: { score: score }, how: anti } }", "id"), ["a", "b", "c", "d"]);
    let failure = fails("{ join: { on: id, columns: [gold] } }");
    assert!(
        failure.contains("the key `a` stands in rows 2 and 4 of the input `other` [with `many: true`"),
        "{failure}"
    );
    let failure = fails("{ join: { on: id, many: true } }");
    assert!(failure.contains("two columns would be called `score`"), "{failure}");
    let failure = fails("{ join: { on: { score: gold }, columns: [gold] } }");
    assert!(failure.contains("the key `score` is Int64 and `gold` of the input `other` Utf8"), "{failure}");
}

#[test]
fn tables_are_appended() {
    let made = rows("{ keep: [id, score] }, { set: { gold: id } }, { concatenate: strict }");
    assert_eq!((made.len(), &made[4]), (8, &json!({ "id": "c", "score": 0.5, "gold": "3" })));
    assert_eq!(made[0]["score"], json!(2.0));
    let filled = rows("{ concatenate: fill }");
    assert_eq!(filled[5], json!({ "id": "a", "score": 1.5, "gold": "1" }));
    assert!(
        fails("{ concatenate: strict }").contains("the input `other` has no column `task` [with `concatenate: fill`")
    );
    let failure = fails("{ set: { gold: score } }, { concatenate: fill }");
    assert!(failure.contains("column `gold` is Int64 here and Utf8 in `other`"), "{failure}");
}

#[test]
fn objects_meet_by_the_names_of_their_fields() {
    let lab = lab();
    let turn = |a: &str, b: &str| json!([{ a: "user", b: "Why?" }]);
    lab.jsonl("rows.jsonl", [json!({ "m": turn("role", "content"), "key": { "a": 1, "b": 2 }, "n": 1 })]);
    lab.jsonl("other.jsonl", [json!({ "m": turn("from", "value"), "key": { "a": 1, "c": 2 }, "n": 2 })]);
    let fails = |steps: &str| lab.run_stages(&stages(steps)).failure();
    let failure = fails("{ keep: [m] }, { concatenate: fill }");
    assert!(failure.contains("column `m` is List(") && failure.contains("in `other`"), "{failure}");
    assert!(fails("{ keep: [key] }, { concatenate: fill }").contains("column `key` is Struct("));
    assert!(fails("{ join: { on: key, how: anti } }").contains("the key `key` is Struct("));
    // The order of fields means nothing, in columns and in keys.
    lab.write(
        "other.jsonl",
        "{\"m\": [{\"content\": \"No.\", \"role\": \"user\"}], \"key\": {\"b\": 2, \"a\": 1}, \"x\": 3}\n",
    );
    assert_eq!(lab.run_stages(&stages("{ drop: [n] }, { concatenate: fill }")).failures(), [""; 0]);
    assert_eq!(lab.rows("s")[1]["m"], json!([{ "role": "user", "content": "No." }]));
    assert_eq!(lab.rows("s")[1]["key"], json!({ "a": 1, "b": 2 }));
    assert_eq!(lab.run_stages(&stages("{ join: { on: key, columns: [x] } }")).failures(), [""; 0]);
    assert_eq!(lab.rows("s")[0]["x"], 3);
}

#[test]
fn a_column_of_nulls_only_is_of_any_type() {
    let lab = lab();
    let full = json!({ "id": "a", "list": ["x"], "object": { "a": 1 }, "flag": true, "number": 1 });
    let bare = json!({ "id": null, "list": null, "object": null, "flag": null, "number": null });
    for (rows, other, null) in [(&full, &bare, 1), (&bare, &full, 0)] {
        lab.jsonl("rows.jsonl", [rows.clone()]);
        lab.jsonl("other.jsonl", [other.clone()]);
        assert_eq!(lab.run_stages(&stages("{ concatenate: strict }")).failures(), [""; 0]);
        let made = lab.rows("s");
        assert_eq!((&made[null], &made[1 - null]), (&json!({}), &full));
        for key in ["list", "object", "flag", "number"] {
            let join = format!("{{ join: {{ on: {key}, how: anti }} }}");
            assert_eq!(lab.run_stages(&stages(&join)).failures(), [""; 0], "{key}");
            assert_eq!(lab.rows("s").len(), 1, "{key}: null is the same as nothing");
        }
    }
}

#[test]
fn numbers_keep_their_digits() {
    let lab = lab();
    let long: i64 = (1 << 53) + 1;
    lab.jsonl("rows.jsonl", [json!({ "n": 1, "x": 0.5 }), json!({ "n": long, "x": 1.5 })]);
    lab.jsonl("other.jsonl", [json!({ "n": 1 })]);
    let run = |steps: &str| lab.run_stages(&stages(steps)).failures();
    for expression in ["x if row_index == 0 else n", "n if row_index == 1 else x", "[x, n][row_index]"] {
        let failures = run(&format!("{{ set: {{ y: '{expression}' }} }}"));
        assert!(failures.len() == 1 && failures[0].contains("gives 9007199254740993 for row 2"), "{failures:?}");
    }
    let wide = run("{ set: { y: 'n * n' } }");
    assert!(wide.len() == 1 && wide[0].contains("for row 2 that 64 bits do not hold"), "{wide:?}");
    assert_eq!(run("{ set: { y: n, z: '(n if row_index == 1 else x)|string' } }"), [""; 0]);
    assert_eq!((&lab.rows("s")[1]["y"], &lab.rows("s")[1]["z"]), (&json!(long), &json!("9007199254740993")));
    assert_eq!(run("{ set: { y: 'x if row_index == 0 else n - 1' } }"), [""; 0]);
    assert_eq!(lab.rows("s")[1]["y"], json!(9_007_199_254_740_992.0));
}

#[test]
fn every_row_may_have_patterns_of_its_own() {
    let patterns = "{ filter: \"id|matches('^[ab]') and id|matches('[bc]$')\" }";
    assert_eq!(column(patterns, "id"), ["b"]);
    assert_eq!(column("{ filter: \"task|matches('^' ~ task[:1])\" }", "id").len(), 4);
    assert!(fails("{ filter: \"id|matches('(')\" }").contains("fails on row 1"));
}

#[test]
fn what_fails_is_told_with_step_row_and_expression() {
    let check = |steps: &str, expect: &str| {
        let failure = fails(steps);
        assert!(failure.contains(expect), "{steps}: {failure}");
    };
    check(
        "{ limit: 3 }, { filter: 'scor > 1' }",
        "step 2 (`filter`): there is no column `scor`, which `scor > 1` names [did you mean `score`?",
    );
    check("{ set: { origin: hand } }", "a text stands in quotes of its own: \"'hand'\"");
    check("{ keep: [id, outputs] }", "step 1 (`keep`): there is no column `outputs` [did you mean `output`?");
    check("{ drop: [task] }, { sort: [task] }", "step 2 (`sort`): there is no column `task`");
    check("{ rename: { id: task } }", "two columns would be called `task`");
    check("{ filter: 'output.lower() == id' }", "`output.lower() == id` fails on row 4 (id `d`)");
    check("{ set: { x: 'tags[0]' } }", "fails on row 2 (id `b`)");
    check("{ set: { x: 'score or id' } }", "`score or id` gives a text for row 2 and a number for row 1");
    check("{ sample: { rows: 5 } }", "5 rows are asked for, and there are 4");
    check(
        "{ join: { on: id, columns: [golden] } }",
        "there is no column `golden` in the input `other` [did you mean `gold`?",
    );
}

#[test]
fn what_no_table_could_mend_is_told_before_a_run() {
    let check = |steps: &str, expect: &str| {
        let said = lab().problems(&stages(steps));
        assert!(said.contains(expect), "{steps}: {said}");
    };
    check("{ filter: 'score >' }", "`score >` is no expression: syntax error");
    check("{ set: { x: '(' } }", "`(` is no expression");
    check("{ sample: { seed: 1 } }", "a sample has either `rows` or a `fraction`");
    check("{ sort: [{ a: asc, b: desc }] }", "one column, with its direction, is an entry");
    check("{ keep: [] }", "no column is named");
    check("{ fliter: 'x' }", "has no parameter `fliter`");
    let alone = stages("{ join: { on: id } }").replace(", other: o", "");
    let said = lab().problems(&alone);
    assert!(said.contains("the input `other` of `s` is missing"), "{said}");
}
