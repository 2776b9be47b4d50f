use std::{fs, path::Path};

use clap::{Parser, error::ErrorKind};

use super::Cli;
use crate::markdown::{blocks, commands, spans};

/// Files of a folder that people read.
fn pages(folder: &Path) -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
}

#[test]
fn commands_in_pages_are_commands_with_options_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (page, text) in pages(root).chain(pages(&root.join("docs"))) {
        let shells = blocks(&text).into_iter().filter(|block| ["sh", "console"].contains(&&*block.language));
        let lines = shells.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
        // In prose, `pipe -> stages` is no command.
        let spoken = spans(&text).into_iter().filter(|span| span.starts_with("pipe ") && !span.contains("->"));
        for line in lines.chain(spoken) {
            for words in commands(&line) {
                let parsed = Cli::try_parse_from(["pipe"].into_iter().chain(words.iter().map(String::as_str)));
                // Prose may leave out what a command is about.
                let told = parsed.err().map(|e| (e.kind(), e.to_string()));
                let is_part = |kind| matches!(kind, ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelp);
                if let Some((_, told)) = told.filter(|(kind, _)| !is_part(*kind)) {
                    panic!("{page}: {line}\n{told}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} commands");
}
