//! Rows of published collections, in the columns that stages read.

use pipe_stages::tabular::{ReadOptions, Shape};
use serde_json::{Value, json};

use super::Files;

fn of(shape: Shape, id: bool) -> ReadOptions {
    ReadOptions { shape: Some(shape), id: id.then(|| "id".to_owned()), ..ReadOptions::default() }
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat()
}

fn error(first: &[Value], second: &[Value], options: &ReadOptions) -> String {
    let (first, second) = (lines(first), lines(second));
    Files::new(&[("a.jsonl", first.as_bytes()), ("b.jsonl", second.as_bytes())]).error(options)
}

fn conversation(id: &str, role: &str) -> Value {
    json!({ "id": id, "messages": [{ "role": role, "content": "Why?" }] })
}

fn question(id: &str) -> Value {
    json!({ "id": id, "question": "Q", "context": "C", "answers": { "text": ["A"] } })
}

#[test]
fn errors_name_the_file_and_the_line_that_they_are_about() {
    let a = [conversation("1", "user"), conversation("2", "user")];
    for shape in [Shape::Messages, Shape::Sharegpt] {
        let said = error(&a, &[conversation("3", "user"), conversation("4", "teacher")], &of(shape, false));
        assert!(said.starts_with("b.jsonl: ") && said.contains("row 4 has a turn of `teacher`"), "{said}");
        let said = error(&a, &[conversation("3", "user"), conversation("2", "user")], &of(shape, true));
        assert_eq!(said, "b.jsonl, line 2: id `2` was seen before, in row 2");
    }
    let alpaca = |id: &str| json!({ "id": id, "instruction": "Q", "output": "A" });
    let said = error(&[alpaca("1")], &[alpaca("2"), alpaca("1")], &of(Shape::Alpaca, true));
    assert_eq!(said, "b.jsonl, line 2: id `1` was seen before, in row 1");
    let said = error(&[question("1")], &[question("2"), question("2")], &of(Shape::Squad, true));
    assert_eq!(said, "b.jsonl, line 2: id `2` was seen before, in row 2");
    // An article is several rows: they have no lines.
    let qa = |id: &str| json!({ "id": id, "question": "Q", "answers": [{ "text": "A" }] });
    let article = |ids: [&str; 2]| json!({ "paragraphs": [{ "context": "C", "qas": ids.map(qa) }] });
    let said = error(&[article(["1", "2"])], &[article(["3", "1"])], &of(Shape::Squad, true));
    assert_eq!(said, "b.jsonl, row 4: id `1` was seen before, in row 1");
}

#[test]
fn whether_rows_are_of_a_shape_does_not_depend_on_how_many_are_looked_at_first() {
    // So long that the first look, of one thread, sees nothing of the last row.
    let filler = "x".repeat(1 << 20);
    let long = |row: Value, last: Value| {
        let mut rows = vec![row; 12];
        for row in &mut rows {
            row["filler"] = json!(filler);
        }
        rows.push(last);
        lines(&rows)
    };
    let none = json!([]);
    let messages = long(json!({ "messages": none }), conversation("1", "user"));
    let sharegpt = json!({ "conversations": [{ "from": "human", "value": "Why?" }] });
    let sharegpt = long(json!({ "conversations": none }), sharegpt);
    let squad = long(json!({ "question": "Q", "context": "C", "answers": { "text": [] } }), question("1"));
    let alpaca = json!({ "instruction": "Q", "output": "A" });
    let alpaca = long(json!({ "instruction": null, "output": null }), alpaca);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for (shape, text) in
        [(Shape::Messages, messages), (Shape::Sharegpt, sharegpt), (Shape::Squad, squad), (Shape::Alpaca, alpaca)]
    {
        let files = Files::new(&[("a.jsonl", text.as_bytes())]);
        for threads in [1, 64] {
            let kept = pool(threads).install(|| files.read(&of(shape, false))).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(kept.table().num_rows(), 13, "{shape:?}, {threads} threads");
        }
    }
    // Numbers first, and then a text: a column of texts in CSV.
    let csv = format!("instruction,output\n{}Q,A\n", "1,2\n".repeat(400_000));
    let files = Files::new(&[("a.csv", csv.as_bytes())]);
    for threads in [1, 64] {
        let kept = pool(threads).install(|| files.read(&of(Shape::Alpaca, false))).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(kept.table().num_rows(), 400_001);
    }
}
