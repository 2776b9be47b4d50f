//! Ctrl-C and SIGTERM: once to stop in good order, twice to stop at once.

use std::time::Duration;

use pipe_engine::cancel::CancelToken;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{exit::Exit, output};

/// Time for stages to kill the programs they have started: several times what they need to notice.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Cancels `token` at the first signal and ends the process at the second. Where signals cannot be had, they keep their default effect.
pub fn cancel_on_signal(token: CancelToken) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        output::warning("signals cannot be handled here: Ctrl-C stops at once");
        return;
    };
    std::thread::spawn(move || {
        for (seen, _) in signals.forever().enumerate() {
            if seen > 0 {
                stop(&token);
            }
            output::say("\nstopping in good order; what is done stays done (Ctrl-C again to stop at once)");
            token.cancel();
        }
    });
}

/// Everything that is published survives this; everything else is computed again.
#[expect(clippy::exit, reason = "the second Ctrl-C asks for exactly this")]
fn stop(token: &CancelToken) -> ! {
    token.abandon();
    std::thread::sleep(LAST_WORDS);
    std::process::exit(Exit::Cancelled as i32)
}
