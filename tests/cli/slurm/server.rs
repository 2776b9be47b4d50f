//! A model's server that takes its time, answers alike what is asked alike, and remembers what it was asked.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::json;

/// Requests that were answered, and how often each.
type Asked = HashMap<String, usize>;

pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Asked>>,
}

impl Server {
    /// Every answer takes so long. It ends with the process.
    pub(super) fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Asked>>::default();
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                thread::spawn(move || while answer(&stream, takes, &told).is_some() {});
            }
        });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Asked {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request; `None` at the end of a connection.
fn answer(stream: &TcpStream, takes: Duration, told: &Mutex<Asked>) -> Option<()> {
    // Nobody sends a second request before the first is answered, so that nothing is lost with the buffer.
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    thread::sleep(takes);
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let text = format!(" Name what is called {:x}.", hasher.finish());
    *told.lock().unwrap().entry(body).or_default() += 1;
    let body = json!({ "choices": [{ "text": text, "finish_reason": "stop" }] }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = stream;
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}
