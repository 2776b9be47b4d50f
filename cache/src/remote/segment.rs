//! Segments: shards of a memo, packed, so that a hundred thousand rows are a handful of objects.
//!
//! A segment is `pipeseg1`, the length of its contents (four bytes, the lowest first), the contents (checked JSON:
//! whose they are, names and sizes), and the shards, one behind the other. Each shard is named by the digest of its
//! bytes, and says of which recipe it is.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::{disk::checked_json, hash::Digest};

const MAGIC: &[u8] = b"pipeseg1";
/// The newest format of segments that this version reads and writes.
pub(super) const FORMAT: u32 = 1;
/// A segment is ended when it holds so much.
pub(super) const FULL: u64 = 64 << 20;
/// The largest segment, which then holds one shard.
pub(super) const MOST: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Contents {
    format: u32,
    recipe: Digest,
    shards: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
struct Member {
    name: String,
    bytes: u64,
}

/// Packs shards, each a name and its bytes.
pub(super) fn pack(recipe: &Digest, shards: &[(String, Vec<u8>)]) -> Vec<u8> {
    let members = shards.iter().map(|(name, bytes)| Member { name: name.clone(), bytes: bytes.len() as u64 });
    let contents = checked_json::encode(&Contents { format: FORMAT, recipe: *recipe, shards: members.collect() });
    let mut out = [MAGIC, &(contents.len() as u32).to_le_bytes(), &contents].concat();
    for (_, bytes) in shards {
        out.extend_from_slice(bytes);
    }
    out
}

/// The shards of a segment of that recipe. A segment that is cut off has those that are whole.
pub(super) fn unpack<'a>(recipe: &Digest, segment: &'a [u8]) -> Result<Vec<(String, &'a [u8])>, Fault> {
    let broken = || Fault::Damaged("it is no segment of a memo".to_owned());
    let rest = segment.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (contents, mut rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
    let contents: Contents = checked_json::decode(contents, FORMAT)?;
    if contents.recipe != *recipe {
        return Err(Fault::Damaged("it is of another memo".to_owned()));
    }
    let mut shards = Vec::new();
    for member in contents.shards {
        let Some((bytes, behind)) = rest.split_at_checked(member.bytes as usize) else { break };
        rest = behind;
        let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
        // The name becomes one of a file here.
        if member.name.strip_suffix(".parquet").is_some_and(|stem| !stem.is_empty() && stem.chars().all(plain)) {
            shards.push((member.name, bytes));
        }
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_come_out_as_they_went_in_and_names_cannot_lead_elsewhere() {
        let recipe = Digest::of_bytes(b"r");
        let shards = [("0a-1b.parquet".to_owned(), b"one".to_vec()), ("../x.parquet".to_owned(), b"two".to_vec())];
        let packed = pack(&recipe, &shards);
        assert_eq!(unpack(&recipe, &packed).unwrap(), [("0a-1b.parquet".to_owned(), &b"one"[..])]);
        assert!(unpack(&Digest::of_bytes(b"other"), &packed).is_err());
        for end in 0..packed.len() {
            let _ = unpack(&recipe, &packed[..end]);
        }
        for at in 0..packed.len() - 6 {
            let mut bad = packed.clone();
            bad[at] ^= 4;
            assert!(unpack(&recipe, &bad).is_err(), "{at}");
        }
    }
}
