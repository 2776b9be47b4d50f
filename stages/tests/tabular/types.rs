//! Which types columns have, and which rows come out.

use std::fs;

use pipe_stages::tabular::{Format, ReadOptions, read};

use super::{Files, Kept, check, json, long, options};

#[test]
fn jsonl_types_hold_all_values() {
    check(
        &[(
            "a.jsonl",
            r#"{"id": 1, "x": 1, "tags": [], "meta": {"a": null}}
               {"id": 2, "x": 1.5, "tags": ["t"], "meta": {"a": 1, "b": [{"c": true}]}, "late": "here"}

               {"id": 3, "none": null}"#,
        )],
        json! {},
        r#"id: Int64
           x: Float64
           tags: List(Utf8)
           meta: Struct("a": Int64, "b": List(Struct("c": Boolean)))
           late: Utf8
           none: Utf8
           {"id":1,"x":1.0,"tags":[],"meta":{}}
           {"id":2,"x":1.5,"tags":["t"],"meta":{"a":1,"b":[{"c":true}]},"late":"here"}
           {"id":3}"#,
    );
}

#[test]
fn declared_types_take_what_inference_refuses() {
    check(
        &[(
            "a.jsonl",
            "{\"v\": 1, \"j\": {\"a\": [1, \"x\"]}, \"f\": 2}\n{\"v\": \"two\", \"j\": \"s\", \"f\": null}\n{\"v\": \
             [3], \"j\": null}",
        )],
        json! { "schema": { "v": "string", "j": "json", "f": "float" } },
        r#"v: Utf8
           j: Utf8
           f: Float64
           {"v":"1","j":"{\"a\": [1, \"x\"]}","f":2.0}
           {"v":"two","j":"\"s\""}
           {"v":"[3]"}"#,
    );
}

#[test]
fn columns_are_selected_renamed_and_limited() {
    check(
        &[
            ("a.jsonl", "{\"a\": 1, \"b\": 2, \"mixed\": 1}\n{\"b\": 4, \"a\": 3, \"mixed\": \"x\"}\n"),
            ("b.jsonl", "{\"a\": 5, \"b\": 6}"),
        ],
        json! { "columns": ["b", "a"], "rename": { "a": "z" }, "limit": 3 },
        "b: Int64\nz: Int64\n{\"b\":2,\"z\":1}\n{\"b\":4,\"z\":3}\n{\"b\":6,\"z\":5}",
    );
    check(
        &[("a.csv", "a,b\n1,x\n2,y\n3,z\n")],
        json! { "limit": 2 },
        "a: Int64\nb: Utf8\n{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}",
    );
}

#[test]
fn a_limit_hides_what_comes_after_it() {
    check(
        &[("a.jsonl", "{\"a\": 1}\n{\"a\": \"text\", \"b\": 2}\nnonsense")],
        json! { "limit": 1 },
        "a: Int64\n{\"a\":1}",
    );
}

#[test]
fn documents_hold_rows_in_arrays_and_objects() {
    check(&[("a.json", "[{\"a\": 1},\n {\"a\": 2}]")], json! {}, "a: Int64\n{\"a\":1}\n{\"a\":2}");
    check(
        &[("a.json", r#"{"k1": {"a": 1}, "k2": {"a": 2}}"#)],
        json! {},
        "key: Utf8\na: Int64\n{\"key\":\"k1\",\"a\":1}\n{\"key\":\"k2\",\"a\":2}",
    );
    check(
        &[("a.json", r#"{"1": "yes", "2": "no"}"#)],
        json! {},
        "key: Utf8\nvalue: Utf8\n{\"key\":\"1\",\"value\":\"yes\"}\n{\"key\":\"2\",\"value\":\"no\"}",
    );
    check(
        &[("a.json", r#"{"n": 2, "data": {"items": ["x", "y"]}}"#)],
        json! { "rows_at": "/data/items" },
        "value: Utf8\n{\"value\":\"x\"}\n{\"value\":\"y\"}",
    );
}

#[test]
fn delimited_text_is_typed_without_losing_characters() {
    check(
        &[
            ("a.csv", "id,n,x,flag,code,note\n1,1,1.5,true,007,\"a \"\"b\"\", c\"\n2,,2,false,8,\n"),
            ("b.csv", "note,id,n,x,flag,code\nlast,3,7,3,True,9\n"),
        ],
        json! {},
        r#"id: Int64
           n: Int64
           x: Float64
           flag: Boolean
           code: Utf8
           note: Utf8
           {"id":1,"n":1,"x":1.5,"flag":true,"code":"007","note":"a \"b\", c"}
           {"id":2,"x":2.0,"flag":false,"code":"8"}
           {"id":3,"n":7,"x":3.0,"flag":true,"code":"9","note":"last"}"#,
    );
    check(
        &[("a.tsv", "\u{feff}a\tb\n1\tx,y\n")],
        json! { "schema": { "a": "string" } },
        "a: Utf8\nb: Utf8\n{\"a\":\"1\",\"b\":\"x,y\"}",
    );
}

#[test]
fn text_is_read_by_line_or_by_file() {
    check(
        &[("a.txt", "one\r\n\nthree"), ("b.txt", "four\n")],
        json! {},
        "text: Utf8\n{\"text\":\"one\"}\n{\"text\":\"\"}\n{\"text\":\"three\"}\n{\"text\":\"four\"}",
    );
    check(
        &[("a.txt", "one\ntwo"), ("b.txt", "x")],
        json! { "whole_files": true },
        "file: Utf8\ntext: Utf8\n{\"file\":\"a.txt\",\"text\":\"one\\ntwo\"}\n{\"file\":\"b.txt\",\"text\":\"x\"}",
    );
}

#[test]
fn parquet_passes_through() {
    let files = Files::new(&[("a.jsonl", b"{\"a\": 1, \"b\": [\"x\"]}\n{\"a\": 2, \"b\": []}")]);
    let table = files.read(&ReadOptions::default()).unwrap().table();
    let path = files.dir.path().join("a.parquet");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).unwrap(), table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    let mut kept = Kept::default();
    let paths = [path.clone(), path];
    let given = options(json! { "rename": { "a": "n" }, "limit": 3 });
    assert_eq!(read(&paths, Format::Parquet, &given, &mut kept).unwrap(), 3);
    assert_eq!(
        kept.text(),
        "n: Int64\nb: List(Utf8)\n{\"n\":1,\"b\":[\"x\"]}\n{\"n\":2,\"b\":[]}\n{\"n\":1,\"b\":[\"x\"]}\n"
    );
}

#[test]
fn a_late_surprise_widens_the_types_of_all_rows() {
    let files = Files::new(&[("a.jsonl", &long(r#"{"id": 7, "x": 0.5, "new": true}"#))]);
    let kept = files.read(&ReadOptions::default()).unwrap();
    assert_eq!(kept.begun, 2, "the first guess was wrong");
    let table = kept.table();
    let types: Vec<String> =
        table.schema().fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
    assert_eq!(types, ["id: Int64", "text: Utf8", "x: Float64", "new: Boolean"]);
    assert_eq!(table.num_rows(), 40 * rayon::current_num_threads() + 1);
}

#[test]
fn an_empty_table_keeps_its_declared_columns() {
    let files = Files::new(&[("a.jsonl", b"")]);
    let table = files.read(&options(json! { "schema": { "b": "int", "a": "string" } })).unwrap().table();
    let names: Vec<_> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!((names, table.num_rows()), (vec!["a".to_owned(), "b".to_owned()], 0));
    check(&[("a.csv", "x,y\n")], json! { "schema": { "y": "int" } }, "x: Utf8\ny: Int64");
    let files = Files::new(&[("a.csv", b"x\n")]);
    assert_eq!(files.error(&options(json! { "schema": { "y": "int" } })), "no column `y` in a.csv [columns: `x`]");
}
