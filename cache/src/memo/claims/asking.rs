//! Rows change hands: who has nothing left to claim asks another worker for some that it has not begun.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Claims, Own, all_claims, token_of};
use crate::{
    disk::paths,
    error::{IoContext, StoreError},
    hash::Digest,
    share::LeaseAttempt,
};

/// What the name of a file ends with that asks for rows.
pub(super) const ENDING: &str = ".ask";

impl Own {
    fn question(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ENDING);
        name.into()
    }

    /// Asks nobody any more. A file that stays is removed by whoever it asks, once its owner is gone.
    pub(super) fn take_back(&mut self) {
        if self.asked.take().is_some()
            && let Err(error) = paths::remove(&self.question())
        {
            tracing::debug!(%error, "a question for rows was not taken back");
        }
    }
}

impl Claims {
    /// Asks another worker for some of its rows, until this one claims any or is dropped.
    pub(crate) fn ask(&mut self, whom: Digest) -> Result<(), StoreError> {
        let mut own = match self.own.take() {
            Some(own) => own,
            None => self.begin()?,
        };
        if own.asked != Some(whom) {
            let (path, temp) = (own.question(), self.store.session()?.temp());
            fs::write(&temp, whom.to_string()).at("write", &temp)?;
            fs::rename(&temp, &path).at("write", &path)?;
            own.asked = Some(whom);
        }
        self.own = Some(own);
        Ok(())
    }

    /// Whether a live worker asks this one for rows.
    pub(crate) fn is_asked(&self) -> Result<bool, StoreError> {
        let Some(own) = &self.own else { return Ok(false) };
        for path in all_claims(&self.store)? {
            let named = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(ENDING));
            let Some(name) = named.filter(|name| name.starts_with(&self.id.to_string())) else { continue };
            let whom = fs::read_to_string(&path).ok().and_then(|text| text.parse::<Digest>().ok());
            if whom != Some(own.token) {
                continue;
            }
            let asker = token_of(Path::new(name));
            match asker.map(|token| self.store.try_lease(&token)).transpose()? {
                Some(LeaseAttempt::Held(_)) => return Ok(true),
                _ => paths::remove(&path).at("remove", &path)?,
            }
        }
        Ok(false)
    }

    /// Gives up some rows; the others of the board find them free.
    pub(crate) fn give(&mut self, rows: &HashSet<Digest>) -> Result<(), StoreError> {
        if self.own.is_none() {
            return Ok(());
        }
        self.add(|own| own.rows.retain(|row| !rows.contains(row)))?;
        self.board.change(|_| {});
        Ok(())
    }
}
