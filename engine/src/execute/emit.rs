//! Stamps events and hands them to the journal and the reporter.

use std::time::Instant;

use crate::events::{Event, EventKind, JournalWriter, LiveWriter};

/// The one way out for events.
pub(super) struct Emitter<'a> {
    start: Instant,
    journal: Option<JournalWriter>,
    /// What other processes are told.
    live: Option<LiveWriter>,
    report: &'a mut dyn FnMut(&Event),
}

impl<'a> Emitter<'a> {
    pub(super) fn new(journal: JournalWriter, report: &'a mut dyn FnMut(&Event)) -> Self {
        Self { start: Instant::now(), journal: Some(journal), live: None, report }
    }

    /// From here on, other processes are told of the run.
    pub(super) fn tell_others(&mut self, live: LiveWriter) {
        self.live = Some(live);
    }

    /// Writes down what other processes are to be told.
    pub(super) fn tell(&mut self) {
        self.live.iter_mut().for_each(LiveWriter::tell);
    }

    /// Seconds since the run started.
    pub(super) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Journals first, so that what people have seen is on record. A journal that cannot be written (a full disk) does
    /// not stop the run: people are told once, and it ends there.
    pub(super) fn emit(&mut self, kind: EventKind) {
        let event = Event { at: self.elapsed(), kind };
        if let Some(Err(error)) = self.journal.as_mut().map(|journal| journal.write(&event)) {
            self.journal = None;
            let message = format!("{error}: {}; this run is not recorded from here on", error.source);
            self.emit(EventKind::Warning { node: None, message });
        }
        self.live.iter_mut().for_each(|live| live.see(&event));
        (self.report)(&event);
    }
}
