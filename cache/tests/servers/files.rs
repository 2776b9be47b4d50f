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
    /// The credentials that came, `method authorization` for each request.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

/// What a server does otherwise than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    None,
    /// It serves nobody without this token.
    Asks(&'static str),
    /// It refuses all, as S3 does where clocks differ.
    LivesIn1994,
    /// It is only read.
    IsRead,
    /// It replaces what is there, whatever it was asked.
    Replaces,
    /// It knows no conditions, and says so.
    NoConditions,
    /// It does not say how large something is.
    NoSizes,
    /// All is at another server.
    SendsTo(&'static str),
}

impl FileServer {
    /// Begins to serve.
    pub(crate) fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = Self { address, files: Files::default(), told: Arc::default() };
        let (files, told) = (Arc::clone(&this.files), Arc::clone(&this.told));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, told) = (Arc::clone(&files), Arc::clone(&told));
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(serve(&stream, &files, &told, habit)));
            }
        });
        this
    }
}

fn serve(stream: &TcpStream, files: &Files, told: &Mutex<Vec<String>>, habit: Habit) -> std::io::Result<()> {
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
        let authorization = headers.get("authorization");
        told.lock().unwrap().extend(authorization.map(|authorization| format!("{method} {authorization}")));
        let allowed = !matches!(habit, Habit::Asks(token) if authorization != Some(&format!("Bearer {token}")));
        let only_new = headers.contains_key("if-none-match") && habit != Habit::Replaces;
        let mut files = files.lock().unwrap();
        let found = files.get(&path).cloned();
        let (status, extra, body) = match (method.as_str(), found) {
            _ if !allowed => (401, String::new(), Vec::new()),
            _ if habit == Habit::LivesIn1994 => {
                let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned();
                (403, date, b"<Error><Code>RequestTimeTooSkewed</Code></Error>".to_vec())
            }
            ("PUT" | "DELETE", _) if habit == Habit::IsRead => (403, String::new(), Vec::new()),
            _ if let Habit::SendsTo(address) = habit => {
                (307, format!("location: http://{address}{path}\r\n"), Vec::new())
            }
            ("PUT", _) if only_new && habit == Habit::NoConditions => (501, String::new(), Vec::new()),
            ("PUT", Some(_)) if only_new => (412, String::new(), Vec::new()),
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
        let length = match (habit, method.as_str(), status) {
            (Habit::NoSizes, "HEAD", 200) => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        write!(stream, "HTTP/1.1 {status} OK\r\n{extra}{length}\r\n")?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
        stream.flush()?;
        if headers.get("connection").is_some_and(|said| said == "close") {
            return Ok(());
        }
    }
}
