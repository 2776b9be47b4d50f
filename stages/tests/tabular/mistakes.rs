//! What is said of files that cannot be read: the place, what is wrong, and what to do.

use std::path::Path;

use pipe_stages::tabular::{Declared, ReadOptions};

use super::{Files, error_of, json, long};

#[test]
fn a_late_mistake_is_found_where_it_is() {
    let line = 40 * rayon::current_num_threads() + 1;
    let files = Files::new(&[("a.jsonl", &long(r#"{"id": "seven"}"#))]);
    let error = files.error(&ReadOptions::default());
    assert!(
        error.starts_with("a.jsonl, line ") && error.contains("column `id` holds string here and int above"),
        "{error}"
    );
    let files = Files::new(&[("a.jsonl", &long(r#"{"id": 7"#))]);
    let error = files.error(&ReadOptions::default());
    assert_eq!(error, format!("a.jsonl, line {line}, column 8: EOF while parsing an object"));
}

#[test]
fn mistakes_are_named_with_file_line_and_column() {
    let mut wrong = Vec::new();
    let mut error = |name: &str, bytes: &[u8], given: serde_json::Value, expect: &str| {
        let found = error_of(name, bytes, given);
        if found != expect {
            wrong.push(format!("found    {found}\nexpected {expect}\n"));
        }
    };
    error("a.jsonl", b"{\"a\": 1}\n{\"a\": }\n", json! {}, "a.jsonl, line 2, column 7: column `a`: expected value");
    error("a.jsonl", b"{\"a\": 1}\n{\"a\": 1} x\n", json! {}, "a.jsonl, line 2, column 10: trailing characters");
    error("a.jsonl", b"[1]\n", json! {}, "a.jsonl, line 1, column 1: found sequence, expected a row: a JSON object");
    error(
        "a.jsonl",
        b"{\"a\": 1}\n\n{\"b\": \"\xff\"}\n",
        json! {},
        "a.jsonl, line 3, column 8: not UTF-8 text [convert the file to UTF-8 from its own encoding, for example \
         `iconv -f windows-1252 -t utf-8` for Western European text from Windows]",
    );
    error("a.jsonl", b"{\"a\": 1, \"a\": 2}", json! {}, "a.jsonl, line 1, column 12: column `a`: duplicate key `a`");
    error(
        "a.jsonl",
        b"{\"a\": 18446744073709551615}",
        json! {},
        "a.jsonl, line 1, column 26: column `a`: 18446744073709551615 does not fit 64 bits with a sign; declare the \
         column as `float`, `string` or `json`",
    );
    error(
        "a.jsonl",
        b"{\"m\": {\"t\": 1}}\n{\"m\": {\"t\": [1]}}",
        json! {},
        "a.jsonl, line 2, column 13: column `m.t` holds [null] here and int above [declare one type for it, for \
         example `schema: { m: json }` (or `string`), or leave it out with `columns:`]",
    );
    error(
        "a.jsonl",
        b"{\"a\": 1}\n{\"a\": \"x\"}",
        json! { "schema": { "a": "int" } },
        "a.jsonl, line 2, column 9: column `a`: found string \"x\", expected int",
    );
    error(
        "a.jsonl",
        b"{\"name\": 1}",
        json! { "columns": ["nme"] },
        "no column `nme` in a.jsonl [did you mean `name`?]",
    );
    error("a.jsonl", b"{\"a\": 1}", json! { "id": "key" }, "no column `key` in a.jsonl [columns: `a`]");
    error(
        "a.jsonl",
        b"{\"id\": 1}\n{\"id\": 2}\n\n{\"id\": 1}",
        json! { "id": "id" },
        "a.jsonl, line 4: id `1` was seen before, in row 1",
    );
    error(
        "a.jsonl",
        b"{\"id\": 1}\n{\"id\": null}",
        json! { "id": "id" },
        "a.jsonl, line 2: the id column `id` is empty",
    );
    error(
        "a.jsonl",
        b"{\"a\": 1, \"b\": 2}",
        json! { "rename": { "a": "b" } },
        "a.jsonl: two columns would be called `b`; check `columns` and `rename`",
    );
    error(
        "a.jsonl",
        b"\n",
        json! {},
        "a.jsonl: there are no rows, so the columns are not known [declare them, for example `schema: { text: string \
         }`]",
    );
    error(
        "a.csv",
        b"a,b\n1,2\n3\n",
        json! {},
        "a.csv, line 3: the record has 1 fields, the header 2; is a delimiter or a quote missing?",
    );
    error("a.csv", b"a,a\n1,2\n", json! {}, "a.csv, line 1: the header names `a` twice, in columns 1 and 2");
    error(
        "a.csv",
        b"a,b\n1,\xff\n",
        json! {},
        "a.csv, line 2: column `b` is not UTF-8 text; convert the file to UTF-8 from its own encoding, for example \
         `iconv -f windows-1252 -t utf-8` for Western European text from Windows",
    );
    error("a.csv", b"a\nx\n", json! { "schema": { "a": "int" } }, "a.csv, line 2: column `a`: found `x`, expected int");
    error(
        "a.json",
        b"{\"a\": 1,\n \"b\": {}}",
        json! {},
        "a.json: the values of the object are not rows of one kind; say where the rows are, for example `rows_at: \
         /data`",
    );
    error("a.json", b"[{\"a\": 1},\n {\"a\": 1}\n {}]", json! {}, "a.json, line 3, column 2: expected `,` or `]`");
    error(
        "a.json",
        b"{}",
        json! { "rows_at": "/x" },
        "a.json: `rows_at`: there is no object with a key `x` at that place",
    );
    error(
        "a.parquet",
        b"PAR1",
        json! {},
        "a.parquet: not a readable Parquet file: EOF: Parquet file too small. Size is 4 but need 8",
    );
    error("a.txt.gz", b"no gzip", json! {}, "failed to read a.txt.gz");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn files_of_one_table_have_the_same_columns() {
    let files = Files::new(&[("a.csv", b"a,b\n1,2\n"), ("b.csv", b"a,c\n1,2\n")]);
    let error = files.error(&ReadOptions::default());
    let folder = files.dir.path().display().to_string();
    assert_eq!(error.replace(&folder, ""), "b.csv, line 1: the header lacks `b`, which a.csv has");
    assert!(Path::new(&files.paths[0]).exists());
}

#[test]
fn other_encodings_and_archives_are_called_by_name() {
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let marked = utf16("\u{feff}a,b\n1,2\n");
    let big_endian: Vec<u8> = marked.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    for (name, bytes, what) in [
        ("a.csv", marked.clone(), "the text is UTF-16 and not UTF-8 [convert it to UTF-8 (`iconv -f utf-16 -t utf-8`"),
        ("a.tsv", big_endian, "the text is UTF-16"),
        ("a.jsonl", utf16("{\"a\": 1}\n"), "the text is UTF-16"),
        ("a.json", marked.clone(), "the text is UTF-16"),
        ("a.txt", marked, "the text is UTF-16"),
        ("a.csv", b"BZh91AY&SYrest".to_vec(), "compressed with bzip2"),
        ("a.jsonl", b"\xfd7zXZ\0rest".to_vec(), "compressed with xz"),
        ("a.csv", b"PK\x03\x04rest".to_vec(), "a zip archive"),
        ("a.csv", b"PAR1rest".to_vec(), "the file is Parquet [give `format: parquet`]"),
    ] {
        let error = error_of(name, &bytes, json! {});
        assert!(error.starts_with(&format!("{name}: ")) && error.contains(what), "{error}");
    }
}

#[test]
fn documents_say_where_their_rows_are() {
    let squad = br#"{"version": "1.1", "data": [{"title": "x", "paragraphs": []}]}"#;
    for (document, given, pointer) in [
        (&squad[..], json! {}, "/data"),
        (br#"{"data": [{"a": 1}, {"a": 2}]}"#, json! {}, "/data"),
        (br#"{"n": 2, "a/b": ["x", "y"]}"#, json! {}, "/a~1b"),
        (br#"{"d": {"info": {"n": 2}, "items": [{"a": 1}]}}"#, json! { "rows_at": "/d" }, "/d/items"),
    ] {
        let error = error_of("a.json", document, given);
        assert!(error.ends_with(&format!("`rows_at: {pointer}`")), "{error}");
    }
    let twice = error_of("a.json", br#"{"k": {"a": 1}, "l": {"a": 2}, "k": {"a": 3}}"#, json! {});
    assert_eq!(twice, "a.json: the key `k` stands twice in the object of rows");
}

#[test]
fn words_of_other_languages_are_quoted() {
    for word in ["NaN", "Infinity", "-Infinity", "None", "True", "'text'", "undefined", "nan", ".5"] {
        let error = error_of("a.jsonl", format!("{{\"a\": 1}}\n{{\"a\": {word}}}\n").as_bytes(), json! {});
        assert!(
            error.starts_with("a.jsonl, line 2, column ") && error.contains(&format!("`{word}` is no JSON")),
            "{error}"
        );
        let error = error_of("a.json", format!("[{{\"a\": [1,\n {word}]}}]").as_bytes(), json! {});
        assert!(
            error.starts_with("a.json, line 2, column ") && error.contains(&format!("`{word}` is no JSON")),
            "{error}"
        );
    }
}

#[test]
fn advice_names_the_parameter_there_is() {
    for (name, text) in [("a.jsonl", "\n"), ("a.jsonl", "{\"a\": 1}\n{\"a\": [1]}"), ("a.csv", "a\n\"x")] {
        let Err(error) = Files::new(&[(name, text.as_bytes())]).read(&ReadOptions::default()) else { panic!("{text}") };
        let help = error.help(Declared::Columns).unwrap();
        assert!(!help.contains("schema") && !help.contains("quotes: false"), "{help}");
        assert!(error.help(Declared::Schema).unwrap() != help);
    }
}
