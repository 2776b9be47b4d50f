//! `generate` on a random model: what it writes is nonsense, how it counts, resumes and reuses is not.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use pipe_testing::Lab;

use crate::{models::random_model, tables::seeds};

/// Filters that let nonsense through, and stop strings that end it.
const LOOSE: &str = "stop: [\"\\n\", \"e\", \"a\"], max_new_tokens: 24, \
                     filters: { min_words: 1, first_character: false, rouge_l: null, forbidden_words: [] }";

fn stages(count: usize, more: &str) -> String {
    format!(
        "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ model: model, count: {count}, {LOOSE} {more} }} }}\n"
    )
}

fn lab() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    std::fs::create_dir(lab.path("model")).unwrap();
    random_model(&lab.path("model"), 1);
    lab.write("seeds.jsonl", &seeds());
    lab
}

#[test]
fn rows_depend_on_neither_slots_nor_extent_and_only_what_is_missing_is_computed() {
    let lab = lab();
    let first = lab.run_stages(&stages(50, ", slots: 7"));
    assert!(first.failures().is_empty(), "{:?}", first.failures());
    let fifty = lab.table("new.instructions");
    assert_eq!(fifty.num_rows(), 50);
    let attempts = lab.count("new", "attempted") as u64;
    let made = first.stats("new").rows_computed;
    assert!(made >= attempts && attempts > 50, "{attempts} of {made}");

    let second = lab.run_stages(&stages(80, ", slots: 64"));
    let eighty = lab.table("new.instructions");
    assert_eq!(eighty.slice(0, 50), fifty);
    let stats = second.stats("new");
    let (all, known) = (lab.count("new", "attempted") as u64, stats.rows_reused);
    assert!(known >= attempts, "{known} attempts were known, {attempts} were needed before");
    assert!(stats.rows_computed < all && stats.rows_computed >= all - known, "{stats:?}");

    let other = self::lab();
    other.run_stages(&stages(80, ", slots: 1"));
    assert_eq!(other.table("new.instructions"), eighty);
    assert_eq!(other.yields("new"), lab.yields("new"));
    // Less is a prefix of what is there: the model is not even opened.
    std::fs::remove_file(lab.path("model/model.safetensors")).unwrap();
    random_model(&lab.path("model"), 1);
    let less = lab.run_stages(&stages(20, ""));
    assert_eq!(less.stats("new").rows_computed, 0);
    assert_eq!(lab.table("new.instructions"), fifty.slice(0, 20));
}

#[test]
fn what_makes_an_attempt_is_in_the_key_and_what_does_not_is_not() {
    let lab = lab();
    lab.write(
        "mine.jinja",
        "{% for d in demonstrations %}\nInstruction: {{ d.instruction }}\n{% endfor %}\nInstruction:",
    );
    lab.run_stages(&stages(10, ", template: mine.jinja"));
    let same = |more: &str| lab.run_stages(&stages(10, more)).computed().is_empty();
    assert!(same(", template: mine.jinja, slots: 3, max_attempts: 9999, patience: 500"));
    std::fs::rename(lab.path("mine.jinja"), lab.path("yours.jinja")).unwrap();
    assert!(same(", template: yours.jinja"));
    lab.write("yours.jinja", "{% for d in demonstrations %}\nTask: {{ d.instruction }}\n{% endfor %}\nTask:");
    assert!(!same(", template: yours.jinja"));
    assert!(!same(""));
    assert!(!same(", seed: 1"));
    assert!(!same(", num_demonstrations: 2"));
    // Another filter chooses among the same texts.
    lab.run_stages(&stages(40, ", num_demonstrations: 2"));
    let stricter = stages(3, ", num_demonstrations: 2").replace("min_words: 1", "min_words: 2");
    let ran = lab.run_stages(&stricter);
    assert_eq!((ran.stats("new").rows_computed, ran.failures().len()), (0, 0), "{:?}", lab.yields("new"));
    random_model(&lab.path("model"), 2);
    assert!(!same(""));
    assert!(same(""));
}

#[test]
fn rows_name_the_seeds_they_were_shown() {
    let lab = lab();
    lab.run_stages(&stages(30, ""));
    let rows = lab.rows("new.instructions");
    let mut shown = std::collections::BTreeSet::new();
    for row in &rows {
        let ids: Vec<&str> = row["demonstrations"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3);
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        shown.extend(ids);
        assert_ne!(row["finish_reason"], "length");
    }
    assert!(shown.len() > 9, "30 draws of 3 from 12 show nearly all: {shown:?}");
    let ids: std::collections::BTreeSet<&str> = rows.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 30);
}

#[test]
fn excluded_instructions_are_dropped_and_counted() {
    let lab = lab();
    lab.run_stages(&stages(20, ""));
    let rows = lab.rows("new.instructions");
    let text: String = rows
        .iter()
        .map(|r| format!("{}\n", serde_json::json!({ "instruction": r["instruction"] })))
        .collect::<Vec<_>>()
        .concat();
    lab.write("exam.jsonl", &text);
    // The table is an input, so attempts are made anew; most nonsense differs, but one-letter instructions come again.
    let with = stages(200, "").replace("seeds: seeds }", "seeds: seeds, exclude: exam }");
    let ran = lab.run_stages(&format!("  exam: {{ kind: table, params: {{ path: exam.jsonl }} }}\n{with}"));
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let normal = |v: &serde_json::Value| v["instruction"].as_str().unwrap().to_lowercase();
    let banned: Vec<String> = rows.iter().map(normal).collect();
    assert!(lab.rows("new.instructions").iter().all(|row| !banned.contains(&normal(row))));
    assert!(lab.count("new", "excluded") > 0, "{:?}", lab.yields("new"));
}

#[test]
fn attempts_show_documents_each_in_its_turn_and_rows_carry_them() {
    let lab = lab();
    let document = |i: usize| {
        let text = ["What is it? ", ""][usize::from(i == 4)].repeat(4);
        serde_json::json!({ "id": format!("d{i}"), "title": format!("Part {i}"), "text": text })
    };
    lab.jsonl("documents.jsonl", (0..5).map(document));
    let with = |count, more: &str| {
        let more = format!(", max_passage_words: 6, num_demonstrations: 1 {more}");
        let stages = stages(count, &more).replace("seeds: seeds }", "seeds: seeds, documents: documents }");
        format!("  documents: {{ kind: table, params: {{ path: documents.jsonl }} }}\n{stages}")
    };
    let ran = lab.run_stages(&with(20, ""));
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let rows = lab.rows("new.instructions");
    let mut shown = std::collections::BTreeMap::<String, usize>::new();
    for row in &rows {
        let [passage] = row["passages"].as_array().unwrap().as_slice() else { panic!("{row}") };
        let id = passage["id"].as_str().unwrap();
        assert_eq!(passage["text"], format!("Part {}: What is it? What", &id[1..]), "title and text, six words");
        *shown.entry(id.to_owned()).or_default() += 1;
    }
    // The one without text is shown to nobody.
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert_eq!(ran.stats("new").counters["documents_empty"], 1);
    let more = lab.run_stages(&with(30, ""));
    assert!(more.stats("new").rows_reused > 0);
    assert_eq!(lab.rows("new.instructions")[..20], rows);
    // What nothing of stands in its document goes, without another attempt.
    let strict = with(1, ", patience: 25").replace("rouge_l: null", "rouge_l: null, min_in_passages: 1.0");
    let failure = lab.run_stages(&strict).failure();
    assert!(failure.contains("not_in_passages"), "{failure}");
    // A template of one's own has to show the document.
    lab.write("mine.jinja", "{% for d in demonstrations %}\nQ: {{ d.instruction }}\n{% endfor %}\nQ:");
    let problems = lab.run_stages(&with(5, ", template: mine.jinja")).failure();
    assert!(problems.contains("does not show them"), "{problems}");
}

#[test]
fn a_generation_that_keeps_nothing_ends_with_a_message() {
    let lab = lab();
    let strict = stages(5, ", patience: 40").replace("min_words: 1", "min_words: 90");
    let failure = lab.run_stages(&strict).failure();
    assert!(failure.contains("new: 0 of 5 instructions were kept") && failure.contains("last 40 of 40"), "{failure}");
    assert!(failure.contains("too_short") || failure.contains("truncated"), "{failure}");
    // Nothing is computed to find that out again.
    let failure = lab.run_stages(&strict).failure();
    assert!(failure.contains("last 40 of 40"), "{failure}");
    let failure = lab.run_stages(&stages(500, ", max_attempts: 30")).failure();
    assert!(failure.contains("`max_attempts: 30` is reached"), "{failure}");
}

#[test]
fn mistakes_are_named() {
    let mut lab = lab();
    let failing = |lab: &Lab, stages: &str| lab.run_stages(stages).failure();
    let with = |params: &str| {
        format!(
            "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ count: 5, {params} }} }}\n"
        )
    };
    for (params, message) in [
        ("model: nowhere", "there is no such file or directory"),
        ("model: model, template: chat", "no chat template"),
        ("model: model, template: none.jinja", "none.jinja"),
        ("model: model, num_demonstrations: 12", "its prompt has"),
        ("model: model, num_demonstrations: 12", "an attempt that shows the seeds `s"),
        ("model: { endpoint: \"http://127.0.0.1:9/v1\", model: m, api_key_env: NO_KEY }", "`NO_KEY`"),
        (
            "model: { endpoint: \"http://127.0.0.1:9/v1\", model: m, max_retries: 0 }, temperature: 0, top_p: 1",
            "http://127.0.0.1:9/v1/completions",
        ),
    ] {
        let failure = failing(&lab, &with(params));
        assert!(failure.starts_with("new: ") && failure.contains(message), "{params}: {failure}");
    }
    for (params, message) in [
        ("model: model, top_p: 1.5", "top_p"),
        ("model: \"http://host/v1\"", "#model-name"),
        ("model: model, filters: { rouge_l: 7 }", "rouge_l"),
        ("model: model, tempreature: 1", "there is no parameter `tempreature`"),
        ("model: model, filters: { min_in_passages: 0.5 }", "the input `documents` of `new` is missing"),
    ] {
        let problems = lab.problems(&with(params));
        assert!(problems.contains(message), "{params}: {problems}");
    }
    lab.write("seeds.jsonl", "{\"id\": 1, \"instruction\": \"a\"}\n{\"id\": 1, \"instruction\": \"b\"}\n");
    assert!(failing(&lab, &with("model: model")).contains("same id `1`"));
    lab.env("UNUSED", "1");
}

/// A server that answers every completion request alike.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut seen = Vec::new();
                let mut block = [0; 4096];
                loop {
                    let n = stream.read(&mut block).unwrap_or(0);
                    if n == 0 {
                        return;
                    }
                    seen.extend_from_slice(&block[..n]);
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .to_lowercase()
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| rest.split("\r\n").next().unwrap().trim().parse::<usize>().unwrap());
                    if body.len() < length {
                        continue;
                    }
                    let status = if head.contains("Bearer good") { "200 OK" } else { "401 Unauthorized" };
                    let body = if status.starts_with("200") { answer } else { "{\"error\": \"who are you?\"}" };
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    seen.clear();
                }
            });
        }
    });
    format!("http://{address}/v1")
}

#[test]
fn a_server_writes_instructions_too() {
    let mut lab = lab();
    let url = server(
        r#"{"choices": [{"text": " Name the largest gland of the body.\nInput: none", "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 9}}"#,
    );
    let stages = format!(
        "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ count: 1, patience: 5, model: {{ endpoint: \"{url}\", \
  model: m, api_key_env: KEY }} }} }}\n"
    );
    lab.env("KEY", "bad");
    let failure = lab.run_stages(&stages).failure();
    assert!(failure.contains("401") && failure.contains("who are you?") && !failure.contains("Bearer"), "{failure}");
    lab.env("KEY", "good");
    let ran = lab.run_stages(&stages);
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let row = &lab.rows("new.instructions")[0];
    assert_eq!((&row["instruction"], &row["input"]), (&"Name the largest gland of the body.".into(), &"".into()));
    assert_eq!(ran.stats("new").counters["prompt_tokens"], 20);
    // It says the same again and again: the second row never comes.
    let failure = lab.run_stages(&stages.replace("count: 1", "count: 2")).failure();
    assert!(failure.contains("1 of 2 instructions were kept") && failure.contains("5 duplicate"), "{failure}");
}

#[test]
fn what_a_server_refuses_is_dropped_and_counted() {
    let mut lab = lab();
    let url = server(r#"{"choices": [{"text": " Name the", "finish_reason": "content_filter"}]}"#);
    lab.env("KEY", "good");
    let failure = lab
        .run_stages(&format!(
            "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ count: 1, patience: 5, model: {{ endpoint: \"{url}\", \
  model: m, api_key_env: KEY, max_retries: 0 }} }} }}\n"
        ))
        .failure();
    assert!(failure.contains("0 of 1 instructions were kept") && failure.contains("5 refused"), "{failure}");
}
