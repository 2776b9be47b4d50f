//! A server that answers as a test tells it to, faults included.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
    pub at: Instant,
    /// How many requests with the same prompt came before.
    pub earlier: usize,
}

/// What to send back.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, further headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// An answer after a pause.
    Late(Duration, Box<Reply>),
    /// Part of an answer, then nothing.
    Cut,
}

impl Reply {
    /// A completion that says `text`.
    pub(crate) fn says(text: &str) -> Self {
        let body = json!({
            "choices": [{ "text": text, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 2 },
        });
        Self::Answer(200, vec![], body.to_string())
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Answer(status, vec![], body.to_owned())
    }
}

/// Runs until the test ends.
pub(crate) struct FakeServer {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl FakeServer {
    pub(crate) fn start(script: impl Fn(&Arrived) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (arrived.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, script) = (log.clone(), script.clone());
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(serve(stream, &log, script.as_ref())));
            }
        });
        Self { url, arrived }
    }

    /// All requests so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Arrived>>, script: &dyn Fn(&Arrived) -> Reply) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let arrived = {
        let mut log = log.lock().unwrap();
        let earlier = log.iter().filter(|other: &&Arrived| other.body["prompt"] == body["prompt"]).count();
        log.push(Arrived { path, authorization, body, at: Instant::now(), earlier });
        log.last().unwrap().clone()
    };
    send(stream, script(&arrived))
}

fn send(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.extend([name, ": ", &value, "\r\n"]);
            }
            stream.write_all(format!("{head}\r\n{body}").as_bytes())
        }
        Reply::Late(pause, reply) => {
            thread::sleep(pause);
            send(stream, *reply)
        }
        Reply::Cut => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\": [{\"te"),
    }
}
