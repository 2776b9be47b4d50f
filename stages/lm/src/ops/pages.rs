//! Zeros that take memory only once they are written to.
//!
//! An allocator hands out memory that was used before, which has to be cleared, and is then all there. Keys and values
//! are sized for the longest rows that may come, so most of them are never written.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// A slice of zeros, page by page from the system.
#[derive(Debug)]
pub(super) struct Pages {
    len: usize,
    map: MmapMut,
}

impl Pages {
    /// So many zeros.
    ///
    /// # Panics
    /// There is no more memory, as with every allocation.
    pub(super) fn zeroed(len: usize) -> Self {
        let map = MmapMut::map_anon((len * size_of::<f32>()).max(1));
        let map = map.unwrap_or_else(|error| panic!("no memory for {len} numbers: {error}"));
        // A huge page would be there as a whole, for slots that nobody uses yet.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        Self { len, map }
    }
}

impl Deref for Pages {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the mapping begins at a page, holds `len` numbers, belongs to this value alone, and every pattern of
        // bits is an f32.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_keep_what_is_written() {
        let mut pages = Pages::zeroed(100_000);
        assert!(pages.iter().all(|value| *value == 0.0));
        pages[99_999] = 1.5;
        assert_eq!((pages.len(), pages[99_999], pages[0]), (100_000, 1.5, 0.0));
        assert!(Pages::zeroed(0).is_empty());
    }
}
