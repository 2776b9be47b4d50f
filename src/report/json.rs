//! One JSON object per event, on stdout.

use std::io::{self, BufWriter, Stdout, Write};

use pipe_engine::events::{Event, EventKind};

use super::Reporter;
use crate::output;

/// The reporter for scripts.
pub(crate) struct JsonLines {
    out: BufWriter<Stdout>,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self { out: BufWriter::new(io::stdout()) }
    }
}

impl Reporter for JsonLines {
    fn event(&mut self, event: &Event) {
        // A reader that went away must not stop the run.
        let text = serde_json::to_string(event).map_err(io::Error::from);
        let _ = text.and_then(|text| writeln!(self.out, "{}", output::json_text(&text)));
        // Hits come by the thousand; whoever reads along wants to see the others at once.
        if !matches!(event.kind, EventKind::Hit { .. }) {
            let _ = self.out.flush();
        }
    }
}
