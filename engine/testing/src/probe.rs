//! What the kinds of one test share with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use pipe_engine::{context::StageContext, kind::StageError};

/// What the kinds of one test do, and what they are told to do.
#[derive(Clone, Default)]
pub struct Probe {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    pub(crate) rows: Arc<Mutex<Vec<String>>>,
    /// How often `flaky` still fails.
    pub failures: Arc<AtomicUsize>,
    /// `gate` stages wait here.
    pub(crate) gate: Arc<(Mutex<bool>, Condvar)>,
    pub(crate) running: Arc<AtomicUsize>,
    /// The most `gate` stages that ran at once.
    pub most_running: Arc<AtomicUsize>,
    /// `map` and `numbers` fail after so many rows, when not 0.
    pub budget: Arc<AtomicUsize>,
}

impl Probe {
    pub(crate) fn ran(&self, cx: &StageContext) {
        *self.counts.lock().unwrap().entry(cx.label().to_owned()).or_default() += 1;
    }

    /// The stages that ran since the last call, sorted; `stage x2` for two times.
    pub fn take(&self) -> Vec<String> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap());
        counts.into_iter().map(|(label, n)| if n == 1 { label } else { format!("{label} x{n}") }).collect()
    }

    /// The rows that `map` and `numbers` computed since the last call.
    pub fn take_rows(&self) -> Vec<String> {
        let mut rows = std::mem::take(&mut *self.rows.lock().unwrap());
        rows.sort();
        rows
    }

    pub(crate) fn spend(&self) -> Result<(), StageError> {
        let left = self.budget.load(Ordering::SeqCst);
        if left == 1 {
            return Err(StageError::user("out of budget"));
        }
        self.budget.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }

    /// Lets the `gate` stages go on.
    pub fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}
