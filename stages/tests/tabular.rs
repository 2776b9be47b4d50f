//! Reading tables: what comes out, and what is said when it cannot be read.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef, json::LineDelimitedWriter};
use pipe_engine::kind::StageError;
use pipe_stages::tabular::{Format, ReadOptions, Sink, TabularError, read};
use tempfile::TempDir;

/// Keeps what is read; counts how often reading began.
#[derive(Default)]
struct Kept {
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    begun: usize,
}

impl Sink for Kept {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        *self = Self { schema: Some(schema.clone()), batches: Vec::new(), begun: self.begun + 1 };
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.batches.push(batch.clone());
        Ok(())
    }
}

impl Kept {
    fn table(&self) -> RecordBatch {
        concat_batches(self.schema.as_ref().unwrap(), &self.batches).unwrap()
    }

    /// `name: type` of every column, then the rows as JSON lines.
    fn text(&self) -> String {
        let table = self.table();
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| format!("{}: {}\n", field.name(), field.data_type()));
        let out = columns.collect::<Vec<_>>().concat();
        let mut rows = Vec::new();
        LineDelimitedWriter::new(&mut rows).write(&table).unwrap();
        out + &String::from_utf8(rows).unwrap()
    }
}

struct Files {
    dir: TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .map(|(name, bytes)| {
                let path = dir.path().join(name);
                fs::write(&path, bytes).unwrap();
                path
            })
            .collect();
        Self { dir, paths }
    }

    fn read(&self, options: &ReadOptions) -> Result<Kept, TabularError> {
        let mut kept = Kept::default();
        let format = Format::of(&self.paths[0]).unwrap();
        read(&self.paths, format, options, &mut kept)?;
        Ok(kept)
    }

    /// The message and the help, with the folder taken out.
    fn error(&self, options: &ReadOptions) -> String {
        let Err(error) = self.read(options) else { panic!("read without an error") };
        let help = error.help().map_or_else(String::new, |help| format!(" [{help}]"));
        format!("{error}{help}").replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
fn options(json: serde_json::Value) -> ReadOptions {
    let mut options = ReadOptions::default();
    for (name, value) in json.as_object().unwrap() {
        match name.as_str() {
            "columns" => options.columns = serde_json::from_value(value.clone()).unwrap(),
            "rename" => options.rename = serde_json::from_value(value.clone()).unwrap(),
            "schema" => options.schema = serde_json::from_value(value.clone()).unwrap(),
            "id" => options.id = serde_json::from_value(value.clone()).unwrap(),
            "limit" => options.limit = serde_json::from_value(value.clone()).unwrap(),
            "rows_at" => options.rows_at = serde_json::from_value(value.clone()).unwrap(),
            "whole_files" => options.whole_files = serde_json::from_value(value.clone()).unwrap(),
            other => panic!("no option {other}"),
        }
    }
    options
}

fn check(files: &[(&str, &str)], given: serde_json::Value, expect: &str) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let text = Files::new(&files).read(&options(given)).unwrap_or_else(|e| panic!("{e}")).text();
    let trimmed: Vec<&str> = expect.trim().lines().map(str::trim).collect();
    assert_eq!(text.trim(), trimmed.join("\n"));
}

macro_rules! json {
    ($($t:tt)*) => { serde_json::json!({ $($t)* }) };
}

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
            "{\"v\": 1, \"j\": {\"a\": [1, \"x\"]}, \"f\": 2}\n{\"v\": \"two\", \"j\": \"s\", \"f\": null}\n{\"v\": [3], \"j\": null}",
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
fn compressed_files_read_like_plain_ones() {
    let text = b"{\"a\": 1}\n{\"a\": 2}\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text).unwrap();
    let zst = zstd::encode_all(&text[..], 1).unwrap();
    let files = Files::new(&[("a.jsonl", text), ("b.jsonl.gz", &gz.finish().unwrap()), ("c.jsonl.zst", &zst)]);
    assert_eq!(files.read(&ReadOptions::default()).unwrap().table().num_rows(), 6);
}

/// Rows enough for several blocks on every thread, with the odd one at the very end.
fn long(odd: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let rows = 40 * rayon::current_num_threads();
    for i in 0..rows {
        writeln!(text, r#"{{"id": {i}, "text": "{}", "x": {i}}}"#, "word ".repeat(100_000)).unwrap();
    }
    writeln!(text, "{odd}").unwrap();
    text
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
        let found = Files::new(&[(name, bytes)]).error(&options(given));
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
        "a.jsonl, line 3, column 8: not UTF-8 text [convert the file to UTF-8 (`iconv -f latin1 -t utf8`)]",
    );
    error("a.jsonl", b"{\"a\": 1, \"a\": 2}", json! {}, "a.jsonl, line 1, column 12: column `a`: duplicate key `a`");
    error(
        "a.jsonl",
        b"{\"a\": 18446744073709551615}",
        json! {},
        "a.jsonl, line 1, column 26: column `a`: 18446744073709551615 does not fit 64 bits with a sign; declare the column as `float` or `json`",
    );
    error(
        "a.jsonl",
        b"{\"m\": {\"t\": 1}}\n{\"m\": {\"t\": [1]}}",
        json! {},
        "a.jsonl, line 2, column 13: column `m.t` holds [null] here and int above [declare one type for it, for example `schema: { m.t: json }` (or `string`), or leave it out with `columns:`]",
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
    error("a.jsonl", b"\n", json! {}, "a.jsonl: there are no rows, so the columns are not known; declare `schema:`");
    error(
        "a.csv",
        b"a,b\n1,2\n3\n",
        json! {},
        "a.csv, line 3: the record has 1 fields, the header 2; is a delimiter or a quote missing?",
    );
    error("a.csv", b"a,a\n1,2\n", json! {}, "a.csv, line 1: the header names `a` twice");
    error("a.csv", b"a,\n1,2\n", json! {}, "a.csv, line 1: the header's column 2 has no name");
    error(
        "a.csv",
        b"a,b\n1,\xff\n",
        json! {},
        "a.csv, line 2: column `b` is not UTF-8 text; convert the file with `iconv -f latin1 -t utf8`",
    );
    error("a.csv", b"a\nx\n", json! { "schema": { "a": "int" } }, "a.csv, line 2: column `a`: found `x`, expected int");
    error(
        "a.json",
        b"{\"a\": 1,\n \"b\": {}}",
        json! {},
        "a.json: some values are objects and some are not, so this is no list of rows; say where the rows are, for example `rows_at: /data`",
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
fn an_empty_table_keeps_its_declared_columns() {
    let files = Files::new(&[("a.jsonl", b"")]);
    let table = files.read(&options(json! { "schema": { "b": "int", "a": "string" } })).unwrap().table();
    let names: Vec<_> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!((names, table.num_rows()), (vec!["a".to_owned(), "b".to_owned()], 0));
    check(&[("a.csv", "x,y\n")], json! { "schema": { "y": "int" } }, "x: Utf8\ny: Int64");
    let files = Files::new(&[("a.csv", b"x\n")]);
    assert_eq!(files.error(&options(json! { "schema": { "y": "int" } })), "no column `y` in a.csv [columns: `x`]");
}

#[test]
fn files_of_one_table_have_the_same_columns() {
    let files = Files::new(&[("a.csv", b"a,b\n1,2\n"), ("b.csv", b"a,c\n1,2\n")]);
    let error = files.error(&ReadOptions::default());
    let folder = files.dir.path().display().to_string();
    assert_eq!(error.replace(&folder, ""), "b.csv, line 1: the header lacks `b`, which a.csv has");
    assert!(Path::new(&files.paths[0]).exists());
}
