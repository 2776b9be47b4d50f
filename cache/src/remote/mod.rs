//! A second level of the store, on another machine: results and rows that somebody else has computed come from there,
//! and what is computed here goes there. The local store is asked first; what a remote does wrong costs a warning and a
//! count, never a run.
//!
//! ```text
//! miss -> pull(key): record, objects, each byte hashed -> as if it had been published here
//! published -> submit(key) -> in the background: objects, then the record, where none is yet
//! ```
//!
//! Where things lie there is described in [`names`]; what a remote must be able to do in [`transport`].

mod access;
mod blobs;
mod bucket;
mod check;
mod collect;
mod fault;
mod folder;
mod http;
mod line;
mod memo;
mod names;
mod notes;
mod pull;
mod push;
mod queue;
mod record;
mod segment;
mod transport;
mod web;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

pub(crate) use self::notes::merged;
pub use self::{
    access::{Access, Secret},
    check::{Ability, CheckStep},
    collect::{CollectPolicy, Collected},
    push::Pushed,
};
use self::{
    bucket::Bucket,
    folder::Folder,
    http::Http,
    line::{Line, Way},
    queue::Queue,
    transport::Transport,
    web::Web,
};
use crate::{disk::Manifest, hash::Digest};

/// Which way things go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RemoteMode {
    /// Results come from the remote; none go there.
    Pull,
    /// Results go to the remote; none come from there.
    Push,
    /// Both.
    #[default]
    Both,
}

/// Where a remote is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// `file:///folder`, `https://server/path`, `s3://bucket/prefix`.
    pub url: String,
    /// Which way things go.
    pub mode: RemoteMode,
    /// The longest silence.
    pub timeout: Duration,
    /// The server of a bucket, where that is not Amazon's.
    pub endpoint: Option<String>,
    /// The region of a bucket.
    pub region: Option<String>,
    /// Who we are there.
    pub access: Access,
}

impl RemoteOptions {
    /// What is used where nothing else is said.
    pub fn new(url: impl Into<String>) -> Self {
        let (mode, timeout) = (RemoteMode::Both, Duration::from_secs(20));
        Self { url: url.into(), mode, timeout, endpoint: None, region: None, access: Access::Anonymous }
    }
}

/// What cannot be a remote.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct RemoteError {
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

/// What went to and came from a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemoteCounts {
    /// Results that came.
    pub pulled: u64,
    /// Results that went.
    pub pushed: u64,
    /// Results that were there already when they were to go.
    pub there: u64,
    /// Results, and memos, that were to go and did not.
    pub unpushed: u64,
    /// Bytes that came.
    pub bytes_pulled: u64,
    /// Bytes that went.
    pub bytes_pushed: u64,
    /// Packs of rows that came.
    pub segments_pulled: u64,
    /// Packs of rows that went.
    pub segments_pushed: u64,
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Requests that failed for good, and things that came damaged.
    pub failures: u64,
}

/// A remote. Clones share everything; all methods may be called from any thread.
#[derive(Clone)]
pub struct Remote {
    inner: Arc<Inner>,
}

struct Inner {
    line: Line,
    mode: RemoteMode,
    id: String,
    counts: Mutex<RemoteCounts>,
    queue: Arc<Queue>,
    /// What was found when somebody looked ahead, until it is pulled.
    records: Mutex<HashMap<Digest, Arc<Manifest>>>,
    /// Memos go one at a time: two that pack the same shards would write them twice.
    memos: Mutex<()>,
}

impl Remote {
    /// A remote, which is not asked anything yet.
    pub fn open(options: &RemoteOptions) -> Result<Self, RemoteError> {
        let transport = transport(options)?;
        let id = Digest::of_bytes(options.url.trim_end_matches('/').as_bytes()).to_string()[..16].to_owned();
        Ok(Self {
            inner: Arc::new(Inner {
                line: Line::new(transport),
                mode: options.mode,
                id,
                counts: Mutex::default(),
                queue: Arc::default(),
                records: Mutex::default(),
                memos: Mutex::default(),
            }),
        })
    }

    /// Whether results may come from it, just now.
    pub fn pulls(&self) -> bool {
        self.inner.mode != RemoteMode::Push && !self.line().is_left_alone(Way::Read)
    }

    /// Whether results may go to it.
    pub fn pushes(&self) -> bool {
        self.inner.mode != RemoteMode::Pull
    }

    /// What went and came so far.
    pub fn counts(&self) -> RemoteCounts {
        let (requests, failures) = self.line().counts();
        RemoteCounts { requests, failures, ..*self.inner.counts.lock() }
    }

    /// What people should know, once.
    pub fn take_warnings(&self) -> Vec<String> {
        self.line().take_warnings()
    }

    fn mode(&self) -> RemoteMode {
        self.inner.mode
    }

    fn line(&self) -> &Line {
        &self.inner.line
    }

    fn id(&self) -> &str {
        &self.inner.id
    }

    fn records_seen(&self) -> &Mutex<HashMap<Digest, Arc<Manifest>>> {
        &self.inner.records
    }

    fn memos(&self) -> &Mutex<()> {
        &self.inner.memos
    }

    fn queue(&self) -> &Arc<Queue> {
        &self.inner.queue
    }

    fn count(&self, change: impl FnOnce(&mut RemoteCounts)) {
        change(&mut self.inner.counts.lock());
    }
}

/// Asks of many keys at the same time; the answers are in the order of the keys.
fn at_once<T: Send + Sync>(keys: &[Digest], ask: impl Fn(&Digest) -> T + Sync) -> Vec<T> {
    const AT_ONCE: usize = 16;
    let next = AtomicUsize::new(0);
    let answers: Vec<OnceLock<T>> = keys.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(keys.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((key, answer)) = keys.get(at).zip(answers.get(at)) else { return };
                    let _ = answer.set(ask(key));
                }
            });
        }
    });
    answers.into_iter().map(|answer| answer.into_inner().expect("every key was asked for")).collect()
}

fn transport(options: &RemoteOptions) -> Result<Box<dyn Transport>, RemoteError> {
    let url = &options.url;
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority.contains('@') {
        return Err(RemoteError {
            problem: "the remote's address has a user or a password in it".to_owned(),
            help: "keep them out of it: the environment is where they belong (PIPE_REMOTE_USER, PIPE_REMOTE_PASSWORD)"
                .to_owned(),
        });
    }
    if let Some(path) = url.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err(RemoteError {
                problem: format!("the remote {url} names no folder from the root on"),
                help: "write it as file:///folder".to_owned(),
            });
        }
        return Ok(Box::new(Folder::new(PathBuf::from(path))));
    }
    if url.starts_with("s3://") {
        return Ok(Box::new(Bucket::new(options, Http::new(options.timeout, 0))?));
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Box::new(Web::new(url, Http::new(options.timeout, 3), &options.access)));
    }
    Err(RemoteError {
        problem: format!("the remote {url} is of no known kind"),
        help: "it begins with s3://, https:// or file:///".to_owned(),
    })
}
