//! From any bytes to `Pipeline`: no panic, no hang. `cargo +nightly fuzz run --fuzz-dir tests/fuzz pipeline`
//!
//! A line `=== name` starts a further file, which `include: name` finds; a line `--set k=v` is an override.

#![no_main]

use std::{io, path::Path};

use libfuzzer_sys::fuzz_target;
use pipe_engine::{
    resolve::{Overrides, resolve},
    spec::load_with,
};

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
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, bytes)| bytes.clone()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let spec = load_with(Path::new("p.yaml"), &read);
    match resolve(&spec, &pipe_stages::registry(), &Overrides { set, ..Overrides::default() }) {
        Ok(resolved) => {
            let pipeline = resolved.pipeline;
            let mut pairs = (0..pipeline.variants.len()).flat_map(|v| (0..pipeline.stages.len()).map(move |s| (v, s)));
            assert!(pairs.all(|(v, s)| pipeline.node(v, s).is_some()));
            assert!(pipeline.graph.node_weights().all(|n| !n.placements.is_empty()));
        }
        Err(problems) => {
            assert!(problems.has_errors());
            for problem in &problems.items {
                for label in &problem.places {
                    problems.texts.position(label.span);
                    problems.texts.first_line(label.span);
                }
            }
        }
    }
});
