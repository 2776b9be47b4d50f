//! The kind in pipelines: folders in chunks, and delimited text as other programs write it.

mod remote;

use pipe_testing::Lab;
use serde_json::{Value, json};

fn lab() -> Lab {
    Lab::with(crate::registry())
}

const GUIDE: &str = "# Loans\n\nOf money.\n\n## Fixed rates\n\nThe rate stays. It is agreed once.\n";

/// Writes a file in a folder.
fn write(lab: &Lab, name: &str, text: &str) {
    std::fs::create_dir_all(lab.path(name).parent().unwrap()).unwrap();
    lab.write(name, text);
}

fn documents(lab: &Lab) {
    write(lab, "docs/guide.md", GUIDE);
    write(lab, "docs/notes/plain.txt", "One two three. Four five six.\n");
    write(lab, "docs/empty.txt", " \n");
    write(lab, "docs/picture.png", "no text");
    write(lab, "docs/.hidden.md", "# No");
}

const CHUNKED: &str = "  t: { kind: table, params: { path: docs, rows: chunk, chunk: { size: 4, overlap: 1 } } }\n";

#[test]
fn a_folder_becomes_a_corpus() {
    let lab = lab();
    documents(&lab);
    lab.jsonl("q.jsonl", [json!({ "instruction": "What are fixed rates?" })]);
    let ran = lab.run_stages(&format!(
        "{CHUNKED}  q: {{ kind: table, params: {{ path: q.jsonl }} }}\n  r: {{ kind: retrieve, inputs: {{ queries: \
         q, corpus: t }}, params: {{ top_k: 1 }} }}\n"
    ));
    assert_eq!(ran.failures(), [""; 0]);
    let row = |id: &str, title: Option<&str>, text: &str| {
        let mut row = json!({ "id": id, "text": text, "file": id.split_once('#').unwrap().0 });
        if let Some(title) = title {
            row["title"] = json!(title);
        }
        row
    };
    assert_eq!(
        lab.rows("t"),
        [
            row("guide.md#1", Some("Loans"), "Of money."),
            row("guide.md#2", Some("Loans > Fixed rates"), "The rate stays."),
            row("guide.md#3", Some("Loans > Fixed rates"), "stays. It is agreed"),
            row("guide.md#4", Some("Loans > Fixed rates"), "agreed once."),
            row("notes/plain.txt#1", None, "One two three."),
            row("notes/plain.txt#2", None, "three. Four five six."),
        ]
    );
    let passage = &lab.rows("r")[0]["passages"][0];
    assert!(passage["text"].as_str().unwrap().starts_with("Loans > Fixed rates"), "{passage}");
}

#[test]
fn chunks_depend_on_names_below_the_folder_and_on_nothing_else_of_the_place() {
    let lab = lab();
    documents(&lab);
    assert_eq!(lab.run_stages(CHUNKED).failures(), [""; 0]);
    let before = lab.rows("t");
    // What is no text, or lies elsewhere, changes nothing.
    write(&lab, "docs/picture.png", "another");
    for name in ["guide.md", "notes/plain.txt", "empty.txt"] {
        write(&lab, &format!("elsewhere/{name}"), &std::fs::read_to_string(lab.path(&format!("docs/{name}"))).unwrap());
    }
    for path in ["docs", "docs/", "elsewhere", "elsewhere/**"] {
        let stages = CHUNKED.replace("docs", path).replace("rows:", "format: text, rows:");
        assert_eq!(lab.run_stages(&stages).computed(), [""; 0], "{path}");
    }
    // Another file leaves the ids of the others alone.
    write(&lab, "docs/a.md", "first");
    assert_eq!(lab.run_stages(CHUNKED).computed().len(), 1);
    assert_eq!(lab.rows("t")[1..], before);
    write(&lab, "more/a.md", "second");
    let twice = CHUNKED.replace("path: docs", "path: [docs, more]");
    assert!(lab.run_stages(&twice).failure().contains("would both be called `a.md`"));
}

#[test]
fn a_folder_is_all_of_its_files_of_a_format() {
    let lab = lab();
    write(&lab, "rows/b/2.csv", "a\n2\n");
    write(&lab, "rows/1.csv", "a\n1\n");
    write(&lab, "rows/readme.md", "no table");
    let stages = "  t: { kind: table, params: { path: rows, format: csv } }\n";
    assert_eq!(lab.run_stages(stages).failures(), [""; 0]);
    assert_eq!(lab.rows("t"), [json!({ "a": 1 }), json!({ "a": 2 })]);
    // What is not read changes nothing, nor does a folder's name.
    for name in ["rows/.hidden.csv", "rows/.git/3.csv", "rows/b/notes.txt", "rows/readme.md"] {
        write(&lab, name, "another");
        assert_eq!(lab.run_stages(stages).computed(), [""; 0], "{name}");
    }
    write(&lab, "data[1]/b/2.csv", "a\n2\n");
    write(&lab, "data[1]/1.csv", "a\n1\n");
    assert_eq!(lab.run_stages(&stages.replace("path: rows", "path: 'data[1]'")).computed(), [""; 0]);
    write(&lab, "rows/b/3.csv", "a\n3\n");
    assert_eq!(lab.run_stages(stages).computed(), ["t"]);
    let failure = lab.run_stages(&stages.replace("csv", "tsv")).failure();
    assert!(failure.contains("the folder `rows` has no file that ends in `.tsv`"), "{failure}");
}

#[test]
fn names_of_a_folders_files_matter_where_rows_have_them() {
    let lab = lab();
    write(&lab, "docs/a.md", "one");
    write(&lab, "docs/.b.md", "hidden");
    let stages = "  t: { kind: table, params: { path: docs, format: text, rows: file } }\n";
    assert_eq!(lab.run_stages(stages).computed(), ["t"]);
    write(&lab, "docs/.b.md", "changed");
    write(&lab, "docs/b.csv", "a\n1\n");
    assert_eq!(lab.run_stages(stages).computed(), [""; 0]);
    std::fs::rename(lab.path("docs/a.md"), lab.path("docs/c.md")).unwrap();
    assert_eq!(lab.run_stages(stages).computed(), ["t"]);
    assert_eq!(lab.rows("t"), [json!({ "file": "c.md", "text": "one" })]);
    let lines = stages.replace("rows: file", "rows: line");
    assert_eq!(lab.run_stages(&lines).computed(), ["t"]);
    std::fs::rename(lab.path("docs/c.md"), lab.path("docs/d.md")).unwrap();
    assert_eq!(lab.run_stages(&lines).computed(), [""; 0], "lines have no names");
}

#[test]
fn delimited_text_as_other_programs_write_it() {
    let lab = lab();
    lab.write("r.csv", "q;a;n\n'one; two';NA;1\nthree;-;2\n");
    let read = |params: &str| {
        let ran = lab.run_stages(&format!("  t: {{ kind: table, params: {{ path: r.csv, {params} }} }}\n"));
        assert_eq!(ran.failures(), [""; 0], "{params}");
        lab.rows("t")
    };
    let rows = read("delimiter: ';', quotes: \"'\", nulls: [NA, '-']");
    // Columns that are null are left out here.
    assert_eq!(rows, [json!({ "q": "one; two", "n": 1 }), json!({ "q": "three", "n": 2 })]);
    lab.write("r.csv", "1|x|\n2|y|z\n");
    assert_eq!(read("delimiter: '|', header: false")[1], json!({ "column_1": 2, "column_2": "y", "column_3": "z" }));
    let named = read("delimiter: '|', header: [id, q, a], columns: [q, id]");
    assert_eq!(named[0], json!({ "q": "x", "id": 1 }));
    lab.write("r.csv", "1\tx\n");
    assert_eq!(read("delimiter: \"\\t\", header: [id, q]")[0], json!({ "id": 1, "q": "x" }));
}

#[test]
fn what_makes_no_sense_is_said() {
    let check = |params: &str, expect: &str| {
        let said = lab().problems(&format!("  t: {{ kind: table, params: {{ {params} }} }}\n"));
        assert!(said.contains(expect), "{params}: {said}");
    };
    check("path: docs, rows: chunk, chunk: { size: 10, overlap: 10 }", "leaves nothing new in chunks of 10");
    check("path: a.txt, chunk: { size: 10 }", "nothing is cut into chunks");
    check("path: a.jsonl, key_column: name", "only `.json` documents have rows with keys");
    check("path: a.jsonl, columns: []", "no column is kept");
    check("path: a.jsonl, rows: file", "only plain text can be read as one row per file");
    check("path: a.jsonl, rows: chunk, chunk: { size: 1, overlap: 1 }", "leaves nothing new in chunks of 1");
    check("path: a.jsonl, delimiter: ';'", "CSV and TSV alone");
    check("path: a.csv, delimiter: 'é'", "no ASCII character");
    check("path: a.csv, delimiter: '\"'", "that character quotes cells");
    check("path: a.csv, header: [a, b, a]", "`a` stands there twice");
    check("path: docs", "the extension of `docs` does not tell the format");
    check("path: a.csv, delimiter: ';;'", "character");
}

#[test]
fn alpaca_and_sharegpt_come_out_as_stages_read_them() {
    let lab = lab();
    let read = |params: &str| {
        let ran = lab.run_stages(&format!("  t: {{ kind: table, params: {{ path: r.jsonl, {params} }} }}\n"));
        assert_eq!(ran.failures(), [""; 0], "{params}");
        lab.rows("t")
    };
    let turn = |from: &str, value: &str| json!({ "from": from, "value": value });
    let said = |role: &str, content: &str| json!({ "role": role, "content": content });
    lab.jsonl(
        "r.jsonl",
        [
            json!({ "id": "a", "system": "Be brief.", "conversations": [turn("human", "Hi"), turn("gpt", "Hello"),
            turn("human", "Bye"), turn("gpt", "Bye!")] }),
            json!({ "id": "b", "conversations": [turn("system", "S"), turn("gpt", "First"), turn("user", "Q")] }),
            json!({ "id": "c", "conversations": null }),
        ],
    );
    let messages = json!([
        said("system", "Be brief."),
        said("user", "Hi"),
        said("assistant", "Hello"),
        said("user", "Bye"),
        said("assistant", "Bye!")
    ]);
    let rows = read("shape: sharegpt");
    assert_eq!(rows[0], json!({ "id": "a", "messages": messages }));
    assert_eq!(rows[1]["messages"][2], said("user", "Q"));
    assert_eq!(rows[2], json!({ "id": "c" }));
    let rows = read("shape: sharegpt, turns: first, rename: { id: name }, limit: 2");
    assert_eq!(
        rows,
        [json!({ "name": "a", "instruction": "Hi", "output": "Hello" }), json!({ "name": "b", "instruction": "Q" }),]
    );

    lab.jsonl(
        "r.jsonl",
        [json!({ "messages": [
        { "role": "user", "content": [{ "type": "text", "text": "See " }, { "type": "text", "text": "this" }] },
        { "role": "assistant", "content": [{ "type": "text", "text": "Yes" }] }] })],
    );
    assert_eq!(read("shape: messages")[0], json!({ "messages": [said("user", "See this"), said("assistant", "Yes")] }));

    lab.jsonl("r.jsonl", [json!({ "instruction": "Q", "input": "", "output": "A", "text": "T" })]);
    assert_eq!(read("shape: alpaca, columns: [output, instruction]")[0], json!({ "output": "A", "instruction": "Q" }));
}

#[test]
fn squad_in_both_of_its_forms_gives_the_same_rows() {
    let lab = lab();
    let qa = |id: &str, question: &str, answers: &[&str]| {
        let answers: Vec<_> = answers.iter().map(|text| json!({ "text": text, "answer_start": 0 })).collect();
        json!({ "id": id, "question": question, "answers": answers, "is_impossible": answers.is_empty() })
    };
    let native = json!({ "version": "v2.0", "data": [
        { "title": "T", "paragraphs": [
            { "context": "C", "qas": [qa("1", "Q1", &["A", "A", "B"]), qa("2", "Q2", &[])] },
            { "context": "D", "qas": [qa("3", "Q3", &["E"])] },
        ] },
        { "title": "U", "paragraphs": [] },
        { "title": "V", "paragraphs": [{ "context": "F", "qas": [qa("4", "Q4", &["G"])] }] },
    ] });
    lab.write("r.json", &native.to_string());
    let flat = |id: &str, title: &str, context: &str, question: &str, answers: &[&str]| {
        json!({ "id": id, "title": title, "context": context, "question": question,
            "answers": { "text": answers, "answer_start": answers.iter().map(|_| 0).collect::<Vec<_>>() } })
    };
    lab.jsonl(
        "r.jsonl",
        [
            flat("1", "T", "C", "Q1", &["A", "A", "B"]),
            flat("2", "T", "C", "Q2", &[]),
            flat("3", "T", "D", "Q3", &["E"]),
            flat("4", "V", "F", "Q4", &["G"]),
        ],
    );
    let read = |name: &str, path: &str, params: &str| {
        let columns = "columns: [id, title, instruction, input, output, references]";
        let params = format!("path: {path}, shape: squad, {columns}{params}");
        let ran = lab.run_stages(&format!("  {name}: {{ kind: table, params: {{ {params} }} }}\n"));
        assert_eq!(ran.failures(), [""; 0], "{path}");
        lab.rows(name)
    };
    let rows = read("t", "r.json", "");
    assert_eq!(
        rows[0],
        json!({ "id": "1", "title": "T", "instruction": "Q1", "input": "C", "output": "A",
        "references": ["A", "B"] })
    );
    assert_eq!((rows[1]["references"].as_array().map(Vec::len), rows[1].get("output")), (Some(0), None));
    assert_eq!(rows.len(), 4);
    assert_eq!(read("u", "r.jsonl", ""), rows);
    assert_eq!(read("w", "r.json", ", limit: 2"), rows[..2]);
    // The flat form as Parquet, as the hub has it.
    assert_eq!(lab.run_stages("  plain: { kind: table, params: { path: r.jsonl } }\n").failures(), [""; 0]);
    let parquet = lab.object("plain").display().to_string();
    assert_eq!(read("x", &parquet, ""), rows);
}

#[test]
fn rows_of_another_shape_are_told_so() {
    let lab = lab();
    let fails = |params: &str| {
        let failure = lab.run_stages(&format!("  t: {{ kind: table, params: {{ {params} }} }}\n")).failure();
        failure.replace(&lab.path("").display().to_string(), "")
    };
    lab.jsonl("r.jsonl", [json!({ "prompt": "Q", "conversations": [{ "from": "teacher", "value": "x" }] })]);
    assert!(fails("path: r.jsonl, shape: alpaca").contains("there is no column `instruction`"));
    assert!(fails("path: r.jsonl, shape: sharegpt").contains("row 1 has a turn of `teacher`"));
    assert!(fails("path: r.jsonl, shape: squad").contains("there is no column `question`"));
    // Where no shape is given, and columns are missed, it is proposed.
    let stages = "  t: { kind: table, params: { path: r.jsonl } }\n  s: { kind: generate, inputs: { seeds: t }, \
                  params: { count: 1, model: 'http://localhost:1/v1#m' } }\n";
    let ran = lab.run_stages(stages);
    let help = ran.pick(|e| match e {
        pipe_engine::events::EventKind::Failed { help, .. } => help.clone(),
        _ => None,
    });
    assert!(help.len() == 1 && help[0].contains("`shape: sharegpt`"), "{help:?}");
}

#[test]
fn long_documents_in_rows_are_cut_and_keep_their_ids() {
    let lab = lab();
    let read = |path: &str, params: &str| {
        let chunk = "rows: chunk, chunk: { size: 3, overlap: 1 }";
        lab.run_stages(&format!("  t: {{ kind: table, params: {{ path: {path}, {chunk}{params} }} }}\n"))
    };
    let row = |id: &str, text: &str, more: Value| {
        let mut row = json!({ "id": id, "text": text });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let (a, c) = (json!({ "title": "A", "n": [1, 2] }), json!({ "title": "C" }));
    let documents = [
        row("a", "one two three four  five", a.clone()),
        json!({ "id": "b", "text": " ", "title": "B" }),
        row("c", "水は", c.clone()),
    ];
    lab.jsonl("d.jsonl", documents.clone());
    assert_eq!(read("d.jsonl", "").failures(), [""; 0]);
    let chunks =
        [row("a#1", "one two three", a.clone()), row("a#2", "three four  five", a), row("c#1", "水は", c.clone())];
    assert_eq!(lab.rows("t"), chunks);
    // As Parquet likewise; a name says nothing, and a limit is of documents.
    assert_eq!(lab.run_stages("  t: { kind: table, params: { path: d.jsonl } }\n").failures(), [""; 0]);
    std::fs::copy(lab.object("t"), lab.path("d.parquet")).unwrap();
    assert_eq!(read("d.parquet", "").failures(), [""; 0]);
    assert_eq!(lab.rows("t"), chunks);
    std::fs::rename(lab.path("d.parquet"), lab.path("e.parquet")).unwrap();
    assert_eq!(read("e.parquet", "").computed(), [""; 0]);
    assert_eq!(read("e.parquet", ", limit: 1").failures(), [""; 0]);
    assert_eq!(lab.rows("t"), chunks[..2]);
    // Without ids the rows' numbers stand in their place.
    assert_eq!(read("d.jsonl", ", columns: [text]").failures(), [""; 0]);
    assert_eq!(lab.rows("t")[2], json!({ "id": "2#1", "text": "水は" }));
    assert_eq!(read("d.jsonl", ", columns: [body], rename: { body: text }").failures().len(), 1);
    assert!(read("d.jsonl", ", columns: [title]").failure().contains("no column `text`"));
    lab.jsonl("d.jsonl", [json!({ "id": "a", "text": "x" }), json!({ "id": null, "text": "y" })]);
    assert!(read("d.jsonl", "").failure().contains("row 2"));
}

#[test]
fn all_that_chunks_are_made_of_is_watched() {
    let lab = lab();
    documents(&lab);
    let watched = |path: &str| {
        let stage = format!("pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: {path}, rows: chunk }} }}\n");
        pipe_engine::inspect::Watched::of(&lab.pipeline(&stage))
    };
    for (path, changed) in [
        ("docs", "docs/guide.md"),
        ("docs/guide.md", "docs/guide.md"),
        ("'docs/*.md'", "docs/guide.md"),
        ("'docs/**/*.txt'", "docs/notes/plain.txt"),
        ("[docs/guide.md, docs/notes]", "docs/notes/plain.txt"),
        ("docs", "docs/notes/new.md"),
        ("'docs/*.md'", "docs/new.md"),
        ("later.md", "later.md"),
    ] {
        let watched = watched(path);
        let before = watched.look();
        assert_eq!(watched.look(), before, "{path}");
        lab.write(changed, &format!("Another text, for {path}, of {} bytes.\n", before.len() + 100));
        assert_ne!(watched.look(), before, "{path} {changed}");
    }
}
