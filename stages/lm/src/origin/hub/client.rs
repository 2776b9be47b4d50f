//! Requests to the hub: one at a time, on a thread of their own, so that whoever waits can stop waiting.
//!
//! Redirects are followed here and not by the HTTP library, because what is said to the hub (the token) must not be
//! said to the host that it sends to, as in Python's `huggingface_hub`.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use serde::Deserialize;
use ureq::{
    Agent, Body,
    http::{Response, Uri, header::HeaderMap},
};

use super::RepoKind;

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
    /// The answer is not what a hub says.
    #[error("the hub's answer cannot be used: {0}")]
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
        format!("{}/{}{repo}/resolve/{commit}/{name}", self.endpoint, kind.in_front())
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

/// Scheme, host and port.
fn place(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let port = url.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, url.host()?.to_ascii_lowercase(), port))
}

fn same_place(a: &str, b: &str) -> bool {
    place(a).is_some_and(|a| place(b) == Some(a))
}

/// Where `location` leads from `url` (RFC 3986, section 5.2, without dot segments).
fn join(url: &str, location: &str) -> Result<String, Fault> {
    let unusable = || Fault::Answer("it sends to an address that is none".to_owned());
    let base: Uri = url.parse().map_err(|_| unusable())?;
    let (scheme, authority) = (base.scheme_str().ok_or_else(unusable)?, base.authority().ok_or_else(unusable)?);
    let joined = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    place(&joined).map(|_| joined).ok_or_else(unusable)
}

/// Runs `work` on a thread of its own, and waits for it as long as `stop` does not say to stop. Work that nobody waits
/// for any more sees the flag that it is given, and ends with the server's next word or silence.
pub(crate) fn watched<T: Send + 'static>(
    stop: &dyn Fn() -> bool,
    work: impl FnOnce(&AtomicBool) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (done, result) = mpsc::channel();
    let flag = Arc::clone(&cancelled);
    thread::Builder::new().name("hub".to_owned()).spawn(move || done.send(work(&flag)))?;
    loop {
        match result.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the request's thread died").into()),
            Err(RecvTimeoutError::Timeout) if stop() => {
                cancelled.store(true, Ordering::Relaxed);
                return Err(Fault::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Writes what an answer holds behind what a file has; no more than the server announced. Says how much it was.
pub(crate) fn receive(
    answer: &mut Response<Body>,
    file: &mut fs::File,
    announced: Option<u64>,
    cancelled: &AtomicBool,
) -> Result<u64, Fault> {
    let mut body = answer.body_mut().as_reader();
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
        if let Some(size) = announced.filter(|&size| there > size) {
            return Err(Fault::Answer(format!("more than the announced {size} bytes arrive")));
        }
        file.write_all(&block[..count])?;
    }
}

/// Waits; `false` if it is to stop.
pub(crate) fn pause(duration: Duration, stop: &dyn Fn() -> bool) -> bool {
    let end = std::time::Instant::now() + duration;
    while std::time::Instant::now() < end {
        if stop() {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The lock that programs take which write a file of the cache; one that is dead has none.
pub(crate) fn lock(path: &Path, stop: &AtomicBool) -> Result<Option<fs::File>, Fault> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => return Err(Fault::Cancelled),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            // A file system without locks: what two programs write at once is checked by its size.
            Err(fs::TryLockError::Error(_)) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_joined_and_compared() {
        let from = "https://hub.co:8443/org/name/resolve/main/file";
        for (location, expect) in [
            ("/x?y=1", "https://hub.co:8443/x?y=1"),
            ("other", "https://hub.co:8443/org/name/resolve/main/other"),
            ("//cdn.co/x", "https://cdn.co/x"),
            ("http://cdn.co/x", "http://cdn.co/x"),
        ] {
            assert_eq!(join(from, location).unwrap(), expect);
        }
        assert!(join(from, "http://").is_err());
        assert!(same_place("https://HUB.co/a", "https://hub.co:443"));
        for other in ["http://hub.co", "https://hub.co:444", "https://hub.co.evil", "https://a.hub.co"] {
            assert!(!same_place("https://hub.co/a", other), "{other}");
        }
    }
}
