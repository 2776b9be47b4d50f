//! Ctrl-C and what else asks a process to end: once to stop in good order, twice to stop at once.

use std::time::Duration;

use pipe_engine::context::CancelToken;
use pipe_stages::programs;
use signal_hook::{
    consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU},
    iterator::Signals,
};

use crate::{exit::Exit, output};

/// All that would end the process unasked: a terminal that closes (HUP), a batch system whose time is up (USR1, USR2,
/// XCPU).
const ENDING: [i32; 8] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU];
/// Time for stages to kill the programs they have started: several times what they need to notice.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Which second signal ends the process at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insistence {
    /// Any.
    AnySignal,
    /// Ctrl-C alone: a batch system warns by one signal and asks by another, before it kills.
    Interrupt,
}

/// Cancels `token` at the first signal and ends the process at the second. Where signals cannot be had, they keep
/// their default effect.
pub(crate) fn cancel_on_signal(token: CancelToken, how: Insistence) {
    // Under `nohup` a closing terminal is nothing to stop for.
    let signals = ENDING.into_iter().filter(|&signal| signal != SIGHUP || !hangup_is_ignored());
    let Ok(mut signals) = Signals::new(signals) else {
        output::warning("signals cannot be handled here: Ctrl-C stops at once");
        return;
    };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if token.is_cancelled() {
                // A terminal that closes may say so several times.
                if signal == SIGINT || (signal != SIGHUP && how == Insistence::AnySignal) {
                    stop(&token);
                }
                continue;
            }
            output::say("stopping in good order; what is done stays done (Ctrl-C again to stop at once)");
            token.cancel();
        }
    });
}

/// Whether whoever started this process had it ignore SIGHUP.
fn hangup_is_ignored() -> bool {
    // SAFETY: a null action asks for the present one, which is written to `present`, a plain structure of C.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(SIGHUP, std::ptr::null(), &raw mut present) == 0 && present.sa_sigaction == libc::SIG_IGN
    }
}

/// Everything that is published survives this; everything else is computed again.
#[expect(clippy::exit, reason = "the second Ctrl-C asks for exactly this")]
fn stop(token: &CancelToken) -> ! {
    token.abandon();
    std::thread::sleep(LAST_WORDS);
    programs::end_all();
    std::process::exit(Exit::Cancelled as i32)
}
