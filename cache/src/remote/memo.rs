//! Memos on a remote: segments under numbers, each written by who finds its number free. So nobody has to list, and a
//! web server that knows GET and PUT will do.

use std::{fs, path::PathBuf};

use super::{
    Remote,
    fault::Fault,
    names,
    notes::{self, Notes},
    segment,
    transport::Content,
};
use crate::{
    disk::{object, paths},
    error::{IoContext, StoreError},
    hash::Digest,
    memo::shard::{self, ShardDir},
    share::sync::SyncJob,
    store::{Store, with_parents},
};

/// More segments than this are not looked at: somebody fills the remote with nonsense.
const MOST_SEGMENTS: u64 = 100_000;

impl Remote {
    /// Brings the rows of a recipe into the store that the remote has and this store has not seen.
    pub fn pull_memo(&self, store: &Store, recipe: &Digest) {
        if self.pulls() && !store.read_only() {
            let _turn = self.memos().lock();
            let path = self.notes(store, recipe);
            let mut notes = self.noted(store, recipe);
            let before = notes.clone();
            if let Err(fault) = self.catch_up(store, recipe, &mut notes) {
                tracing::debug!(?recipe, %fault, "the rows of the remote are not all here");
            }
            if notes != before {
                notes.save(&path);
            }
        }
    }

    /// Writes the rows of a recipe to the remote that it does not have. Returns how many bytes went.
    pub(super) fn push_memo(&self, store: &Store, recipe: &Digest) -> Result<u64, Fault> {
        let _turn = self.memos().lock();
        let path = self.notes(store, recipe);
        let mut notes = self.noted(store, recipe);
        // What is written must not leave a gap, as after a collection.
        let last = notes.next.checked_sub(1).map(|last| names::segment(recipe, last));
        if let Some(last) = last
            && self.line().ask("look for", &last, |t| t.head(&last))?.is_none()
        {
            notes = Notes::default();
        }
        let outcome = self.push_shards(store, recipe, &mut notes);
        notes.save(&path);
        outcome
    }

    fn push_shards(&self, store: &Store, recipe: &Digest, notes: &mut Notes) -> Result<u64, Fault> {
        let shards = shard::list(&store.layout().memo(recipe), "")?;
        let mut left: Vec<PathBuf> = shards.into_iter().filter(|s| !notes.shards.contains(&notes::name(s))).collect();
        left.reverse();
        let mut sent = 0;
        while let Some(packed) = pack(recipe, &mut left) {
            loop {
                if notes.next > MOST_SEGMENTS {
                    return Ok(sent);
                }
                let name = names::segment(recipe, notes.next);
                let content = Content::Bytes(&packed.bytes);
                if self.line().ask("write", &name, |t| t.put(&name, &content, true))? {
                    notes.next += 1;
                    notes.shards.extend(packed.names);
                    break;
                }
                // Somebody else came first: it is read instead, and the next number tried.
                let before = notes.next;
                if self.pulls() {
                    self.catch_up(store, recipe, notes)?;
                }
                notes.next = notes.next.max(before + 1);
            }
            sent += packed.bytes.len() as u64;
            self.count(|counts| counts.segments_pushed += 1);
        }
        Ok(sent)
    }

    /// Reads segments from the first unseen one on.
    fn catch_up(&self, store: &Store, recipe: &Digest, notes: &mut Notes) -> Result<(), Fault> {
        while notes.next < MOST_SEGMENTS {
            let name = names::segment(recipe, notes.next);
            let Some(bytes) = self.line().small("read", &name, segment::MOST)? else { return Ok(()) };
            match segment::unpack(recipe, &bytes) {
                Ok(shards) => {
                    let damaged = take_in(store, recipe, &shards, notes)?;
                    if damaged > 0 {
                        let fault = Fault::Damaged(format!("{damaged} of its shards are not what they should be"));
                        self.line().failed(format!("failed to read {name}: {fault}"), &fault);
                    }
                }
                // It stays where it is, and is passed over.
                Err(reason) => {
                    let fault = Fault::Damaged(reason);
                    self.line().failed(format!("failed to read {name}: {fault}"), &fault);
                }
            }
            notes.next += 1;
            self.count(|counts| {
                counts.segments_pulled += 1;
                counts.bytes_pulled += bytes.len() as u64;
            });
        }
        Ok(())
    }

    fn notes(&self, store: &Store, recipe: &Digest) -> PathBuf {
        store.layout().remote_notes(Some((self.id(), recipe)))
    }

    /// What is noted, unless the memo it is of was collected.
    fn noted(&self, store: &Store, recipe: &Digest) -> Notes {
        let shards = shard::list(&store.layout().memo(recipe), "").unwrap_or_default();
        if shards.is_empty() { Notes::default() } else { Notes::load(&self.notes(store, recipe)) }
    }
}

struct Packed {
    names: Vec<String>,
    bytes: Vec<u8>,
}

/// Takes sound shards from the end of `left`, up to a full segment.
fn pack(recipe: &Digest, left: &mut Vec<PathBuf>) -> Option<Packed> {
    let (mut shards, mut bytes) = (Vec::new(), 0);
    while bytes < segment::FULL
        && let Some(path) = left.pop()
    {
        let size = paths::size_of(&path);
        if bytes > 0 && bytes + size > segment::FULL {
            left.push(path);
            break;
        }
        // One that is damaged, or gone because it was merged, is no longer ours to send.
        if size < segment::MOST / 2
            && let Ok(Ok(_)) = shard::check(&path)
            && let Ok(content) = fs::read(&path)
        {
            bytes += content.len() as u64;
            shards.push((notes::name(&path), content));
        }
    }
    let names = shards.iter().map(|(name, _)| name.clone()).collect();
    (!shards.is_empty()).then(|| Packed { names, bytes: segment::pack(recipe, &shards) })
}

/// Puts shards into a memo, each after a look at its bytes; returns how many are damaged.
fn take_in(store: &Store, recipe: &Digest, shards: &[(String, &[u8])], notes: &mut Notes) -> Result<usize, StoreError> {
    // Held, so that the memo is not collected meanwhile.
    let _memo = ShardDir::open(store, recipe)?;
    let dir = store.layout().memo(recipe);
    let temp = store.session()?.temp();
    // The folder's name says of which recipe they are, as in the memo.
    let inside = temp.join(recipe.to_string());
    fs::create_dir_all(&inside).at("create", &inside)?;
    let mut damaged = 0;
    let mut job = SyncJob::default();
    for (name, bytes) in shards {
        let path = dir.join(name);
        if !paths::is_there(&path) {
            let new = inside.join(name);
            fs::write(&new, bytes).at("write", &new)?;
            if shard::check(&new)?.is_err() {
                damaged += 1;
                continue;
            }
            object::write_protect(&new).at("write", &new)?;
            paths::rename(&new, &path).at("write", &path)?;
            with_parents(&mut job.first, &path);
        }
        notes.shards.insert(name.clone());
    }
    store.submit_sync(job);
    paths::remove(&temp).at("remove", &temp)?;
    Ok(damaged)
}
