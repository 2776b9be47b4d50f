//! Several workers on one row memo: each claims rows, and leaves some to others when it is asked.

use std::collections::HashSet;

use super::RowMemo;
use crate::{error::StoreError, hash::Digest, machine::LeaseOwner, memo::claims::Other};

/// What of some rows nobody knows yet, and who sees to it.
#[derive(Debug, Clone, Default)]
pub struct RowClaim {
    /// The places of those claimed now: the caller's to compute.
    pub mine: Vec<usize>,
    /// How many nobody has claimed.
    pub free: usize,
    /// How many others have claimed.
    pub others: usize,
    /// One of those others.
    pub owner: Option<LeaseOwner>,
    /// Of the workers of other processes, the one that has claimed the most of them.
    pub most: Option<Digest>,
}

/// Several workers on one recipe.
impl RowMemo {
    /// Takes in what is known by now, and claims up to `most` of `rows`, the first that nobody knows or has claimed, as
    /// this memo's to compute. `None` when `cancelled` said so while another worker was deciding.
    ///
    /// # Errors
    /// [`StoreError::Builds`] when another build computes rows of the recipe just now.
    pub fn claim(
        &mut self,
        rows: &[Digest],
        most: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<RowClaim>, StoreError> {
        if rows.iter().all(|row| self.contains(row)) {
            return Ok(Some(RowClaim::default()));
        }
        let Some(_turn) = self.claims.turn(cancelled)? else { return Ok(None) };
        // In this order: what another gives up meanwhile, it has written down before.
        let others = self.claims.look()?;
        self.refresh()?;
        let mut claim = RowClaim { owner: others.owner, ..RowClaim::default() };
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| !self.contains(row)) {
            if others.rows.contains(row) {
                claim.others += 1;
            } else if claim.mine.len() < most {
                claim.mine.push(at);
            } else {
                claim.free += 1;
            }
        }
        if !claim.mine.is_empty() {
            self.claims.add(|own| own.rows.extend(claim.mine.iter().map(|&at| rows[at])))?;
        } else if claim.free == 0 {
            let missing: HashSet<&Digest> = rows.iter().filter(|row| !self.contains(row)).collect();
            let is_foreign = |other: &&Other| !other.owner.as_ref().is_some_and(LeaseOwner::is_this);
            let left = others.all.iter().filter(is_foreign).map(|other| {
                let wanted = other.claimed.rows.iter().filter(|row| missing.contains(row));
                (wanted.count(), other.token)
            });
            let most = left.filter(|(rows, _)| *rows > 0).max_by_key(|(rows, _)| *rows);
            claim.most = most.map(|(_, worker)| worker);
        }
        Ok(Some(claim))
    }

    /// Asks a worker for some of the rows that it has claimed ([`RowClaim::most`]). They are free once it has given
    /// them up, for the next [`RowMemo::claim`].
    pub fn ask(&mut self, worker: Digest) -> Result<(), StoreError> {
        self.claims.ask(worker)
    }

    /// Whether a live worker asks this one for rows.
    pub fn is_asked(&self) -> Result<bool, StoreError> {
        self.claims.is_asked()
    }

    /// Leaves claimed rows to others: they will not be computed here.
    pub fn give(&mut self, rows: &HashSet<Digest>) -> Result<(), StoreError> {
        self.claims.give(rows)
    }
}
