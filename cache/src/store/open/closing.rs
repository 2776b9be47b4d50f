//! What a store tells its logs, for the next process, when it is flushed and closed.

use std::time::{Duration, Instant};

use super::{Inner, StatCache};
use crate::{
    error::StoreError,
    hash::Hasher,
    share::{LeaseAttempt, lease},
};

/// How long a process that ends waits for others to have told the logs what they found, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

impl Inner {
    /// Notes the uses of results, for gc.
    pub(super) fn log_uses(&self) {
        if self.options.read_only {
            return;
        }
        let logged = if self.layout.remembers() { self.log_alone() } else { self.index.read().log_uses(&self.layout) };
        if let Err(error) = logged {
            tracing::warn!(%error, "the last uses of results were not noted");
        }
    }

    pub(super) fn lease_by(&self) -> lease::By {
        if self.layout.locks() { lease::By::Lock } else { lease::By::Touch(self.options.lease_timeout) }
    }

    /// Tells the logs what is new, where machines do not see where these end when others write to them, too. They are
    /// only caches: where another is at it for long, nothing is told.
    fn log_alone(&self) -> Result<(), StoreError> {
        let mut sources = self.stat_cache.lock();
        if !self.index.read().has_unlogged() && !sources.as_ref().is_some_and(StatCache::has_unlogged) {
            return Ok(());
        }
        let key = Hasher::new("pipe.logs.v1").finish();
        let path = self.layout.lease(&key);
        let start = Instant::now();
        let session = self.session.lock().clone();
        while start.elapsed() < PATIENCE {
            if let LeaseAttempt::Acquired(_lease) = lease::try_lease(&path, &key, self.lease_by(), session.clone())? {
                self.index.write().log_all(&self.layout)?;
                return sources.as_mut().map_or(Ok(()), |sources| sources.log_all(&self.layout));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.log_uses();
        if let Err(error) = self.syncer.close() {
            // The marker stays, so that what was published is checked after a crash of the machine.
            tracing::error!(%error, "published results may not survive a power failure");
            if let Some(session) = self.session.lock().take() {
                std::mem::forget(session);
            }
        }
    }
}
