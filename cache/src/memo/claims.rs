//! Claims: which rows of a recipe somebody is computing just now, so that everybody else follows instead of computing
//! them once more.
//!
//! ```text
//! claims/<board>-<token>     what one worker has taken upon itself: row digests, or ranges of attempts
//! claims/<board>-<token>.ask names a worker whose rows this one would take over, as far as they are not begun
//! leases/<token>             held by that worker as long as it lives; what a dead one had claimed is free
//! leases/<board>             held while somebody looks at all claims of a board and adds to its own
//! ```
//!
//! A board is a recipe with the schema of its rows. Workers are threads of any processes; those of one process wake
//! each other, those of several look again every now and then. Who has nothing left to claim asks the one with the most
//! rows left, which gives up half of those that it has not begun: so rows are shared by how long they take, whenever a
//! worker comes, and who is alone does all without a stop. Claims promise nothing: rows computed twice are the same
//! rows (I11), so a claim that is lost costs time and never a wrong result.

mod asking;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::spans::Spans;
use crate::{
    disk::{paths, stat::Stat},
    error::{IoContext, StoreError},
    hash::{Digest, Hasher},
    machine::{self, LeaseOwner},
    share::{Lease, LeaseAttempt},
    store::Store,
};

/// How often a board that another process looks at is asked for.
const POLL: Duration = Duration::from_millis(1);
/// How often a worker that waits for its turn asks whether it has been cancelled.
const PATIENCE: Duration = Duration::from_millis(50);

/// What one worker has taken upon itself; the content of its file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claimed {
    /// Who computes: builds whose rows may differ do not follow each other.
    maker: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rows: Vec<Digest>,
    #[serde(default)]
    pub(crate) attempts: Spans,
}

/// Another live worker.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) token: Digest,
    pub(crate) owner: Option<LeaseOwner>,
    pub(crate) claimed: Arc<Claimed>,
}

/// What the other live workers of a board have claimed.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) rows: HashSet<Digest>,
    pub(crate) all: Vec<Other>,
    pub(crate) attempts: Vec<Spans>,
    /// One of them.
    pub(crate) owner: Option<LeaseOwner>,
}

/// What workers of this process share of a board.
#[derive(Debug, Default)]
struct Board {
    state: Mutex<BoardState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BoardState {
    /// How often something was written down or given up.
    changes: u64,
    /// Whether somebody of this process holds the board's lease, or waits for it.
    deciding: bool,
    /// Whether a stream of this process is computing.
    led: bool,
    /// How far the streams of this process would have the attempts computed.
    wanted: BTreeMap<u64, u64>,
}

type Boards = BTreeMap<PathBuf, Weak<Board>>;
/// The boards in use, by the path that their claims begin with.
static BOARDS: Mutex<Boards> = Mutex::new(BTreeMap::new());
/// Numbers the workers of this process.
static WORKERS: AtomicU64 = AtomicU64::new(0);

impl Board {
    fn at(path: PathBuf) -> Arc<Self> {
        let mut boards = BOARDS.lock();
        if let Some(board) = boards.get(&path).and_then(Weak::upgrade) {
            return board;
        }
        boards.retain(|_, board| board.strong_count() > 0);
        let board = Arc::<Self>::default();
        boards.insert(path, Arc::downgrade(&board));
        board
    }

    fn change(&self, change: impl FnOnce(&mut BoardState)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }
}

/// Wakes whoever waits for rows, when others of this process have written down some or have given up.
#[derive(Debug, Clone)]
pub struct Changes(Arc<Board>);

impl Changes {
    /// How many changes there were: to be asked before looking, and handed to [`Changes::wait`].
    pub fn count(&self) -> u64 {
        self.0.state.lock().changes
    }

    /// Waits until there were more than `seen` changes, at most so long.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while_for(&mut state, |state| state.changes <= seen, timeout);
    }
}

/// The right to compute attempts, which one stream of a process has at a time; the others follow it, until it is
/// dropped.
#[derive(Debug)]
pub struct Lead(Arc<Board>);

impl Drop for Lead {
    fn drop(&mut self) {
        self.0.change(|state| state.led = false);
    }
}

/// One worker's turn to decide.
pub(crate) struct Turn {
    board: Arc<Board>,
    lease: Option<Lease>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // First that of all processes: who is woken here asks for it at once.
        self.lease = None;
        self.board.state.lock().deciding = false;
        self.board.changed.notify_all();
    }
}

/// One worker's side of a board.
pub(crate) struct Claims {
    store: Store,
    /// Names the board's lease.
    id: Digest,
    board: Arc<Board>,
    worker: u64,
    maker: String,
    own: Option<Own>,
    /// What was read last, by file.
    read: HashMap<PathBuf, (Stat, Arc<Claimed>)>,
}

/// A claim in force.
struct Own {
    /// Held as long as the file is to be believed.
    _lease: Lease,
    token: Digest,
    path: PathBuf,
    claimed: Claimed,
    /// Whom it has asked for rows.
    asked: Option<Digest>,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.take_back();
        if let Err(error) = paths::remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a claim was not removed; the next who looks will");
        }
    }
}

impl Claims {
    pub(crate) fn new(store: &Store, recipe: &Digest, schema: &Digest) -> Self {
        let id = Hasher::new("pipe.board.v1").digest(recipe).digest(schema).finish();
        let board = Board::at(store.layout().claim(&id, None));
        let worker = WORKERS.fetch_add(1, Ordering::Relaxed);
        Self { store: store.clone(), id, board, worker, maker: String::new(), own: None, read: HashMap::new() }
    }

    pub(crate) fn sign(&mut self, maker: String) {
        self.maker = maker;
    }

    pub(crate) fn changes(&self) -> Changes {
        Changes(Arc::clone(&self.board))
    }

    /// Tells the others of this process that there are new rows.
    pub(crate) fn written(&self) {
        self.board.change(|_| {});
    }

    pub(crate) fn lead(&self) -> Option<Lead> {
        let mut state = self.board.state.lock();
        let led = std::mem::replace(&mut state.led, true);
        (!led).then(|| Lead(Arc::clone(&self.board)))
    }

    /// Says how far this worker would have the attempts computed; returns how far some worker of this process would.
    pub(crate) fn want(&self, until: u64) -> u64 {
        let mut state = self.board.state.lock();
        state.wanted.insert(self.worker, until);
        state.wanted.values().copied().max().unwrap_or(until)
    }

    /// What the live others have claimed. Files of dead ones are removed.
    pub(crate) fn look(&mut self) -> Result<Others, StoreError> {
        let mut others = Others::default();
        let mut read = std::mem::take(&mut self.read);
        for path in claims_of(&self.store, &self.id)? {
            let Some(token) = token_of(&path).filter(|token| self.own.as_ref().is_none_or(|own| own.token != *token))
            else {
                continue;
            };
            let owner = match self.store.try_lease(&token)? {
                LeaseAttempt::Acquired(_lease) => {
                    paths::remove(&path).at("remove", &path)?;
                    continue;
                }
                LeaseAttempt::Held(owner) => owner,
            };
            // Gone: given up just now. Unreadable: computed twice, perhaps.
            let Some((stat, claimed)) = read_claim(&path, read.remove(&path)) else { continue };
            self.read.insert(path, (stat, Arc::clone(&claimed)));
            if claimed.maker != self.maker {
                return Err(StoreError::Builds { ours: self.maker.clone(), theirs: claimed.maker.clone(), owner });
            }
            others.rows.extend(&claimed.rows);
            others.attempts.push(claimed.attempts.clone());
            others.owner = others.owner.or_else(|| owner.clone());
            others.all.push(Other { token, owner, claimed });
        }
        Ok(others)
    }

    /// Waits until nobody else decides what to take upon himself, and keeps it so until dropped. `None` when
    /// `cancelled` said so before it was this worker's turn.
    pub(crate) fn turn(&self, cancelled: &dyn Fn() -> bool) -> Result<Option<Turn>, StoreError> {
        let mut state = self.board.state.lock();
        while state.deciding {
            if cancelled() {
                return Ok(None);
            }
            self.board.changed.wait_for(&mut state, PATIENCE);
        }
        state.deciding = true;
        drop(state);
        let mut turn = Turn { board: Arc::clone(&self.board), lease: None };
        loop {
            match self.store.try_lease(&self.id)? {
                LeaseAttempt::Acquired(lease) => turn.lease = Some(lease),
                LeaseAttempt::Held(_) if cancelled() => return Ok(None),
                LeaseAttempt::Held(_) => {
                    std::thread::sleep(POLL);
                    continue;
                }
            }
            return Ok(Some(turn));
        }
    }

    /// What this worker has claimed.
    pub(crate) fn claimed(&self) -> Option<&Claimed> {
        self.own.as_ref().map(|own| &own.claimed)
    }

    /// Adds to what this worker has claimed. To be called in its turn.
    pub(crate) fn add(&mut self, add: impl FnOnce(&mut Claimed)) -> Result<(), StoreError> {
        let mut own = match self.own.take() {
            Some(own) => own,
            None => self.begin()?,
        };
        own.take_back();
        add(&mut own.claimed);
        let json = serde_json::to_vec(&own.claimed).map_err(|e| StoreError::rows("claim rows", e))?;
        let temp = self.store.session()?.temp();
        fs::write(&temp, json).at("write", &temp)?;
        fs::rename(&temp, &own.path).at("write", &own.path)?;
        self.own = Some(own);
        Ok(())
    }

    fn begin(&self) -> Result<Own, StoreError> {
        loop {
            let mut h = Hasher::new("pipe.claim.v1");
            h.str(&machine::host_name()).u64(u64::from(std::process::id())).u64(machine::now_ms());
            let token = h.u64(WORKERS.fetch_add(1, Ordering::Relaxed)).finish();
            if let LeaseAttempt::Acquired(lease) = self.store.try_lease(&token)? {
                let claimed = Claimed { maker: self.maker.clone(), ..Claimed::default() };
                return Ok(Own {
                    _lease: lease,
                    token,
                    path: self.store.layout().claim(&self.id, Some(&token)),
                    claimed,
                    asked: None,
                });
            }
        }
    }

    /// Gives up all that was claimed.
    pub(crate) fn release(&mut self) {
        if self.own.take().is_some() {
            self.board.change(|_| {});
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.own = None;
        self.board.change(|state| {
            state.wanted.remove(&self.worker);
        });
    }
}

/// What a file of claims says, and what `stat` says of it; `known` is what it said when it was read last. Files are
/// replaced, never changed.
fn read_claim(path: &Path, known: Option<(Stat, Arc<Claimed>)>) -> Option<(Stat, Arc<Claimed>)> {
    let stat = Stat::at(path).ok().flatten()?;
    if let Some(known) = known.filter(|(then, _)| *then == stat) {
        return Some(known);
    }
    Some((stat, Arc::new(serde_json::from_slice(&fs::read(path).ok()?).ok()?)))
}

/// The files of a board's claims.
fn claims_of(store: &Store, id: &Digest) -> Result<Vec<PathBuf>, StoreError> {
    let prefix = id.to_string();
    let mut paths = all_claims(store)?;
    paths.retain(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix)));
    Ok(paths)
}

/// All files of claims, as they are now.
fn all_claims(store: &Store) -> Result<Vec<PathBuf>, StoreError> {
    let folder = store.layout().claims();
    store.layout().refresh(&folder);
    paths::list(&folder)
}

/// Whose claim a file is; `None` of one that only asks for rows.
fn token_of(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.split_once('-')?.1.parse().ok()
}

/// Removes what dead workers had claimed. Returns how many files that were.
pub(crate) fn sweep(store: &Store) -> Result<usize, StoreError> {
    let mut swept = 0;
    for path in all_claims(store)? {
        let asking = path.to_str().and_then(|name| name.strip_suffix(asking::ENDING)).map(Path::new);
        let free = match token_of(asking.unwrap_or(&path)) {
            Some(token) => matches!(store.try_lease(&token)?, LeaseAttempt::Acquired(_)),
            None => true,
        };
        if free {
            paths::remove(&path).at("remove", &path)?;
            swept += 1;
        }
    }
    Ok(swept)
}
