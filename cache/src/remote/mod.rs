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
mod stop;
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
};
use self::{
    bucket::Bucket,
    fault::without_query,
    folder::Folder,
    http::Http,
    line::{Line, Way},
    queue::Queue,
    stop::Stop,
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
    /// By recipe: two that pack the same shards would write them twice.
    memos: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
}

impl Remote {
    /// A remote, which is not asked anything yet.
    pub fn open(options: &RemoteOptions) -> Result<Self, RemoteError> {
        let stop = Stop::default();
        let transport = transport(options, stop.clone())?;
        let id = Digest::of_bytes(options.url.trim_end_matches('/').as_bytes()).to_string()[..16].to_owned();
        Ok(Self::over(Line::new(transport, stop), options.mode, id))
    }

    fn over(line: Line, mode: RemoteMode, id: String) -> Self {
        let inner = Inner {
            line,
            mode,
            id,
            counts: Mutex::default(),
            queue: Arc::default(),
            records: Mutex::default(),
            memos: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
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

    /// What is locked by who exchanges the rows of a recipe.
    fn turn(&self, recipe: &Digest) -> Arc<Mutex<()>> {
        Arc::clone(self.inner.memos.lock().entry(*recipe).or_default())
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
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, answer)) = keys.get(at).zip(answers.get(at)) else { return };
            let _ = answer.set(ask(key));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(keys.len()) {
            // Where there are no more threads, those that there are do it.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    answers.into_iter().map(|answer| answer.into_inner().expect("every key was asked for")).collect()
}

/// Whether an address names a user, and perhaps a password. What begins with no scheme may be anything: there, an `@`
/// anywhere is enough.
fn names_a_user(url: &str) -> bool {
    url.split_once("://").map_or(url, |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default()).contains('@')
}

fn transport(options: &RemoteOptions, stop: Stop) -> Result<Box<dyn Transport>, RemoteError> {
    let url = &options.url;
    let endpoint = options.endpoint.as_deref().unwrap_or_default();
    for (what, address, instead) in [
        ("the remote's address", url.as_str(), "PIPE_REMOTE_USER, PIPE_REMOTE_PASSWORD"),
        ("the endpoint of the remote", endpoint, "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
    ] {
        if names_a_user(address) {
            return Err(RemoteError {
                problem: format!("{what} has a user or a password in it"),
                help: format!("keep them out of it: the environment is where they belong ({instead})"),
            });
        }
    }
    if let Some(path) = url.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err(RemoteError {
                problem: format!("the remote {url} names no folder from the root on"),
                help: "write it as file:///folder".to_owned(),
            });
        }
        return Ok(Box::new(Folder::new(PathBuf::from(path), stop)));
    }
    if url.starts_with("s3://") {
        return Ok(Box::new(Bucket::new(options, Http::new(options.timeout, 0, stop))?));
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Box::new(Web::new(url, Http::new(options.timeout, 3, stop), &options.access)));
    }
    Err(RemoteError {
        problem: format!("the remote {} is of no known kind", without_query(url)),
        help: "it begins with s3://, https:// or file:///".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        fault::Fault,
        transport::{Answer, Content, Listed},
        *,
    };
    use crate::store::{Store, StoreOptions};

    /// What nobody expects of a reader.
    struct Panics;

    impl Transport for Panics {
        fn head(&self, _: &str) -> Result<Option<u64>, Fault> {
            panic!("head")
        }

        fn get(&self, _: &str, _: u64) -> Result<Option<Answer>, Fault> {
            panic!("get")
        }

        fn put(&self, _: &str, _: &Content<'_>, _: bool) -> Result<bool, Fault> {
            panic!("put")
        }

        fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, Fault> {
            panic!("list")
        }

        fn delete(&self, _: &[String]) -> Result<(), Fault> {
            panic!("delete")
        }
    }

    #[test]
    fn a_panic_is_a_failure_of_the_remote_and_nobody_waits_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let key = Digest::of_bytes(b"key");
        let line = Line::new(Box::new(Panics), Stop::default());
        let remote = Remote::over(line, RemoteMode::Both, "id".to_owned());
        assert!(remote.pull(&store, &key).is_none());
        assert_eq!(remote.records(&[key; 3]), [None, None, None]);
        remote.pull_memo(&store, &key);
        assert_eq!(remote.counts().failures, 5);
        let lease = match store.try_lease(&key).unwrap() {
            crate::share::LeaseAttempt::Acquired(lease) => lease,
            crate::share::LeaseAttempt::Held(_) => panic!("nobody has it"),
        };
        store.begin(lease, &[""; 0]).unwrap().commit(crate::disk::Provenance::default()).unwrap();
        remote.submit(&store, &key, false);
        remote.wait(&|| false);
        assert_eq!((remote.counts().failures, remote.counts().unpushed), (6, 1));
        assert!(remote.take_warnings()[0].contains("panicked over it: get"));
    }
}
