//! Numbers and quotes: what would lose characters stays text, or is refused; also where it comes late.

use pipe_stages::tabular::ReadOptions;

use super::{Files, check, error_of, json};

/// A CSV file whose first rows, more than types are guessed from, do not let on what comes last.
fn late_csv(usual: &str, last: &str) -> String {
    let rows = 2 * 4096 * rayon::current_num_threads() + 10;
    format!("x\n{}{last}\n", format!("{usual}\n").repeat(rows))
}

#[test]
fn what_would_lose_characters_stays_text() {
    check(
        &[(
            "a.csv",
            "id,b,x,l,w,y\n32E0134,123456789012345678901234567890,1e999,1e-999,9007199254740993,1.50\n\
             1,2,3,4,0.5,2\n",
        )],
        json! {},
        r#"id: Utf8
           b: Utf8
           x: Utf8
           l: Utf8
           w: Utf8
           y: Float64
           {"id":"32E0134","b":"123456789012345678901234567890","x":"1e999","l":"1e-999","w":"9007199254740993","y":1.5}
           {"id":"1","b":"2","x":"3","l":"4","w":"0.5","y":2.0}"#,
    );
    check(
        &[("a.tsv", "a\tb\n-9223372036854775809\t-0\n1\t0\n")],
        json! {},
        r#"a: Utf8
           b: Utf8
           {"a":"-9223372036854775809","b":"-0"}
           {"a":"1","b":"0"}"#,
    );
}

#[test]
fn what_comes_late_is_told_as_well() {
    for (usual, last) in [
        ("1", "007"),
        ("1", "123456789012345678901234567890"),
        ("1.5", "32E0134"),
        ("1.5", "1e999"),
        ("1.5", "9007199254740993"),
        ("9007199254740993", "0.5"),
    ] {
        let files = Files::new(&[("a.csv", late_csv(usual, last).as_bytes())]);
        let text = files.read(&ReadOptions::default()).unwrap().text();
        assert!(text.starts_with("x: Utf8\n"), "{usual}, {last}");
        assert!(text.ends_with(&format!("{{\"x\":\"{last}\"}}\n")), "{usual}, {last}");
    }
}

#[test]
fn json_numbers_beyond_64_bits_are_refused() {
    let wide = "does not fit 64 bits with a sign; declare the column as `float`, `string` or `json`";
    let more = "is more than a 64-bit float holds; declare the column as `float`, `string` or `json`";
    for (row, column, number, what) in [
        (r#"{"n": 123456789012345678901234567890}"#, "n", "123456789012345678901234567890", wide),
        (r#"{"n": -9223372036854775809}"#, "n", "-9223372036854775809", wide),
        (r#"{"o": {"l": [1, 99999999999999999999]}}"#, "o.l", "99999999999999999999", wide),
        (r#"{"x": 12345678901234567.5}"#, "x", "12345678901234567.5", more),
        (r#"{"x": 1e-999}"#, "x", "1e-999", more),
    ] {
        for (name, text) in [("a.jsonl", format!("{row}\n")), ("a.json", format!("[{row}]"))] {
            let error = error_of(name, text.as_bytes(), json! {});
            assert!(error.starts_with(&format!("{name}, line 1, column ")), "{error}");
            assert!(error.contains(&format!("column `{column}`: {number} {what}")), "{error}");
        }
    }
    let error = error_of("a.jsonl", b"{\"n\": 9007199254740993}\n{\"n\": 0.5}\n", json! {});
    assert!(
        error.starts_with("a.jsonl, line 2, column 9: column `n` holds float here and int beyond 2^53 above"),
        "{error}"
    );
    // Late, where the first rows made it a column of floats.
    let files = Files::new(&[("a.jsonl", &super::long(r#"{"id": 1e3, "x": 99999999999999999999}"#))]);
    let error = files.error(&ReadOptions::default());
    assert!(error.contains("column `x`: 99999999999999999999 does not fit"), "{error}");
}

#[test]
fn declared_columns_take_such_numbers() {
    let row =
        "{\"f\": 123456789012345678901234567890, \"s\": 123456789012345678901234567890, \"j\": [-9223372036854775809]}";
    check(
        &[("a.jsonl", row)],
        json! { "schema": { "f": "float", "s": "string", "j": "json" } },
        r#"f: Float64
           s: Utf8
           j: Utf8
           {"f":1.2345678901234568e29,"s":"123456789012345678901234567890","j":"[-9223372036854775809]"}"#,
    );
    check(
        &[("a.csv", "i,f\n007,1e5\n+1,NaN\n")],
        json! { "schema": { "i": "int", "f": "float" }, "limit": 1 },
        "i: Int64\nf: Float64\n{\"i\":7,\"f\":100000.0}",
    );
    let error = error_of("a.csv", b"f\n1e999\n", json! { "schema": { "f": "float" } });
    assert_eq!(error, "a.csv, line 2: column `f`: found `1e999`, expected float");
}

#[test]
fn quotes_that_do_not_close_are_refused_where_they_open() {
    let never = "a quote opens here and never closes [double the quotes inside a quoted cell (RFC 4180); \
                 with `quotes: false` they are characters like any other]";
    for (name, text, line) in [
        ("a.csv", "id,text\n1,ok\n2,\"cut her", 3),
        ("a.tsv", "id\ttext\n1\t\"unbalanced\n2\tb\n3\tc\n", 2),
        ("a.csv", "a\n\"two\nlines\"\n\"three\nmore\nlines", 4),
        ("a.csv", "\"a\n1\n2\n", 1),
    ] {
        assert_eq!(error_of(name, text.as_bytes(), json! {}), format!("{name}, line {line}: {never}"));
    }
    let error = error_of("a.csv", b"a,b\n1,x\n\"y\"z,2\n", json! {});
    assert!(error.starts_with("a.csv, line 3: a quote opens here and closes inside the cell ["), "{error}");
    check(
        &[("a.tsv", "id\ttext\n1\t\"unbalanced\n2\t\"b\" c\n")],
        json! { "quote": null },
        r#"id: Int64
           text: Utf8
           {"id":1,"text":"\"unbalanced"}
           {"id":2,"text":"\"b\" c"}"#,
    );
}

#[test]
fn columns_without_a_name_get_one() {
    check(
        &[("a.csv", ",text,\n0,a,\n1,b,\n")],
        json! {},
        r#"column_1: Int64
           text: Utf8
           column_3: Utf8
           {"column_1":0,"text":"a"}
           {"column_1":1,"text":"b"}"#,
    );
}
