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
    store::{Scratch, Store, with_parents},
};

/// More segments than this are not looked at: somebody fills the remote with nonsense.
const MOST_SEGMENTS: u64 = 100_000;

impl Remote {
    /// Brings the rows of a recipe into the store that the remote has and this store has not seen.
    pub fn pull_memo(&self, store: &Store, recipe: &Digest) {
        if !self.pulls() || store.read_only() {
            return;
        }
        let turn = self.turn(recipe);
        let _turn = turn.lock();
        let outcome = self.line().guarded("read rows", || {
            let before = self.noted(store, recipe)?;
            let mut notes = before.clone();
            let outcome = self.catch_up(store, recipe, &mut notes);
            if notes != before {
                notes.save(&self.notes(store, recipe));
            }
            outcome
        });
        match outcome {
            Ok(()) => {}
            Err(fault @ Fault::Local(_)) => {
                self.line().warn(format!("rows of the remote are not used: {fault}"), "unused rows");
            }
            Err(fault) => tracing::debug!(?recipe, %fault, "the rows of the remote are not all here"),
        }
    }

    /// Writes the rows of a recipe to the remote that it does not have. Returns how many bytes went.
    pub(super) fn push_memo(&self, store: &Store, recipe: &Digest) -> Result<u64, Fault> {
        let turn = self.turn(recipe);
        let _turn = turn.lock();
        let mut notes = self.noted(store, recipe)?;
        let outcome = self.push_shards(store, recipe, &mut notes);
        if !store.read_only() {
            notes.save(&self.notes(store, recipe));
        }
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
                // Looked for first: a server may not keep what is there when it is asked to.
                let taken = self.line().ask("look for", &name, |t| t.head(&name))?;
                if taken.is_none() && self.line().ask("write", &name, |t| t.put(&name, &content, true))? {
                    notes.next += 1;
                    notes.last = Some(packed.bytes.len() as u64);
                    notes.shards.extend(packed.names);
                    break;
                }
                // Somebody else came first: it is read instead, and the next number tried.
                let before = notes.next;
                if self.pulls() {
                    self.catch_up(store, recipe, notes)?;
                }
                if notes.next == before {
                    notes.next += 1;
                    notes.last = taken;
                }
            }
            sent += packed.bytes.len() as u64;
            self.count(|counts| counts.segments_pushed += 1);
        }
        Ok(sent)
    }

    /// Reads segments from the first unseen one on, and before that those that arrived damaged when they were read. A
    /// store that may not be written to takes note of them only.
    fn catch_up(&self, store: &Store, recipe: &Digest, notes: &mut Notes) -> Result<(), Fault> {
        for (number, before) in notes.damaged.clone() {
            let read = self.read_segment(store, recipe, number, notes)?;
            if read.is_none_or(|read| read.damaged.is_none_or(|now| now == before)) {
                notes.damaged.remove(&number);
            }
        }
        while notes.next < MOST_SEGMENTS {
            let Some(read) = self.read_segment(store, recipe, notes.next, notes)? else { return Ok(()) };
            notes.damaged.extend(read.damaged.map(|digest| (notes.next, digest)));
            notes.next += 1;
            notes.last = Some(read.bytes);
        }
        Ok(())
    }

    /// Takes in the segment of a number; `None` where there is none. One that nobody can read stays where it is.
    fn read_segment(
        &self,
        store: &Store,
        recipe: &Digest,
        number: u64,
        notes: &mut Notes,
    ) -> Result<Option<SegmentRead>, Fault> {
        let name = names::segment(recipe, number);
        let Some(bytes) = self.line().small("read", &name, segment::MOST)? else { return Ok(None) };
        let fault = match segment::unpack(recipe, &bytes) {
            Ok(shards) if store.read_only() => {
                notes.shards.extend(shards.into_iter().map(|(name, _)| name));
                None
            }
            Ok(shards) => match take_in(store, recipe, &shards, notes)? {
                0 => None,
                damaged => Some(Fault::Damaged(format!("{damaged} of its shards are not what they should be"))),
            },
            Err(fault) => Some(fault),
        };
        if let Some(fault) = &fault {
            self.line().failed(format!("failed to read {name}: {fault}"), fault);
        }
        let damaged = matches!(fault, Some(Fault::Damaged(_))).then(|| Digest::of_bytes(&bytes));
        let bytes = bytes.len() as u64;
        self.count(|counts| {
            counts.segments_pulled += 1;
            counts.bytes_pulled += bytes;
        });
        Ok(Some(SegmentRead { bytes, damaged }))
    }

    fn notes(&self, store: &Store, recipe: &Digest) -> PathBuf {
        store.layout().remote_notes(Some((self.id(), recipe)))
    }

    /// What is noted, unless the memo it is of was collected, here or there.
    fn noted(&self, store: &Store, recipe: &Digest) -> Result<Notes, Fault> {
        if shard::list(&store.layout().memo(recipe), "")?.is_empty() {
            return Ok(Notes::default());
        }
        let notes = Notes::load(&self.notes(store, recipe));
        let Some(last) = notes.next.checked_sub(1) else { return Ok(notes) };
        let name = names::segment(recipe, last);
        // What comes after a gap is never found, and another segment under this number means that all are others.
        let there = self.line().ask("look for", &name, |t| t.head(&name))?;
        // Some servers do not say how large something is.
        let same = there.is_some_and(|bytes| bytes == 0 || notes.last.is_none_or(|last| last == bytes));
        Ok(if same { notes } else { Notes::default() })
    }
}

/// What came of a segment.
struct SegmentRead {
    bytes: u64,
    /// The digest of what arrived, if some of it is not what it should be.
    damaged: Option<Digest>,
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
        // One that is damaged, or does not say whose it is, or is gone because it was merged, is not ours to send.
        if size < segment::MOST / 2
            && let Ok(Ok(table)) = shard::check(&path)
            && table.label().is_some()
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
    let temp = Scratch(store.session()?.temp());
    // The folder's name says of which recipe they are, as in the memo.
    let inside = temp.0.join(recipe.to_string());
    fs::create_dir_all(&inside).at("create", &inside)?;
    let mut damaged = 0;
    let mut job = SyncJob::default();
    for (name, bytes) in shards {
        let path = dir.join(name);
        if !paths::is_there(&path) {
            let new = inside.join(name);
            fs::write(&new, bytes).at("write", &new)?;
            // One that does not say whose it is may be of another memo.
            if !shard::check(&new)?.is_ok_and(|table| table.label().is_some()) {
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
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};

    use super::*;
    use crate::{disk::TableFile, store::StoreOptions};

    #[test]
    fn a_shard_that_does_not_say_whose_it_is_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let (recipe, path) = (Digest::of_bytes(b"recipe"), dir.path().join("table"));
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as _)]).unwrap();
        let mut table = TableFile::create(&path, rows.schema()).unwrap();
        table.write(&rows).unwrap();
        let name = format!("{}.parquet", table.finish().unwrap().object);
        let bytes = fs::read(path).unwrap();
        let mut notes = Notes::default();
        assert_eq!(take_in(&store, &recipe, &[(name, &bytes)], &mut notes).unwrap(), 1);
        assert_eq!((shard::list(&store.layout().memo(&recipe), "").unwrap().len(), notes.shards.len()), (0, 0));
    }
}
