//! How long to wait before trying again, and what to do about an error.

use std::time::Duration;

use pipe_cache::Digest;

use crate::context::StageError;

/// The longest wait between attempts.
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// The wait after attempt `attempt` (from 1): `base` doubled each time, times 0.5 to 1.5 by key, process and attempt,
/// so that stages and processes that failed together do not come back together.
pub(super) fn backoff(base: Duration, attempt: u32, key: &Digest) -> Duration {
    let doubled = base.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_BACKOFF);
    let mut h = pipe_cache::Hasher::new("pipe.jitter");
    let jitter = h.digest(key).u64(u64::from(attempt)).u64(u64::from(std::process::id())).finish();
    doubled.mul_f64(0.5 + f64::from(jitter.as_bytes()[0]) / 255.0)
}

/// How long to leave a lease to its holder before asking again: 5 ms at first, a quarter of a second in the end.
pub(super) fn poll_interval(polls: u32) -> Duration {
    Duration::from_millis(5 << (polls - 1).min(6)).min(Duration::from_millis(250))
}

/// What to do about it.
pub(super) fn help(error: &StageError) -> Option<String> {
    match error {
        StageError::User { help, .. } => help.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_within_their_jitter() {
        let key = Digest::of_bytes(b"k");
        for attempt in 1..20 {
            let wait = backoff(Duration::from_secs(1), attempt, &key).as_secs_f64();
            let base = f64::from(1 << (attempt - 1).min(16)).min(300.0);
            assert!((base * 0.5..=base * 1.5).contains(&wait), "attempt {attempt}: {wait}");
        }
        assert_eq!(backoff(Duration::ZERO, 3, &key), Duration::ZERO);
    }
}
