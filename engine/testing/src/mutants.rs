//! What tests with damaged files share: the same random numbers in every run, and a look at a pipeline of any bytes.

use std::{io, path::Path};

use pipe_engine::{
    kind::Registry,
    resolve::{Overrides, resolve},
    spec::load_with,
};

/// `SplitMix64` (Steele, Lea and Flood 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }
}

/// Reads and resolves the first of the files, which may include the others. Whatever stands in them, the answer is a
/// pipeline that is whole, or problems of which every place is one.
///
/// # Panics
/// If it is not.
pub fn resolve_anything(registry: &Registry, files: &[(&str, Vec<u8>)], set: &[String]) {
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, bytes)| bytes.clone()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let spec = load_with(Path::new(files[0].0), &read);
    match resolve(&spec, registry, &Overrides { set: set.to_vec(), folder: "/work".into(), name: None }) {
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
}
