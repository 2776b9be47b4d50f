//! A program that runs beside the stages until it is let go.

use std::{
    fs::File,
    io,
    path::PathBuf,
    process::Command,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use parking_lot::Mutex;
use pipe_engine::context::CancelToken;

use super::{End, Patience, Scene, run, tail};

/// A running program. It has a thread of its own, which it ends with, whatever ends this process: the kernel tells the
/// program of the death of the thread that started it.
pub(crate) struct Service {
    cancel: CancelToken,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// How it ended, once it has.
    end: Arc<Mutex<Option<String>>>,
    log: PathBuf,
}

impl Service {
    /// Starts `command`, whose environment names `log`, the file that it alone prints to: by that its processes are
    /// known.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> io::Result<Self> {
        let (cancel, end) = (CancelToken::new(), Arc::new(Mutex::new(None)));
        let (started, wait) = mpsc::channel();
        let keep = {
            let (cancel, end, outputs) = (cancel.clone(), Arc::clone(&end), vec![log.clone()]);
            move || {
                let told = started.clone();
                let scene = Scene {
                    outputs,
                    patience: Patience::default(),
                    warn: &|warning| tracing::debug!(warning, "a server that was started"),
                    started: &|_| drop(told.send(Ok(()))),
                    given_up: &|| false,
                };
                let result = run(&mut command, &scene, &cancel);
                *end.lock() = Some(match &result {
                    Ok(End::Done(status)) => status.to_string(),
                    Ok(End::Unfinished(what)) => what.clone(),
                    Err(error) => error.to_string(),
                });
                // Nobody listens any more where it had been started.
                let _ = started.send(result.map(drop));
            }
        };
        let keeper = std::thread::Builder::new().name("server".to_owned()).spawn(keep)?;
        wait.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")))?;
        Ok(Self { cancel, keeper: Mutex::new(Some(keeper)), end, log })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.end.lock().clone()
    }

    /// The last lines that it printed.
    pub(crate) fn last_words(&self) -> String {
        File::open(&self.log).map(|log| tail(&log, 0)).unwrap_or_default()
    }

    /// Where it prints to.
    pub(crate) fn log(&self) -> &std::path::Path {
        &self.log
    }

    /// Ends it and all that it started, and waits until they are gone.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
        if let Some(keeper) = self.keeper.lock().take()
            && keeper.join().is_err()
        {
            tracing::error!("the thread of a server that was started broke down");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}
