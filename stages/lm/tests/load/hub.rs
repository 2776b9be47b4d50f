//! The hub, played by a server on 127.0.0.1.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use pipe_lm::origin::{HubError, HubSettings};

use crate::support::{chain, named};

/// Nobody wants to stop.
pub(crate) const GO_ON: fn() -> bool = || false;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does besides serving.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// The files of the repository.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Break the connection after this many bytes of a file, so many times.
    pub(crate) break_after: usize,
    pub(crate) breaks_left: usize,
    /// Answer everything with this status.
    pub(crate) refuse: Option<u16>,
    /// The token that is let in; everything else gets 401.
    pub(crate) token: Option<String>,
    /// Every request: path and `Range`.
    pub(crate) requests: Vec<String>,
    /// The token that came with the last request.
    pub(crate) heard: Option<String>,
    /// Where files really lie: requests for them are sent there.
    pub(crate) elsewhere: Option<String>,
    /// What it says a revision and a file are, if not the truth.
    pub(crate) says: Says,
    /// Take requests and say nothing.
    pub(crate) silent: bool,
}

#[derive(Default)]
pub(crate) struct Says {
    pub(crate) sha: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) names: Vec<String>,
}

pub(crate) struct FakeHub {
    pub(crate) endpoint: String,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    pub(crate) cache: tempfile::TempDir,
}

impl FakeHub {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let shared = Arc::clone(&behaviour);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream.unwrap(), &shared));
            }
        });
        Self { endpoint, behaviour, cache: tempfile::tempdir().unwrap() }
    }

    /// With these files.
    pub(crate) fn with_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::new(Behaviour { files, ..Behaviour::default() })
    }

    pub(crate) fn with_model() -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        files.insert("config.json".into(), b"{}".to_vec());
        files.insert("README.md".into(), b"not for us".to_vec());
        files.insert("pytorch_model.bin".into(), b"never".to_vec());
        let index =
            r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        files.insert("model.safetensors.index.json".into(), index.into());
        files.insert("model-00001-of-00002.safetensors".into(), (0..5000u32).flat_map(u32::to_le_bytes).collect());
        files.insert("model-00002-of-00002.safetensors".into(), vec![7; 100]);
        Self::new(Behaviour { files, ..Behaviour::default() })
    }

    pub(crate) fn settings(&self) -> HubSettings {
        HubSettings {
            endpoint: self.endpoint.clone(),
            cache: self.cache.path().to_owned(),
            token: None,
            offline: false,
        }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.behaviour.lock().unwrap().requests)
    }

    pub(crate) fn message(&self, error: &HubError) -> String {
        chain(error, self.cache.path()).replace(&self.endpoint, "HUB")
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, shared: &Mutex<Behaviour>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            lines.iter().find_map(|l| {
                l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
            })
        };
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let start = header("range").map(|r| r["bytes=".len()..].split('-').next().unwrap().parse::<usize>().unwrap());
        let mut b = shared.lock().unwrap();
        b.requests.push(format!("{path} {}", header("range").unwrap_or_default()).trim().to_owned());
        b.heard = header("authorization");
        if b.silent {
            drop(b);
            std::thread::sleep(std::time::Duration::from_secs(60));
            return;
        }
        let allowed = b.token.is_none() || header("authorization") == b.token.as_ref().map(|t| format!("Bearer {t}"));
        let refused = b.refuse.or(if allowed { None } else { Some(401) });
        let status = |code: u16| format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n").into_bytes();
        let mut closes = false;
        let answer = if let Some(code) = refused {
            status(code)
        } else if path.starts_with("/api/models/org/name/revision/")
            || path.starts_with("/api/datasets/org/name/revision/")
        {
            let names = b.files.keys().chain(&b.says.names);
            let siblings: Vec<_> = names.map(|f| serde_json::json!({"rfilename": f})).collect();
            let sha = b.says.sha.as_deref().unwrap_or(COMMIT);
            let body = serde_json::json!({"sha": sha, "siblings": siblings}).to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes()
        } else if let Some(host) = b.elsewhere.as_ref().filter(|_| path.contains("/resolve/")) {
            format!(
                "HTTP/1.1 302 X\r\nlocation: {host}{path}\r\nx-linked-etag: \"linked\"\r\ncontent-length: 0\r\n\r\n"
            )
            .into_bytes()
        } else if let Some(body) = (path.strip_prefix("/datasets").unwrap_or(&path))
            .strip_prefix(&format!("/org/name/resolve/{COMMIT}/"))
            .and_then(|f| b.files.get(&named(f)))
            .cloned()
        {
            let start = start.unwrap_or(0);
            if start >= body.len() {
                status(416)
            } else {
                let probe = header("range").as_deref() == Some("bytes=0-0");
                let end = if probe { 1 } else { body.len() };
                let head = format!(
                    "HTTP/1.1 206 X\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: bytes \
                     {start}-{}/{}\r\ncontent-length: {}\r\n\r\n",
                    b.says.etag.clone().unwrap_or_else(|| blake3::hash(&body).to_string()),
                    end - 1,
                    body.len(),
                    end - start
                );
                let mut sent = &body[start..end];
                if !probe && b.breaks_left > 0 && sent.len() > b.break_after {
                    b.breaks_left -= 1;
                    sent = &sent[..b.break_after];
                    closes = true;
                }
                [head.into_bytes(), sent.to_vec()].concat()
            }
        } else {
            status(404)
        };
        drop(b);
        let mut out = stream;
        if out.write_all(&answer).is_err() || closes {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
