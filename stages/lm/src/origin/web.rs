//! Files from any address, kept in a cache of their own and asked for again only where they have changed.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    hub::{Client, Fault, Question, lock, receive, retry, watched},
    variables,
};

/// For how long an answer of a server holds: a run looks at what it depends on several times.
const FRESH: Duration = Duration::from_secs(60);

/// The files of an address in its folder.
const CONTENT: &str = "content";
const FACTS: &str = "facts.json";

/// Where files of addresses are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebCache {
    /// The folder.
    pub folder: PathBuf,
    /// Whether to use the cache alone.
    pub offline: bool,
}

/// What a server said of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// The SHA-256 of the content that it was said of.
    sha256: Option<String>,
}

impl Facts {
    /// What was said of an address whose content was kept in a folder, if anything was.
    fn of(url: &str, folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(FACTS)).ok()?;
        serde_json::from_str(&text).ok().filter(|facts: &Self| facts.url == url)
    }

    /// Whether the content is still that of which it was said.
    fn hold(&self, content: &Path) -> bool {
        self.sha256.as_ref().is_some_and(|known| sha256_of(content).is_ok_and(|found| found == *known))
    }
}

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Not in the cache, and the network is not to be used.
    #[error("find {url} in {}: it was never downloaded, and offline mode forbids to do so", cache.display())]
    Offline {
        /// The address.
        url: String,
        /// The cache.
        cache: PathBuf,
    },
    /// What the cache has of it is damaged, and the network is not to be used.
    #[error("use {url}: what was downloaded to {} is damaged", path.display())]
    Damaged {
        /// The address.
        url: String,
        /// Where its content lies.
        path: PathBuf,
    },
    /// The server refuses, or the connection broke, more than once where that may help.
    #[error("download {url}")]
    Transfer {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<Fault>,
    },
    /// The caller said to stop.
    #[error("download {url}: it was cancelled")]
    Cancelled {
        /// The address.
        url: String,
    },
    /// The content is another than the one that is wanted.
    #[error("use {url}: the content has the SHA-256 {found} and not {wanted}")]
    Digest {
        /// The address.
        url: String,
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// The cache cannot be written or read.
    #[error("use the cache {}", path.display())]
    Cache {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl WebCache {
    /// Takes `XDG_CACHE_HOME` or `HOME`, and the variables that make the hub's client stay offline.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let folder = variables::caches(&variable).join("pipe").join("web");
        Self { folder, offline: variables::offline(&variable) }
    }

    /// Brings the content of an address into the cache, if it is not there as it is now, and says where it is. With
    /// `sha256` (hexadecimal) nothing is asked where that content is there. `stop` is asked many times a second.
    ///
    /// # Errors
    /// The server refuses or cannot be reached; offline, the cache does not have it; the content is not the wanted one.
    pub fn fetch(&self, url: &str, sha256: Option<&str>, stop: &dyn Fn() -> bool) -> Result<PathBuf, WebError> {
        let folder = self.folder.join(blake3::hash(url.as_bytes()).to_hex().as_str());
        let content = folder.join(CONTENT);
        let cache = |source| WebError::Cache { path: folder.clone(), source };
        let wrong = |path: &Path, wanted: &str| -> Result<(), WebError> {
            let found = sha256_of(path).map_err(cache)?;
            let wanted = wanted.to_lowercase();
            if found == wanted { Ok(()) } else { Err(WebError::Digest { url: url.to_owned(), wanted, found }) }
        };
        if let Some(wanted) = sha256
            && content.exists()
            && wrong(&content, wanted).is_ok()
        {
            return Ok(content);
        }
        if self.offline {
            if !content.exists() {
                return Err(WebError::Offline { url: url.to_owned(), cache: self.folder.clone() });
            }
            if Facts::of(url, &folder).is_some_and(|facts| !facts.hold(&content)) {
                return Err(WebError::Damaged { url: url.to_owned(), path: content });
            }
        } else if sha256.is_some() || !is_fresh(&content) {
            fs::create_dir_all(&folder).map_err(cache)?;
            Self::ask(url, &folder, stop)?;
            looked_at(&content);
        }
        sha256.map_or(Ok(()), |wanted| wrong(&content, wanted))?;
        Ok(content)
    }

    /// Asks the server, for what has changed alone.
    fn ask(url: &str, folder: &Path, stop: &dyn Fn() -> bool) -> Result<(), WebError> {
        let ask = || {
            let (to, folder) = (url.to_owned(), folder.to_owned());
            watched(stop, move |cancelled| renew(&to, &folder, cancelled))
        };
        retry(url, stop, ask).map_err(|fault| match fault {
            Fault::Cancelled => WebError::Cancelled { url: url.to_owned() },
            fault => WebError::Transfer { url: url.to_owned(), source: Box::new(fault) },
        })
    }
}

/// Which contents were compared with their servers, and when.
static LOOKS: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());

fn is_fresh(content: &Path) -> bool {
    LOOKS.lock().get(content).is_some_and(|at| at.elapsed() < FRESH) && content.exists()
}

fn looked_at(content: &Path) {
    LOOKS.lock().insert(content.to_owned(), Instant::now());
}

/// Downloads what has changed. The content is there as a whole or not at all.
fn renew(url: &str, folder: &Path, cancelled: &AtomicBool) -> Result<(), Fault> {
    let (content, facts) = (folder.join(CONTENT), folder.join(FACTS));
    let _lock = lock(&content, cancelled)?;
    // Of content that is damaged, or not there, nothing is known: it is asked for as if it had never been.
    let known = Facts::of(url, folder).filter(|known| known.hold(&content)).unwrap_or_default();
    let question = Question { etag: known.etag.as_deref(), modified: known.last_modified.as_deref(), range: None };
    // The token is the hub's, and no address here is.
    let mut answer = match Client::new(url, None).ask(url, &question) {
        Ok(answer) => answer,
        Err(Fault::Status(304)) if known.url == url => return Ok(()),
        Err(fault) => return Err(fault),
    };
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (etag, last_modified) = (header("etag"), header("last-modified"));
    let size: Option<u64> = header("content-length").and_then(|size| size.parse().ok());
    let part = folder.join("part");
    let mut file = fs::File::create(&part)?;
    let there = receive(&mut answer, &mut file, size, cancelled)?;
    if size.is_some_and(|size| size != there) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    file.sync_all()?;
    let said = Facts { url: url.to_owned(), etag, last_modified, sha256: Some(sha256_of(&part)?) };
    // What was said of the old content must not stand beside the new one.
    match fs::remove_file(&facts) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    fs::rename(&part, &content)?;
    fs::write(&facts, serde_json::to_string(&said).unwrap_or_default())?;
    Ok(())
}

/// The SHA-256 of a file, in hexadecimal digits.
fn sha256_of(path: &Path) -> io::Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut file = fs::File::open(path)?;
    let mut block = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            break;
        }
        context.update(&block[..count]);
    }
    Ok(context.finish().as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex).collect())
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}
