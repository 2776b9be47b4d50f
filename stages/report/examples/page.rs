//! Prints the page of an invented study, for people to look at:
//!
//!     cargo run -p pipe-report --example page > page.html
//!     cargo run -p pipe-report --example page 12 5 660 > large.html
//!
//! The numbers are arms, draws and items; with a fourth word the run is one that failed.

use std::error::Error;
use std::io::Write;

#[path = "../tests/study/mod.rs"]
mod study;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: usize| words.get(place).map_or(Ok(default), |word| word.parse());
    let size = study::Size { arms: number(0, 4)?, draws: number(1, 5)?, items: number(2, 660)? };
    let mut report = study::study(size);
    if words.len() > 3 {
        study::fail(&mut report);
    }
    std::io::stdout().write_all(pipe_report::html(&report)?.as_bytes())?;
    Ok(())
}
