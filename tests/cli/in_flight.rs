//! Stages that ask a served model for the same rows at the same time ask once: requests are counted where they arrive.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Child,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::environment::TestEnvironment;

/// Requests that a stage has on the way at once.
const CONCURRENCY: usize = 4;

/// A model behind HTTP that writes instructions and answers, slowly, and counts what it is asked.
struct Model {
    url: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Model {
    fn start(pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<HashMap<String, usize>>>::default();
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(serve(&stream, &log, pause)));
            }
        });
        Self { url, asked }
    }

    /// How many instructions, or answers, were asked for, and how many of these requests were repeated.
    fn asked(&self, answers: bool) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        let times = || asked.iter().filter(|(body, _)| is_answer(body) == answers).map(|(_, n)| n);
        (times().count(), times().map(|n| n - 1).sum())
    }
}

fn is_answer(body: &str) -> bool {
    body.contains("ANSWER")
}

fn serve(stream: &TcpStream, log: &Mutex<HashMap<String, usize>>, pause: Duration) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = n.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    thread::sleep(pause);
    let answer = json!({
        "choices": [{ "text": text(&body), "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2 },
    });
    *log.lock().unwrap().entry(body).or_default() += 1;
    let answer = answer.to_string();
    write!(&*stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

/// A text that depends on the request alone; of instructions every fourth is of no use.
fn text(body: &str) -> String {
    let request: Value = serde_json::from_str(body).unwrap();
    let drawn = |i: u64| {
        let mut hasher = DefaultHasher::new();
        (request["prompt"].to_string(), request["seed"].to_string(), i).hash(&mut hasher);
        hasher.finish()
    };
    if is_answer(body) {
        return format!(" It is {}.", drawn(0) % 100);
    }
    if drawn(0) % 4 == 0 {
        return String::new();
    }
    let words: Vec<String> = (1..7).map(|i| format!("thing{}", drawn(i) % 10_000)).collect();
    format!(" Name the {}.", words.join(" "))
}

/// Four variants that want more and more of the same.
fn study(url: &str) -> TestEnvironment {
    let seeds = (0..8)
        .map(|i| {
            format!("{{\"id\": \"s{i}\", \"instruction\": \"Say what number {i} is.\", \"output\": \"It is {i}.\"}}\n")
        })
        .collect::<Vec<_>>()
        .concat();
    let model = format!("{{ endpoint: \"{url}\", model: m, concurrency: {CONCURRENCY} }}");
    let yaml = format!(
        "
pipeline: study
vars: {{ n: 10 }}
ablate: {{ n: [20, 30, 40] }}
stages:
  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  new:
    kind: generate
    inputs: {{ seeds: seeds }}
    params: {{ model: {model}, count: \"${{n}}\", temperature: 1.0 }}
  answers:
    kind: respond
    inputs: {{ instructions: new, seeds: seeds }}
    params: {{ model: {model}, template: answer.jinja, num_demonstrations: 1 }}
"
    );
    TestEnvironment::with(&[
        ("seeds.jsonl", &seeds),
        ("study.yaml", &yaml),
        ("answer.jinja", "ANSWER\n{{ instruction }}\n{% if output is defined %}{{ output }}{% endif %}"),
    ])
}

/// The attempts that the largest variant needed, by its own count.
fn needed(test: &TestEnvironment) -> usize {
    let shown = test.json(&["show", "new.yield@n=40", "--format", "json"]);
    let rows = shown["head"].as_array().unwrap_or_else(|| panic!("{shown}"));
    let row = rows.iter().find(|row| row["outcome"] == "attempted").unwrap_or_else(|| panic!("{rows:?}"));
    row["count"].as_u64().unwrap() as usize
}

fn spawn(test: &TestEnvironment) -> Child {
    test.command(&["run", "study.yaml", "-j", "4"]).spawn().unwrap()
}

#[test]
fn two_processes_with_four_jobs_ask_a_served_model_for_each_row_once() {
    let model = Model::start(Duration::from_millis(15));
    let test = study(&model.url);
    let mut children = [spawn(&test), spawn(&test)];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let needed = needed(&test);
    let (instructions, repeated) = model.asked(false);
    assert_eq!(repeated, 0, "attempts were asked for twice");
    assert_eq!(model.asked(true), (40, 0));
    assert!(
        (needed..=needed + children.len() * CONCURRENCY).contains(&instructions),
        "{instructions} requests, where {needed} attempts were needed"
    );
}

#[test]
fn a_killed_process_is_taken_over_and_what_it_was_paid_for_is_kept() {
    let pause = Duration::from_millis(250);
    let model = Model::start(pause);
    let test = study(&model.url);
    let mut leader = spawn(&test);
    let patience = Instant::now();
    while model.asked(false).0 < 24 {
        assert!(patience.elapsed() < Duration::from_secs(60), "the model is asked nothing");
        thread::sleep(Duration::from_millis(10));
    }
    let mut follower = spawn(&test);
    thread::sleep(pause);
    leader.kill().unwrap();
    leader.wait().unwrap();
    assert!(follower.wait().unwrap().success());
    let (instructions, repeated) = model.asked(false);
    assert!(instructions <= needed(&test) + 2 * CONCURRENCY);
    // Lost are those on the way, and those of the half second that was not handed over yet.
    assert!(repeated <= 3 * CONCURRENCY, "{repeated} attempts were asked for again");
    let (answers, repeated) = model.asked(true);
    assert_eq!(answers, 40);
    assert!(repeated <= 3 * 4 * CONCURRENCY, "{repeated} answers were asked for again");
}
