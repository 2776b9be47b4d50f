//! What a team shares: the standard library's, or in the model checker of `loom/` its own, which try every order of
//! what happens.

#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A value that is written while nobody reads it; that this is so is the caller's word.
#[cfg(not(loom))]
pub(super) struct Shared<T>(std::cell::UnsafeCell<T>);

#[cfg(loom)]
pub(super) struct Shared<T>(loom::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T: Copy> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// # Safety
    /// Nobody writes meanwhile.
    pub(super) unsafe fn read(&self) -> T {
        // SAFETY: the caller vouches for it.
        unsafe { *self.0.get() }
    }

    /// # Safety
    /// Nobody reads or writes meanwhile.
    pub(super) unsafe fn write(&self, value: T) {
        // SAFETY: the caller vouches for it.
        unsafe { *self.0.get() = value };
    }
}

#[cfg(loom)]
impl<T: Copy> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    /// # Safety
    /// Nobody writes meanwhile; loom fails where somebody does.
    pub(super) unsafe fn read(&self) -> T {
        // SAFETY: the caller vouches for it.
        self.0.with(|value| unsafe { *value })
    }

    /// # Safety
    /// Nobody reads or writes meanwhile; loom fails where somebody does.
    pub(super) unsafe fn write(&self, value: T) {
        // SAFETY: the caller vouches for it.
        self.0.with_mut(|place| unsafe { *place = value });
    }
}

/// Waits a moment: for what comes `soon`, keeping the core, or else offering it to others.
#[cfg(not(loom))]
pub(super) fn pause(soon: bool) {
    if soon { std::hint::spin_loop() } else { std::thread::yield_now() }
}

#[cfg(loom)]
pub(super) fn pause(_: bool) {
    loom::thread::yield_now();
}
