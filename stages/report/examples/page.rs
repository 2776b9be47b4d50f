//! Prints the page of an invented study, for people to look at:
//!
//!     cargo run -p pipe-report --example page > page.html
//!     cargo run -p pipe-report --example page 12 5 660 > large.html
//!
//! The numbers are arms, draws and items.

use std::error::Error;
use std::io::Write;

#[path = "../tests/study/mod.rs"]
mod study;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, default: usize| numbers.get(place).copied().unwrap_or(default);
    let size = study::Size { arms: number(0, 4), draws: number(1, 5), items: number(2, 660) };
    std::io::stdout().write_all(pipe_report::html(&study::study(size))?.as_bytes())?;
    Ok(())
}
