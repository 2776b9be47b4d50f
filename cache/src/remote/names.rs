//! Where things lie on a remote.
//!
//! ```text
//! v1/ac/ab/<key>               the record of a key: at most 64 KiB, written last
//! v1/cas/ab/<digest>           the bytes of a table, of a file of a files artifact, of a part, of a large manifest
//! v1/cas/ab/<digest>.parts     of a file of more than 64 MiB: the parts that it consists of, in their order
//! v1/memo/ab/<recipe>/000000   shards of a memo, packed; numbered from 0 on, without a gap
//! v1/gc/<time>                 what a collection has marked
//! v1/check/<random>            of `pipe remote check`, for a moment
//! v1/tmp/<random>              of a folder: a file on its way there, until it is whole
//! ```

use crate::hash::Digest;

/// Below this lies all of it.
pub(super) const VERSION: &str = "v1";
pub(super) const RECORDS: &str = "v1/ac/";
pub(super) const BLOBS: &str = "v1/cas/";
pub(super) const MEMOS: &str = "v1/memo/";
pub(super) const MARKS: &str = "v1/gc/";
pub(super) const CHECKS: &str = "v1/check/";
pub(super) const UNFINISHED: &str = "v1/tmp/";
/// What the list of a large file's parts ends in.
pub(super) const PARTS: &str = ".parts";

pub(super) fn record(key: &Digest) -> String {
    fanned(RECORDS, key)
}

pub(super) fn blob(digest: &Digest) -> String {
    fanned(BLOBS, digest)
}

pub(super) fn parts(digest: &Digest) -> String {
    fanned(BLOBS, digest) + PARTS
}

pub(super) fn segment(recipe: &Digest, number: u64) -> String {
    format!("{}/{number:06}", fanned(MEMOS, recipe))
}

fn fanned(prefix: &str, digest: &Digest) -> String {
    let hex = digest.to_string();
    format!("{prefix}{}/{hex}", &hex[..2])
}
