//! Files from elsewhere, in pipelines.

use serde_json::json;

use super::lab;

/// A server that has these files, by path; counts what it is asked.
fn server(files: Vec<(&'static str, String)>) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::{
        io::{BufRead, BufReader, Write},
        sync::atomic::{AtomicUsize, Ordering},
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines: Vec<String> =
                BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            counted.fetch_add(1, Ordering::Relaxed);
            let path = lines[0].split(' ').nth(1).unwrap();
            let found = files.iter().find(|(of, _)| *of == path).map(|(_, text)| text.as_str());
            let probe = lines.iter().any(|line| line.to_lowercase() == "range: bytes=0-0");
            let answer = match found {
                None => "HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
                Some(text) => {
                    let (sent, status) = if probe { (&text[..1], 206) } else { (text, 200) };
                    format!(
                        "HTTP/1.1 {status} X\r\netag: \"{}\"\r\ncontent-range: bytes 0-0/{}\r\ncontent-length: \
                         {}\r\nconnection: close\r\n\r\n{sent}",
                        blake3::hash(text.as_bytes()),
                        text.len(),
                        sent.len()
                    )
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn data_sets_of_the_hub_are_read_at_the_commit_that_a_branch_is_now() {
    let names = ["README.md", "data/a.jsonl", "data/b.jsonl", "data/ab.jsonl.bak", "plain/rows"];
    let listed: Vec<_> = names.iter().map(|name| json!({ "rfilename": name })).collect();
    let description = json!({ "sha": COMMIT, "siblings": listed }).to_string();
    let file = |name: &str| -> &'static str {
        Box::leak(format!("/datasets/org/name/resolve/{COMMIT}/{name}").into_boxed_str())
    };
    let pinned: &'static str = Box::leak(format!("/api/datasets/org/name/revision/{COMMIT}").into_boxed_str());
    let (hub, asked) = server(vec![
        ("/api/datasets/org/name/revision/main", description.clone()),
        (pinned, description),
        (file("data/a.jsonl"), "{\"a\": 1}\n".to_owned()),
        (file("data/b.jsonl"), "{\"a\": 2}\n".to_owned()),
        (file("plain/rows"), "{\"a\": 3}\n".to_owned()),
    ]);
    let mut lab = lab();
    lab.env("HF_ENDPOINT", &hub);
    lab.env("HF_HUB_CACHE", &lab.path("hub").display().to_string());
    let stages = |path: &str| format!("  t: {{ kind: table, params: {{ path: '{path}', format: jsonl }} }}\n");
    for path in ["hf://datasets/org/name/data/*.jsonl", "hf://datasets/org/name@main/data"] {
        assert_eq!(lab.run_stages(&stages(path)).failures(), [""; 0], "{path}");
        assert_eq!(lab.rows("t"), [json!({ "a": 1 }), json!({ "a": 2 })], "{path}");
    }
    // A name that does not tell the format is a file's, too; and what ends an address elsewhere is of a pattern here.
    assert_eq!(lab.run_stages(&stages("hf://datasets/org/name/plain/rows")).failures(), [""; 0]);
    assert_eq!(lab.rows("t"), [json!({ "a": 3 })]);
    let pattern = "  t: { kind: table, params: { path: 'hf://datasets/org/name/data/?.jsonl' } }\n";
    assert_eq!(lab.run_stages(pattern).failures(), [""; 0]);
    assert_eq!(lab.rows("t"), [json!({ "a": 1 }), json!({ "a": 2 })]);
    let failure = lab.run_stages(&stages("hf://datasets/org/name/plain/none")).failure();
    assert!(failure.contains("is called `plain/none`"), "{failure}");
    // The commit by its name is the same source, and no server is asked.
    let before = asked.load(std::sync::atomic::Ordering::Relaxed);
    let ran = lab.run_stages(&stages(&format!("hf://datasets/org/name@{COMMIT}/data")));
    assert_eq!((ran.computed(), ran.failures()), (vec![], vec![]));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), before);
    let failure = lab.run_stages(&stages("hf://datasets/org/name/data/z.jsonl")).failure();
    assert!(failure.contains("data/z.jsonl was not found"), "{failure}");
    let failure = lab.run_stages(&stages("hf://datasets/org/name/*.csv")).failure();
    assert!(failure.contains("no file of the data set org/name at main"), "{failure}");
    lab.env("HF_HUB_OFFLINE", "1");
    let ran = lab.run_stages(&stages("hf://datasets/org/other/data"));
    let told = ran.pick(|e| match e {
        pipe_engine::events::EventKind::Failed { error, help, .. } => Some(format!("{error:?} {help:?}")),
        _ => None,
    });
    assert!(told[0].contains("offline mode forbids") && told[0].contains("HF_HUB_OFFLINE"), "{told:?}");
}

#[test]
fn addresses_enter_the_key_by_content() {
    let (one, _) = server(vec![("/rows.csv", "a\n1\n".to_owned()), ("/note.txt", "x".to_owned())]);
    let (other, _) = server(vec![("/rows.csv", "a\n1\n".to_owned())]);
    let mut lab = lab();
    lab.env("XDG_CACHE_HOME", &lab.path("cache").display().to_string());
    let stages = |path: &str| format!("  t: {{ kind: table, params: {{ path: '{path}' }} }}\n");
    assert_eq!(lab.run_stages(&stages(&format!("{one}/rows.csv"))).failures(), [""; 0]);
    assert_eq!(lab.rows("t"), [json!({ "a": 1 })]);
    assert_eq!(lab.run_stages(&stages(&format!("{other}/rows.csv?x=1"))).failures().len(), 1);
    let ran = lab.run_stages(&stages(&format!("{other}/rows.csv")));
    assert_eq!((ran.computed(), ran.failures()), (vec![], vec![]), "the same content elsewhere");
    let whole = format!("  t: {{ kind: table, params: {{ path: '{one}/note.txt', rows: file }} }}\n");
    assert_eq!(lab.run_stages(&whole).failures(), [""; 0]);
    assert_eq!(lab.rows("t"), [json!({ "file": "note.txt", "text": "x" })]);
    let wrong = format!("{one}/rows.csv#sha256={}", "0".repeat(64));
    let failure = lab.run_stages(&stages(&wrong)).failure();
    assert!(failure.contains("and not 000"), "{failure}");
}

#[test]
fn addresses_that_nothing_is_read_from_are_told() {
    let check = |path: &str, expect: &str| {
        let said = lab().problems(&format!("  t: {{ kind: table, params: {{ path: '{path}', format: csv }} }}\n"));
        assert!(said.contains(expect) && !said.contains("secret"), "{path}: {said}");
    };
    check("s3://bucket/rows.csv", "`s3://bucket/rows.csv` is an address that tables are not read from");
    check("https://me:secret@host/rows.csv", "carries a credential");
    check("hf://org/name/rows.csv", "names no data set of the hub");
    check("https://host/rows.csv#part", "is no digest");
}
