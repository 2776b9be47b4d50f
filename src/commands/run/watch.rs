//! `pipe run --watch`: runs again whenever something changes that the pipeline is made of, or depends on.
//!
//! Files are looked at every so often: that works on all file systems, and a look costs less than the run that may
//! follow.

use std::{
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use pipe_engine::{
    context::CancelToken,
    inspect::{Sight, Watched},
};

use super::once;
use crate::{
    cli, commands,
    error::CliError,
    exit::Exit,
    output::{self, color_on_stderr, paint, plural, style},
    project,
};

/// Between two looks, at least; more where a look takes long.
const EVERY: Duration = Duration::from_millis(200);
const SHARE: u32 = 20;
/// An editor may write several files, and each in pieces: it is waited for until nothing has changed for so long.
const CALM: Duration = Duration::from_millis(300);

pub(super) fn run(global: &cli::Global, mut args: cli::Run, cancel: &CancelToken) -> Result<Exit, CliError> {
    let mut watched = Watched::default();
    loop {
        let began = SystemTime::now();
        let loaded = commands::load(&args.pipeline);
        // A file that cannot be understood may have lost its includes and sources: what was looked at before stays.
        watched = match &loaded {
            Ok(pipeline) => Watched::of(pipeline),
            Err(_) => Watched::files(&project::spec(&args.pipeline.pipeline).files).and(&watched),
        };
        let mut seen = watched.look();
        let read = SystemTime::now();
        // What was written while it was read is looked at as if it had not been there; clocks of other machines may
        // be ahead of ours.
        seen.retain(|_, (modified, _)| !(began..=read).contains(modified));
        let exit = match loaded.and_then(|pipeline| once(global, args.clone(), &pipeline, cancel.clone())) {
            Ok(exit) => exit,
            Err(error) => error.report(),
        };
        // Once is enough: what has been forced is new.
        args.select.force = None;
        if cancel.is_cancelled() {
            return Ok(exit);
        }
        if !global.quiet {
            let files = plural(watched.look().len() as u64, "file");
            let text = format!("watching {files} for changes; Ctrl-C ends it");
            output::say(paint(text, style::DIM, color_on_stderr()));
        }
        let Some(changed) = wait(&watched, &seen, cancel) else { return Ok(exit) };
        if !global.quiet {
            output::say(format_args!("\n{changed}"));
        }
    }
}

/// Waits until something is other than it was, and has been calm since; says what. `None` when it is cancelled.
fn wait(watched: &Watched, seen: &Sight, cancel: &CancelToken) -> Option<String> {
    let mut last = seen.clone();
    let mut changed_at: Option<Instant> = None;
    loop {
        if cancel.is_cancelled() {
            return None;
        }
        let looked = Instant::now();
        let now = watched.look();
        if now != last {
            last = now;
            changed_at = Some(looked);
        } else if let Some(at) = changed_at
            && at.elapsed() >= CALM
        {
            // It may have been changed back.
            match difference(seen, &last) {
                Some(text) => return Some(text),
                None => changed_at = None,
            }
        }
        let until = Instant::now() + EVERY.max(looked.elapsed() * SHARE);
        while Instant::now() < until && !cancel.is_cancelled() {
            sleep(EVERY);
        }
    }
}

/// `p.yaml changed`, `p.yaml and 2 more changed`.
fn difference(old: &Sight, new: &Sight) -> Option<String> {
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    let mut changed = new.iter().filter(|(path, now)| old.get(*path) != Some(now)).map(|(path, _)| path).chain(gone);
    let first = changed.next()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(match changed.count() {
        0 => format!("{first} changed"),
        more => format!("{first} and {more} more changed"),
    })
}
