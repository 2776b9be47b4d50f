//! One page, followed from its top to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    markdown::{Block, blocks},
    merge::merge,
    repository,
    shown::same,
};
use crate::{
    TestEnvironment,
    terminal::{Terminal, lines},
};

/// The terminal that pages show.
const SIZE: (u16, u16) = (44, 100);
/// More lines than a command of a page prints.
const KEPT: u16 = 600;

pub(super) struct Session {
    page: PathBuf,
    text: String,
    project: TestEnvironment,
    /// Pipelines of the page that no command has run, and the lines they stand in.
    to_run: Vec<(String, usize)>,
    /// The folder of the program whose output is to be put into the page.
    update: Option<PathBuf>,
    /// What lines of the page are to be instead.
    updates: Vec<(std::ops::Range<usize>, Vec<String>)>,
}

impl Session {
    pub(super) fn of(page: &str) -> Self {
        let page = repository().join(page);
        let text = fs::read_to_string(&page).unwrap();
        let update = std::env::var_os("UPDATE_PAGES").map(PathBuf::from);
        assert!(update.as_ref().is_none_or(|folder| folder.join("pipe").is_file()), "UPDATE_PAGES: no `pipe` is there");
        Self { page, text, project: TestEnvironment::new(), to_run: Vec::new(), update, updates: Vec::new() }
    }

    /// Does all that the page says.
    pub(super) fn follow(mut self) {
        for block in blocks(&self.text) {
            match &*block.language {
                "yaml" if block.says("fragment") => self.fragment(&block),
                "yaml" => self.pipeline(&block),
                "console" if !block.says("unrun") => self.console(&block),
                "sh" if !block.says("unrun") => self.script(&block),
                _ => {
                    if let Some(name) = block.value("file") {
                        self.project.write(name, &block.text);
                    }
                }
            }
        }
        for (file, line) in std::mem::take(&mut self.to_run) {
            let ran = self.project.pipe(&["run", &file]);
            assert_eq!(ran.code, Some(0), "{}\n{}{}", self.place(line), ran.stdout, ran.stderr);
        }
        self.write_updates();
    }

    fn place(&self, line: usize) -> String {
        format!("{}:{}", self.page.display(), line + 1)
    }

    /// A whole pipeline.
    fn pipeline(&mut self, block: &Block) {
        let at = block.lines.start;
        let named = block.text.lines().find_map(|line| line.strip_prefix("pipeline: "));
        let name = block.value("file").map(str::to_owned).or_else(|| Some(format!("{}.yaml", named?)));
        let name = name.unwrap_or_else(|| panic!("{}: neither a pipeline nor a `fragment of=FILE`", self.place(at)));
        self.project.write(&name, &block.text);
        self.check(&name, block);
        if !["planned", "unplanned", "wrong"].iter().any(|word| block.says(word)) {
            self.to_run.push((name, at));
        }
    }

    /// A part of a pipeline that is there.
    fn fragment(&mut self, block: &Block) {
        let place = self.place(block.lines.start);
        let of = block.value("of").unwrap_or_else(|| panic!("{place}: a fragment says `of=FILE`"));
        let before = fs::read_to_string(self.project.file(of));
        let before = before.unwrap_or_else(|e| panic!("{place}: there is no {of} here yet: {e}"));
        self.project.write(of, &merge(&before, &block.text));
        self.check(of, block);
        if block.says("aside") {
            self.project.write(of, &before);
        }
    }

    /// The pipeline is one, and can be planned; or it is wrong, as it is meant to be.
    fn check(&self, file: &str, block: &Block) {
        let command = if block.says("unplanned") { "dag" } else { "plan" };
        let said = self.project.pipe(&[command, file]);
        let text = || self.project.read(file);
        let place = self.place(block.lines.start);
        let wanted = if block.says("wrong") { 3 } else { 0 };
        assert_eq!(said.code, Some(wanted), "{place}\n{}\n{}{}", text(), said.stdout, said.stderr);
    }

    /// Commands behind `$`, with what they print.
    fn console(&mut self, block: &Block) {
        let all: Vec<&str> = block.text.lines().collect();
        let starts: Vec<usize> = (0..all.len()).filter(|&at| all[at].starts_with("$ ")).collect();
        assert!(starts.first() == Some(&0), "{}: a session begins with `$ `", self.place(block.lines.start));
        for (nth, &start) in starts.iter().enumerate() {
            let mut end = start + 1;
            while all[end - 1].ends_with('\\') {
                end += 1;
            }
            let next = starts.get(nth + 1).copied().unwrap_or(all.len());
            let last = nth + 1 == starts.len();
            let expected = if last { block.value("exit").map_or(0, |code| code.parse().unwrap()) } else { 0 };
            let printed = self.run(&all[start..end].join("\n")[2..], expected, block.lines.start + start);
            self.compare(&all[end..next], printed, block.lines.start + end);
        }
    }

    /// Commands whose output is not shown.
    fn script(&mut self, block: &Block) {
        for (at, line) in block.text.lines().enumerate() {
            self.run(line, 0, block.lines.start + at);
        }
    }

    /// What a command prints, on a terminal.
    fn run(&mut self, line: &str, code: i32, at: usize) -> Vec<String> {
        let bin = self.update.clone().unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_pipe")).parent().unwrap().into());
        let paths = std::env::var("PATH").unwrap();
        let mut command = Command::new("sh");
        let set = [("PATH", format!("{}:{paths}", bin.display())), ("TERM", "xterm".into()), ("NO_COLOR", "1".into())];
        command.args(["-c", line]).current_dir(self.project.path()).env_clear().envs(set);
        let mut terminal = Terminal::start(command, SIZE, None);
        terminal.screen = vt100::Parser::new(KEPT.try_into().unwrap(), SIZE.1.try_into().unwrap(), 0);
        let ended = terminal.ended(|_| {});
        let folder = format!("{}/", self.project.path().display());
        let printed = lines(terminal.screen.screen()).into_iter().map(|line| line.replace(&folder, "")).collect();
        assert_eq!(ended.code(), Some(code), "{}: {line}\n{printed:#?}", self.place(at));
        self.to_run.retain(|(file, _)| !(line.contains("pipe run") && line.split_whitespace().any(|w| w == file)));
        printed
    }

    fn compare(&mut self, shown: &[&str], printed: Vec<String>, at: usize) {
        if self.update.is_some() && !shown.contains(&"...") {
            self.updates.push((at..at + shown.len(), printed));
            return;
        }
        let place = self.place(at);
        assert!(same(shown, &printed), "{place}: what is printed is not what stands there:\n{}\n", printed.join("\n"));
    }

    fn write_updates(&self) {
        if self.updates.is_empty() {
            return;
        }
        let mut text: Vec<String> = self.text.lines().map(str::to_owned).collect();
        for (range, lines) in self.updates.iter().rev() {
            text.splice(range.clone(), lines.iter().cloned());
        }
        fs::write(&self.page, text.join("\n") + "\n").unwrap();
    }
}
