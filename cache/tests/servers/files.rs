//! A server of files as Bazel's caches are: GET with ranges, HEAD, PUT with `If-None-Match`, DELETE, and a token.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub(crate) type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

pub(crate) struct FileServer {
    pub(crate) address: String,
    pub(crate) files: Files,
}

impl FileServer {
    /// Begins to serve; with a token, to nobody without it.
    pub(crate) fn start(token: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let files = Files::default();
        let served = Arc::clone(&files);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(serve(&stream, &served, token)));
            }
        });
        Self { address, files }
    }
}

fn serve(stream: &TcpStream, files: &Files, token: Option<&str>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let allowed = token.is_none_or(|token| headers.get("authorization") == Some(&format!("Bearer {token}")));
        let mut files = files.lock().unwrap();
        let found = files.get(&path).cloned();
        let (status, extra, body) = match (method.as_str(), found) {
            _ if !allowed => (401, String::new(), Vec::new()),
            ("PUT", Some(_)) if headers.contains_key("if-none-match") => (412, String::new(), Vec::new()),
            ("PUT", _) => {
                files.insert(path, body);
                (201, String::new(), Vec::new())
            }
            ("DELETE", _) => {
                files.remove(&path);
                (204, String::new(), Vec::new())
            }
            (_, None) => (404, String::new(), b"nothing here".to_vec()),
            (_, Some(file)) => {
                match headers.get("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()) {
                    Some(from) if from >= file.len() => (416, String::new(), Vec::new()),
                    Some(from) => {
                        let range = format!("content-range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
                        (206, range, file[from..].to_vec())
                    }
                    None => (200, String::new(), file),
                }
            }
        };
        drop(files);
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status} OK\r\n{extra}content-length: {}\r\n\r\n", body.len())?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
        stream.flush()?;
        if headers.get("connection").is_some_and(|said| said == "close") {
            return Ok(());
        }
    }
}
