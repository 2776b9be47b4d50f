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

use super::hub::{Client, Fault, Question, lock, pause, receive, watched};

/// For how long an answer of a server holds: a run looks at what it depends on several times.
const FRESH: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

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
        let hub = super::HubSettings::from_variables(&variable);
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".cache");
        let cache = variable("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
        Self { folder: cache.join("pipe").join("web"), offline: hub.offline }
    }

    /// Brings the content of an address into the cache, if it is not there as it is now, and says where it is. With
    /// `sha256` (hexadecimal) nothing is asked where that content is there. `stop` is asked many times a second.
    ///
    /// # Errors
    /// The server refuses or cannot be reached; offline, the cache does not have it; the content is not the wanted one.
    pub fn fetch(&self, url: &str, sha256: Option<&str>, stop: &dyn Fn() -> bool) -> Result<PathBuf, WebError> {
        let folder = self.folder.join(blake3::hash(url.as_bytes()).to_hex().as_str());
        let content = folder.join("content");
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
        } else if !is_fresh(&content) {
            fs::create_dir_all(&folder).map_err(cache)?;
            Self::ask(url, &folder, stop)?;
            looked_at(&content);
        }
        sha256.map_or(Ok(()), |wanted| wrong(&content, wanted))?;
        Ok(content)
    }

    /// Asks the server, for what has changed alone.
    fn ask(url: &str, folder: &Path, stop: &dyn Fn() -> bool) -> Result<(), WebError> {
        let mut wait = PAUSE;
        for attempt in 1.. {
            let (to, folder) = (url.to_owned(), folder.to_owned());
            let fault = match watched(stop, move |cancelled| renew(&to, &folder, cancelled)) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if matches!(fault, Fault::Cancelled) || (fault.may_pass() && attempt < ATTEMPTS && !pause(wait, stop)) {
                return Err(WebError::Cancelled { url: url.to_owned() });
            }
            if !fault.may_pass() || attempt >= ATTEMPTS {
                return Err(WebError::Transfer { url: url.to_owned(), source: Box::new(fault) });
            }
            wait *= 2;
        }
        Ok(())
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
    let (content, facts) = (folder.join("content"), folder.join("facts.json"));
    let _lock = lock(&content, cancelled)?;
    let known: Option<Facts> = fs::read_to_string(&facts).ok().and_then(|text| serde_json::from_str(&text).ok());
    let known = known.filter(|known| known.url == url && content.exists()).unwrap_or_default();
    let question = Question { etag: known.etag.as_deref(), modified: known.last_modified.as_deref(), range: None };
    // The token is the hub's, and no address here is.
    let mut answer = match Client::new(url, None).ask(url, &question) {
        Ok(answer) => answer,
        Err(Fault::Status(304)) => return Ok(()),
        Err(fault) => return Err(fault),
    };
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let said = Facts { url: url.to_owned(), etag: header("etag"), last_modified: header("last-modified") };
    let size: Option<u64> = header("content-length").and_then(|size| size.parse().ok());
    let part = folder.join("part");
    let mut file = fs::File::create(&part)?;
    let there = receive(&mut answer, &mut file, size, cancelled)?;
    if size.is_some_and(|size| size != there) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    file.sync_all()?;
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
