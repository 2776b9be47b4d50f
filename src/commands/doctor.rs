//! `pipe doctor`.

use std::io::{self, Write};

use pipe_engine::diag::redact;
use pipe_stages::results::{Gathered, Heard, Sign};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, color_on_stdout, paint, style},
    project,
};

/// Characters that are shown of an example.
const EXAMPLE: usize = 160;

pub(crate) fn doctor(global: &cli::Global, args: &cli::Doctor) -> Result<Exit, CliError> {
    let pipeline = super::load(&args.pipeline)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let heard = Heard::default();
    let signs = Gathered::new(&pipeline, &store, &project::environment(), &heard)?.signs()?;
    match args.format {
        Format::Json => output::json(&signs)?,
        Format::Text if signs.is_empty() => {
            let help = Some("`pipe run` computes them; looked at are generate, respond, train and evaluate".to_owned());
            return Err(CliError::NotFound { message: "no stage has a result to look at".to_owned(), help });
        }
        Format::Text => write(&signs)?,
    }
    Ok(Exit::Success)
}

fn write(signs: &[Sign]) -> io::Result<()> {
    let mut out = output::prose();
    let mut weak = signs.iter().filter(|sign| sign.weak).peekable();
    if weak.peek().is_none() {
        writeln!(out, "nothing stands out")?;
    }
    for (place, sign) in weak.enumerate() {
        // What is made of bad rows is bad for that reason alone: the first one is to be mended first.
        let begins = if place == 0 { "the weak link" } else { "\nalso weak" };
        let name = paint(format!("{}, {}", sign.stage, sign.what), style::BOLD, color_on_stdout());
        let (weak, all) = sign.of;
        let often = if all > 1 { format!(", in {weak} of {all} computations") } else { String::new() };
        writeln!(out, "{begins}: {name}: {}{often}", sign.told)?;
        writeln!(out, "  {}", sign.help)?;
        for example in &sign.examples {
            writeln!(out, "  - {}", shortened(example))?;
        }
    }
    drop(out);
    let fine: Vec<&Sign> = signs.iter().filter(|sign| !sign.weak).collect();
    if fine.is_empty() {
        return Ok(());
    }
    writeln!(output::stdout(), "\nlooked at as well:")?;
    let mut table = Table::new(&["stage", "what", "found, at its worst"]);
    for sign in fine {
        table.row(vec![sign.stage.clone(), sign.what.clone(), sign.told.clone()]);
    }
    output::fitted(table)
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = redact(&line).into_owned();
    if line.chars().count() <= EXAMPLE { line } else { line.chars().take(EXAMPLE).chain("...".chars()).collect() }
}
