//! Damaged pipelines: thousands of them, the same ones in every run, none of which may panic, hang or use up the
//! memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use pipe_testing::{
    mutants::{Random, resolve_anything},
    shapes::registry,
};

/// What readers stumble over.
const PIECES: [&str; 40] = [
    "${",
    "}",
    "${a}",
    "${a.0}",
    "\"${a}${a}\"",
    "$${",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!x ",
    "? ",
    "---\n",
    "null",
    "~",
    "1e999",
    "-9223372036854775809",
    "0x",
    ".nan",
    "\"",
    "'",
    "|",
    ">-\n",
    "#",
    "include: p.yaml\n",
    "like: s",
    "override: true",
    "\u{feff}",
    "\u{0}",
    "é",
    "[*]",
];

fn damage(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        match random.below(7) {
            0 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            1 => text.truncate(at),
            2 if at < text.len() => text[at] = random.draw() as u8,
            3 if at < text.len() => drop(text.remove(at)),
            4 => {
                let end = (at + random.below(60)).min(text.len());
                let copy = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, copy.repeat(1 + random.below(3))));
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let end = (from + random.below(200)).min(other.len());
                drop(text.splice(at..at, other[from..end].iter().copied()));
            }
            _ => drop(text.drain(at..(at + random.below(40)).min(text.len()))),
        }
    }
    text
}

fn seeds() -> Vec<Vec<u8>> {
    let of = |folder: &str| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
        files.sort();
        files.iter().map(|path| fs::read(path).unwrap()).collect()
    };
    let mut seeds = of("tests/broken");
    seeds.extend(of("../pipelines"));
    // Large texts give little for their time.
    seeds.retain(|text| text.len() < 8 << 10);
    seeds
}

#[test]
fn damaged_files_are_refused_or_read() {
    let seeds = seeds();
    assert!(seeds.len() > 40);
    let (registry, mut random) = (registry(), Random(17));
    let start = Instant::now();
    for round in 0..2_000 {
        let included = damage(&mut random, &seeds);
        let set = match round % 3 {
            0 => vec![format!("n={}", String::from_utf8_lossy(&included[..included.len().min(30)]))],
            _ => Vec::new(),
        };
        let files = [("p.yaml", damage(&mut random, &seeds)), ("q/i.yaml", included)];
        let before = Instant::now();
        resolve_anything(&registry, &files, &set);
        assert!(before.elapsed() < Duration::from_secs(5), "round {round} took {:?}", before.elapsed());
        // A busy machine does less; what it does is always the same.
        if start.elapsed() > Duration::from_secs(8) {
            assert!(round > 100, "only {round} rounds in {:?}", start.elapsed());
            break;
        }
    }
}
