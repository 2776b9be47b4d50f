//! From any bytes to `Pipeline`: no panic, no hang. `cargo +nightly fuzz run --fuzz-dir tests/fuzz pipeline`
//!
//! A line `=== name` starts a further file, which `include: name` finds; a line `--set k=v` is an override.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pipe_testing::mutants::resolve_anything;

// Panics that are caught where they are expected are no findings; others still end the process.
fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| {
    let mut files: Vec<(String, Vec<u8>)> = vec![("p.yaml".to_owned(), Vec::new())];
    let mut set = Vec::new();
    for line in data.split_inclusive(|&b| b == b'\n') {
        let text = String::from_utf8_lossy(line);
        if let Some(name) = text.strip_prefix("=== ") {
            files.push((name.trim_end().to_owned(), Vec::new()));
        } else if let Some(pair) = text.strip_prefix("--set ") {
            set.push(pair.trim_end().to_owned());
        } else if let Some((_, content)) = files.last_mut() {
            content.extend_from_slice(line);
        }
    }
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    resolve_anything(&pipe_stages::registry(), &files, &set);
});
