//! Requests to the hub, and to any other server, one at a time.
//!
//! Redirects are followed here and not by the HTTP library, because what is said to the hub (the token) must not be
//! said to the host that it sends to, as in Python's `huggingface_hub`.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Deserialize;
use ureq::{
    Agent, Body,
    http::{Response, header::HeaderMap},
};

use super::{
    RepoKind,
    address::{escaped, join, same_place},
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence of a server, in front of its answer or within it.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest time for a description or the headers of a file, redirects included.
const QUESTION: Duration = Duration::from_secs(60);
/// Longest time for one answer with (the rest of) a file. What has arrived until then is kept.
const FILE: Duration = Duration::from_hours(6);
const MAX_REDIRECTS: usize = 10;
/// Longest description of a repository: a hundred thousand files have less.
const MAX_DESCRIPTION: u64 = 64 << 20;
/// Longest file of a server that does not say how long it is, 64 GiB: an answer without end must not fill the disk.
const MAX_UNANNOUNCED: u64 = 64 << 30;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The server refused.
    #[error("the server answered {0}")]
    Status(u16),
    /// It could not be reached, or was silent for too long.
    #[error("{0}")]
    Request(Box<ureq::Error>),
    /// The connection broke, or the disk is full.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The answer is not what such a server says.
    #[error("the server's answer cannot be used: {0}")]
    Answer(String),
    /// The caller no longer wants it.
    #[error("it was cancelled")]
    Cancelled,
}

impl Fault {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status(code) => Some(*code),
            _ => None,
        }
    }

    /// Whether asking again may help: broken connections, busy servers.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Status(code) => matches!(code, 408 | 416 | 429) || *code >= 500,
            Self::Request(error) => !matches!(**error, ureq::Error::BadUri(_) | ureq::Error::Tls(_)),
            Self::Io(error) => error.kind() != io::ErrorKind::StorageFull,
            Self::Answer(_) | Self::Cancelled => false,
        }
    }
}

/// What the hub says of a revision.
#[derive(Debug, Deserialize)]
pub(super) struct Description {
    pub sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Description {
    pub(crate) fn files(&self) -> BTreeSet<String> {
        self.siblings.iter().map(|sibling| sibling.rfilename.clone()).collect()
    }
}

/// A file of a repository, at a commit.
#[derive(Debug, Clone)]
pub(super) struct HubFile {
    pub kind: RepoKind,
    pub repo: String,
    pub commit: String,
    pub name: String,
}

/// What is asked of a file: a part of it, or only what has changed.
#[derive(Debug, Default)]
pub(crate) struct Question<'a> {
    pub range: Option<&'a str>,
    /// The etag that it had.
    pub etag: Option<&'a str>,
    /// When it had changed.
    pub modified: Option<&'a str>,
}

/// What the hub says of a file.
#[derive(Debug, Clone)]
pub(super) struct FileFacts {
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// A hub, and how it is spoken to.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(endpoint: &str, token: Option<&str>) -> Self {
        // The proxy is that of the environment, as with every program that downloads.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build()
            .into();
        Self { agent, endpoint: endpoint.to_owned(), token: token.map(str::to_owned) }
    }

    /// What `revision` of `repo` is now.
    pub(super) fn describe(&self, kind: RepoKind, repo: &str, revision: &str) -> Result<Description, Fault> {
        let (kind, revision) = (kind.plural(), revision.replace('/', "%2F"));
        let url = format!("{}/api/{kind}/{repo}/revision/{revision}", self.endpoint);
        let mut answer = self.get(&url, &Question::default(), QUESTION, &mut |_, _| ())?;
        let text = answer.body_mut().with_config().limit(MAX_DESCRIPTION).read_to_string();
        serde_json::from_str(&text.map_err(request)?).map_err(|e| Fault::Answer(e.to_string()))
    }

    fn file_url(&self, file: &HubFile) -> String {
        let HubFile { kind, repo, commit, name } = file;
        format!("{}/{}{repo}/resolve/{commit}/{}", self.endpoint, kind.in_front(), escaped(name))
    }

    /// Size and etag of a file.
    pub(super) fn facts(&self, file: &HubFile) -> Result<FileFacts, Fault> {
        let (mut linked, mut plain) = (None, None);
        let mut look = |at_hub: bool, headers: &HeaderMap| {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            if at_hub {
                linked = header("x-linked-etag").or(linked.take());
                plain = header("etag").or(plain.take());
            }
        };
        let first = Question { range: Some("bytes=0-0"), ..Question::default() };
        let answer = self.get(&self.file_url(file), &first, QUESTION, &mut look)?;
        let missing = |header: &str| Fault::Answer(format!("the header `{header}` is missing"));
        let etag = linked.or(plain).ok_or_else(|| missing("etag"))?;
        let range = answer.headers().get("content-range").and_then(|value| value.to_str().ok());
        let size = range.and_then(|range| range.rsplit('/').next()).and_then(|size| size.parse().ok());
        Ok(FileFacts {
            etag: etag.trim_start_matches("W/").trim_matches('"').to_owned(),
            size: size.ok_or_else(|| missing("content-range"))?,
        })
    }

    /// Adds to `part` what it lacks of a file of `size` bytes.
    pub(super) fn download(&self, of: &HubFile, size: u64, part: &Path, cancelled: &AtomicBool) -> Result<(), Fault> {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(part)?;
        let mut there = file.metadata()?.len();
        if there > size {
            // Of another file, or spoilt.
            file.set_len(0)?;
            there = 0;
        }
        if there < size {
            let range = format!("bytes={there}-");
            let rest = Question { range: Some(&range), ..Question::default() };
            let mut answer = self.get(&self.file_url(of), &rest, FILE, &mut |_, _| ())?;
            if answer.status().as_u16() != 206 {
                // The whole file, whatever was asked for.
                file.set_len(0)?;
                there = 0;
            }
            file.seek(SeekFrom::End(0))?;
            there += receive(&mut answer, &mut file, Some(size - there), cancelled)?;
        }
        if there < size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(file.sync_all()?)
    }

    /// Asks any address for a file.
    pub(crate) fn ask(&self, url: &str, question: &Question<'_>) -> Result<Response<Body>, Fault> {
        self.get(url, question, FILE, &mut |_, _| ())
    }

    /// Asks, and asks where it is sent. `look` sees the headers of every answer, and whether it is the hub's.
    fn get(
        &self,
        url: &str,
        asked: &Question<'_>,
        limit: Duration,
        look: &mut dyn FnMut(bool, &HeaderMap),
    ) -> Result<Response<Body>, Fault> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let at_hub = same_place(&url, &self.endpoint);
            let mut question = self.agent.get(&url).config().timeout_global(Some(limit)).build();
            question = question.header("user-agent", concat!("pipe/", env!("CARGO_PKG_VERSION")));
            // As stored: an answer that is packed again has other bytes than the file.
            question = question.header("accept-encoding", "identity");
            let Question { range, etag, modified } = asked;
            for (name, value) in [("range", range), ("if-none-match", etag), ("if-modified-since", modified)] {
                if let Some(value) = value {
                    question = question.header(name, *value);
                }
            }
            if let Some(token) = self.token.as_ref().filter(|_| at_hub) {
                question = question.header("authorization", format!("Bearer {token}"));
            }
            let answer = question.call().map_err(request)?;
            look(at_hub, answer.headers());
            let status = answer.status().as_u16();
            let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
            match (status, location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = join(&url, &location)?,
                (200..=299, _) => return Ok(answer),
                _ => return Err(Fault::Status(status)),
            }
        }
        Err(Fault::Answer(format!("it sends from one address to the next, more than {MAX_REDIRECTS} times")))
    }
}

fn request(error: ureq::Error) -> Fault {
    match error {
        ureq::Error::Io(error) => Fault::Io(error),
        error => Fault::Request(Box::new(error)),
    }
}

/// Writes what an answer holds behind what a file has; no more than the server announced, and of one that announced
/// nothing no more than [`MAX_UNANNOUNCED`]. Says how much it was.
pub(crate) fn receive(
    answer: &mut Response<Body>,
    file: &mut fs::File,
    announced: Option<u64>,
    cancelled: &AtomicBool,
) -> Result<u64, Fault> {
    let most = announced.map_or(Most::Unannounced(MAX_UNANNOUNCED), Most::Announced);
    copy(answer.body_mut().as_reader(), file, most, cancelled)
}

/// How much may arrive.
#[derive(Debug, Clone, Copy)]
enum Most {
    Announced(u64),
    Unannounced(u64),
}

impl Most {
    fn check(self, there: u64) -> Result<(), Fault> {
        match self {
            Self::Announced(size) if there > size => {
                Err(Fault::Answer(format!("more than the announced {size} bytes arrive")))
            }
            Self::Unannounced(size) if there > size => {
                Err(Fault::Answer(format!("more than {size} bytes arrive, and it did not say how many they are")))
            }
            _ => Ok(()),
        }
    }
}

fn copy(mut body: impl Read, file: &mut impl Write, most: Most, cancelled: &AtomicBool) -> Result<u64, Fault> {
    let (mut block, mut there) = (vec![0; 1 << 16], 0);
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Fault::Cancelled);
        }
        let count = body.read(&mut block)?;
        if count == 0 {
            return Ok(there);
        }
        there += count as u64;
        most.check(there)?;
        file.write_all(&block[..count])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_goes_on_for_ever() {
        let go_on = AtomicBool::new(false);
        for most in [Most::Announced(100_000), Most::Unannounced(100_000)] {
            let mut file = Vec::new();
            let told = copy(io::repeat(7), &mut file, most, &go_on).unwrap_err().to_string();
            assert!(told.contains("100000 bytes arrive") && file.len() <= 100_000, "{told} {}", file.len());
            for size in [0, 99_999, 100_000] {
                assert_eq!(copy(io::repeat(7).take(size), &mut Vec::new(), most, &go_on).unwrap(), size);
            }
        }
    }
}
