//! Series of numbers as TensorBoard reads them: one event file per stage.
//!
//! A file is a sequence of records: the length of the data, its checksum, the data, their checksum. The data are a
//! message of protocol buffers with a handful of fields, so that two crates and a compiler of schemas would do less
//! than this file does.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use pipe_engine::{
    events::{Event, EventKind},
    pipeline::NodeRef,
};

use super::Reporter;
use crate::output;

/// What names of event files begin with.
const PREFIX: &str = "events.out.tfevents.";

/// Writes the series of a run below a folder: `<pipeline>/<stage@variant>/events.out.tfevents...`.
pub(crate) struct TensorBoard {
    folder: PathBuf,
    pipeline: String,
    started_ms: u64,
    /// By node.
    files: HashMap<u32, BufWriter<File>>,
    failed: bool,
}

impl TensorBoard {
    /// Below this folder, which is made where it is missing.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, pipeline: String::new(), started_ms: 0, files: HashMap::new(), failed: false }
    }

    fn write(&mut self, at: f64, node: &NodeRef, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        let time = self.started_ms as f64 / 1000.0 + at;
        if !self.files.contains_key(&node.id) {
            let folder = self.folder.join(file_name(&self.pipeline)).join(file_name(&node.label.to_string()));
            let file = open(&folder, time, step)?;
            self.files.insert(node.id, file);
        }
        let Some(file) = self.files.get_mut(&node.id) else { return Ok(()) };
        record(file, &message(time, step, &summary(values)))?;
        // Whoever watches wants to see it now.
        file.flush()
    }
}

impl Reporter for TensorBoard {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { pipeline, started_ms, origin, .. } => {
                self.pipeline = origin.trial.as_ref().map_or_else(|| pipeline.clone(), |t| format!("{pipeline}+{t}"));
                self.started_ms = *started_ms;
            }
            EventKind::Series { node, step, values } if !self.failed => {
                let values: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                if let Err(error) = self.write(event.at, node, *step, &values) {
                    self.failed = true;
                    let folder = self.folder.display();
                    output::warning(format_args!("failed to write for TensorBoard to {folder}: {error}"));
                }
            }
            // A second attempt begins anew.
            EventKind::Finished { node, .. } | EventKind::Failed { node, .. } | EventKind::Retry { node, .. } => {
                self.files.remove(&node.id);
            }
            _ => {}
        }
    }
}

/// A new file. One that tells of the beginning takes the place of those that did before; else they go on.
fn open(folder: &Path, time: f64, step: u64) -> io::Result<BufWriter<File>> {
    fs::create_dir_all(folder)?;
    if step <= 1 {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    let name = format!("{PREFIX}{:.0}.{}.{}", time, pipe_cache::host_name(), std::process::id());
    let mut file = BufWriter::new(File::options().append(true).create(true).open(folder.join(name))?);
    record(&mut file, &message(time, 0, &field(3, b"brain.Event:2")))?;
    Ok(file)
}

/// A name as one component of a path.
fn file_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// Data between their length and checksums.
fn record(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(crc32c(&length)).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked(crc32c(data)).to_le_bytes())
}

/// An `Event`: its time (1), its step (2), and what it tells.
fn message(time: f64, step: u64, told: &[u8]) -> Vec<u8> {
    let mut message = vec![1 << 3 | 1];
    message.extend(time.to_le_bytes());
    message.push(2 << 3);
    varint(&mut message, step);
    message.extend(told);
    message
}

/// The field `summary` (5) of an `Event`: values (1), each a tag (1) with a number (2).
fn summary(values: &[(&str, f64)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (tag, value) in values {
        let mut one = field(1, tag.as_bytes());
        one.push(2 << 3 | 5);
        one.extend((*value as f32).to_le_bytes());
        all.extend(field(1, &one));
    }
    field(5, &all)
}

/// Bytes under a field's number.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(&mut field, bytes.len() as u64);
    field.extend(bytes);
    field
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The checksum of iSCSI.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

/// As TensorFlow keeps it: the checksum of data that hold checksums would be a bad one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of the CRC catalogue.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_record_is_what_tensorflow_writes() {
        // By TensorBoard 2.21's own `RecordWriter`: time 1.5, step 300, `train/loss` 0.25.
        let expect =
            "2100000000000000017becf609000000000000f83f10ac022a130a110a0a747261696e2f6c6f7373150000803e6557981f";
        let mut out = Vec::new();
        record(&mut out, &message(1.5, 300, &summary(&[("train/loss", 0.25)]))).unwrap();
        assert_eq!(out.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(), expect);
    }
}
