//! Panics of other people's parsers, where a file's damage brings them about: they become errors where the parser is
//! called, and nobody is shown what Rust says of a panic.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// How many guarded sections this thread is in.
    static GUARDED: Cell<usize> = const { Cell::new(0) };
}

/// In a guarded section as long as it lives.
struct Section;

impl Section {
    fn enter() -> Self {
        GUARDED.with(|n| n.set(n.get() + 1));
        Self
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        GUARDED.with(|n| n.set(n.get() - 1));
    }
}

/// What `work` returns, or the message with which it panicked, of which nothing is printed.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.try_with(Cell::get).unwrap_or(0) == 0 {
                before(panic);
            }
        }));
    });
    let section = Section::enter();
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(section);
    result.map_err(|cause| {
        let message = cause.downcast_ref::<String>().map(String::as_str);
        message.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_panics_in_a_guarded_section_is_told_and_not_printed() {
        const INSIDE: &str = "PIPE_TEST_PANICS";
        if std::env::var_os(INSIDE).is_some() {
            assert_eq!(caught(|| 1), Ok(1));
            assert_eq!(caught(|| panic!("inside {}", 1)), Err::<(), _>("inside 1".to_owned()));
            assert_eq!(caught(|| caught(|| panic!("deeper")).unwrap_err()), Ok::<_, String>("deeper".to_owned()));
            // Outside of it, panics are printed as ever.
            let _ = catch_unwind(|| panic!("outside"));
            return;
        }
        let itself = std::env::current_exe().unwrap();
        let name = "quiet::tests::what_panics_in_a_guarded_section_is_told_and_not_printed";
        let ran = Command::new(itself).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        assert!(said.contains("outside") && !said.contains("inside") && !said.contains("deeper"), "{said}");
    }
}
