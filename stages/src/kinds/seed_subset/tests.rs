use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::Int64Type,
};

use super::*;

fn table(rows: impl Iterator<Item = (String, String, String)>) -> RecordBatch {
    let (mut ids, mut tasks, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
    for (id, task, output) in rows {
        ids.push(id);
        tasks.push(task);
        outputs.push(output);
    }
    let column = |values| Arc::new(StringArray::from(values)) as ArrayRef;
    RecordBatch::try_from_iter([("id", column(ids)), ("task", column(tasks)), ("output", column(outputs))]).unwrap()
}

/// 200 rows: half of task `a`, three in ten of `b`, one in five of `c`.
fn pool() -> RecordBatch {
    let task = |i: usize| ["a", "a", "b", "a", "c", "a", "b", "a", "c", "b"][i % 10];
    table((0..200).map(|i| (format!("p{i}"), task(i).to_owned(), format!("the answer number {i} is {}", i * 7))))
}

fn foreign() -> RecordBatch {
    table((0..200).map(|i| (format!("f{i}"), "z".to_owned(), format!("foreign {i}"))))
}

fn params(json: serde_json::Value) -> SeedSubsetParams {
    serde_json::from_value(json).unwrap()
}

fn draw_with(json: serde_json::Value) -> Subset {
    draw(&params(json), &pool(), Some(&foreign())).unwrap()
}

fn texts(table: &RecordBatch, name: &str) -> Vec<String> {
    table.column_by_name(name).unwrap().as_string::<i32>().iter().map(|t| t.unwrap_or("-").to_owned()).collect()
}

#[test]
fn smaller_subsets_begin_larger_ones_in_every_quality() {
    for quality in ["expert", "noisy", "shuffled", "off_domain"] {
        for stratify_by in [serde_json::Value::Null, "task".into()] {
            let subset = |count: usize| {
                draw_with(serde_json::json!({
                    "count": count, "seed": 17, "quality": quality, "fraction": 0.3, "stratify_by": stratify_by
                }))
            };
            let all = subset(160);
            for count in [20, 40, 80] {
                let part = subset(count);
                assert_eq!(part.rows, all.rows.slice(0, count), "{quality}");
                let logged = part.corruptions.num_rows();
                assert_eq!(part.corruptions, all.corruptions.slice(0, logged), "{quality}");
            }
        }
    }
}

#[test]
fn the_declared_fraction_is_met_and_logged() {
    for (fraction, stratify_by) in [(0.0, None), (0.1, None), (0.25, Some("task")), (0.5, Some("task")), (1.0, None)] {
        for count in [20usize, 40, 160] {
            let subset = draw_with(serde_json::json!({
                "count": count, "quality": "off_domain", "fraction": fraction, "stratify_by": stratify_by
            }));
            let foreign = texts(&subset.rows, "id").iter().filter(|id| id.starts_with('f')).count();
            assert!((foreign as f64 - count as f64 * fraction).abs() <= 0.5, "{foreign} of {count} at {fraction}");
            let logged = texts(&subset.corruptions, "column").iter().filter(|c| *c == "output").count();
            assert_eq!((foreign, foreign as u64), (logged, subset.corrupted));
        }
    }
}

/// More strata than rows of one: the first row of each comes before the second of any.
#[test]
fn every_prefix_has_its_share_however_many_strata_there_are() {
    let pool = table((0..165).map(|i| (format!("p{i}"), format!("task {}", i % 33), format!("answer {i}"))));
    for allocation in [Allocation::Proportional, Allocation::Balanced] {
        for fraction in [0.1, 0.25, 0.5, 0.9] {
            let drawn = order::order(&pool, 0, Some(1), allocation, fraction).unwrap();
            let mut corrupted = 0;
            for (place, row) in drawn.iter().enumerate() {
                corrupted += usize::from(row.corrupt);
                let share = (place + 1) as f64 * fraction;
                assert!((corrupted as f64 - share).abs() <= 0.5 + 1e-9, "{corrupted} of {} at {fraction}", place + 1);
            }
        }
    }
}

/// Version 1 counted within strata, with a phase of (s + 1/2) / S, which is 1/2 for one stratum.
#[test]
fn without_strata_the_rows_are_those_of_version_1() {
    for fraction in [0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 1.0] {
        let drawn = order::order(&pool(), 17, None, Allocation::Proportional, fraction).unwrap();
        assert!(drawn.is_sorted_by_key(|row| row.digest));
        let until = |rank: usize| (rank as f64).mul_add(fraction, 0.5).floor();
        let before: Vec<bool> = (0..drawn.len()).map(|rank| until(rank + 1) > until(rank)).collect();
        assert_eq!(drawn.iter().map(|row| row.corrupt).collect::<Vec<_>>(), before, "{fraction}");
    }
}

#[test]
fn the_order_of_the_pool_does_not_matter_and_the_seed_does() {
    let pool = pool();
    let reversed =
        arrow::compute::take_record_batch(&pool, &(0..200u64).rev().collect::<arrow::array::UInt64Array>()).unwrap();
    let subset = |pool: &RecordBatch, seed: u64| {
        let params = params(serde_json::json!({ "count": 50, "seed": seed, "quality": "shuffled", "fraction": 0.5 }));
        draw(&params, pool, None).unwrap().rows
    };
    assert_eq!(subset(&pool, 1), subset(&reversed, 1));
    assert_ne!(subset(&pool, 1), subset(&pool, 2));
}

#[test]
fn strata_get_their_share() {
    let count_tasks = |allocation: &str| {
        let subset = draw_with(serde_json::json!({ "count": 30, "stratify_by": "task", "allocation": allocation }));
        let tasks = texts(&subset.rows, "task");
        ["a", "b", "c"].map(|task| tasks.iter().filter(|t| *t == task).count())
    };
    assert_eq!(count_tasks("proportional"), [15, 9, 6]);
    assert_eq!(count_tasks("balanced"), [10, 10, 10]);
}

#[test]
fn corruption_touches_only_what_it_says() {
    let expert = draw_with(serde_json::json!({ "count": 40 }));
    assert_eq!(expert.corruptions.num_rows(), 0);
    for quality in ["noisy", "shuffled"] {
        let subset = draw_with(serde_json::json!({ "count": 40, "quality": quality, "fraction": 0.5 }));
        for untouched in ["id", "task"] {
            assert_eq!(texts(&subset.rows, untouched), texts(&expert.rows, untouched));
        }
        let (before, after) = (texts(&expert.rows, "output"), texts(&subset.rows, "output"));
        let changed: Vec<usize> = (0..40).filter(|&i| before[i] != after[i]).collect();
        let positions = subset.corruptions.column(0).as_primitive::<Int64Type>().values().iter().map(|p| *p as usize);
        assert_eq!(changed, positions.collect::<Vec<_>>(), "{quality}");
        assert_eq!(changed.len(), 20);
        for (row, &i) in changed.iter().enumerate() {
            assert_eq!(texts(&subset.corruptions, "before")[row], before[i]);
            assert_eq!(texts(&subset.corruptions, "after")[row], after[i]);
            assert_eq!(texts(&subset.corruptions, "id")[row], texts(&expert.rows, "id")[i]);
        }
    }
}

#[test]
fn shuffled_answers_are_other_rows_answers() {
    let subset = draw_with(serde_json::json!({ "count": 100, "quality": "shuffled" }));
    let known = texts(&pool(), "output");
    for (source, after) in texts(&subset.corruptions, "source_id").iter().zip(texts(&subset.corruptions, "after")) {
        assert_eq!(known[source[1..].parse::<usize>().unwrap()], after);
    }
}

#[test]
fn mistakes_are_explained() {
    let check = |json: serde_json::Value, expect: &str| {
        let error =
            draw(&params(json), &pool(), Some(&table([].into_iter()))).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(error, expect);
    };
    check(serde_json::json!({"count": 201}), "201 rows are asked for, and the input `pool` has 200");
    check(serde_json::json!({"count": 2, "stratify_by": "tsk"}), "no column `tsk` in the input `pool`");
    check(serde_json::json!({"count": 2, "quality": "noisy", "columns": ["x"]}), "no column `x` in the input `pool`");
    check(
        serde_json::json!({"count": 4, "quality": "off_domain"}),
        "4 rows of the input `off_domain` are needed, and it has 0",
    );
}

/// One answer differs: whoever exchanges finds it, or the nearest other one, without a look at all that are the same.
#[test]
fn rows_that_nearly_all_hold_the_same_exchange_in_no_time() {
    let rows = 40_000;
    let pool = table((0..rows).map(|i| (format!("p{i}"), String::new(), format!("answer {}", i / (rows - 1)))));
    let asked = serde_json::json!({ "count": rows, "quality": "shuffled", "seed": 5 });
    let begun = std::time::Instant::now();
    let subset = draw(&params(asked), &pool, None).unwrap();
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    let odd = format!("p{}", rows - 1);
    let (ids, sources) = (texts(&subset.corruptions, "id"), texts(&subset.corruptions, "source_id"));
    assert_eq!(ids.len(), rows);
    assert!(ids.iter().zip(&sources).all(|(id, source)| (*id == odd) != (*source == odd)));
}

#[test]
fn an_allocation_without_tasks_is_told_to_change_nothing() {
    let lab = pipe_testing::Lab::with(crate::registry());
    lab.jsonl(
        "pool.jsonl",
        (0..6).map(|i| serde_json::json!({ "id": i, "task": format!("t{}", i % 2), "output": "a b c" })),
    );
    let told = |params: &str| {
        let ran = lab.run_stages(&format!(
            "  pool: {{ kind: table, params: {{ path: pool.jsonl }} }}\n  seeds: {{ kind: seed_subset, inputs: {{ \
             pool: pool }}, params: {{ count: 4, {params} }} }}\n"
        ));
        assert_eq!(ran.failures(), [""; 0]);
        ran.warnings().join("\n")
    };
    assert!(told("allocation: balanced").contains("changes nothing without `stratify_by`"));
    assert_eq!(told("allocation: balanced, stratify_by: task"), "");
    assert_eq!(told("allocation: proportional"), "");
}
