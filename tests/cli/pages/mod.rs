//! Pages for people run as they are printed: README and all of `docs/`, but for the generated reference.
//!
//! A page is a session in a folder of its own. From the top to the end,
//! - a block `yaml` is a pipeline: it is written to a file of its name, planned, and run in the end if no command does;
//! - `yaml fragment of=FILE` is put into a file that is there by then, which is planned; `aside` leaves the file as it
//!   was;
//! - any other block with `file=NAME` is that file;
//! - `sh` is commands that must succeed; `console` is commands behind `$` with what they print on a terminal of 100
//!   columns. A line `...` stands for any lines; times, sizes, keys and names of runs are not compared.
//!
//! `planned` behind a fence says that a pipeline is not run here, `unplanned` that it cannot even be planned (it names
//! something to download), `wrong` that it is refused, `unrun` that commands are only parsed, `exit=1` how the last
//! command ends.
//!
//! `UPDATE_PAGES=$PWD/target/release cargo test --test cli pages` puts into the pages what the program in that folder
//! prints now (people see the times of a release).

pub(crate) mod markdown;
mod merge;
mod session;
mod shown;

use std::{
    fs,
    path::{Path, PathBuf},
};

use session::Session;

macro_rules! pages {
    ($($test:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(#[test]
        fn $test() {
            Session::of($path).follow();
        })*
    };
}

pages! {
    readme: "README.md",
    first_study: "docs/first-study.md",
    own_domain: "docs/own-domain.md",
    results: "docs/results.md",
    evaluation: "docs/evaluation.md",
    caching: "docs/caching.md",
    remote: "docs/remote.md",
    programs: "docs/programs.md",
    models: "docs/models.md",
    trainers: "docs/trainers.md",
    cluster: "docs/cluster.md",
    other_tools: "docs/other-tools.md",
    studies: "docs/studies.md",
    faq: "docs/faq.md",
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files of the repository, by their places in it.
fn markdown_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        // What is built, and what git has.
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            markdown_files(&entry.path(), found);
        } else if entry.path().extension().is_some_and(|extension| extension == "md") {
            found.push(entry.path().strip_prefix(repository()).unwrap().to_owned());
        }
    }
}

fn all_files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    markdown_files(repository(), &mut found);
    found.sort();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(repository().join(path)).unwrap());
    found.into_iter().map(read).collect()
}

#[test]
fn every_page_with_a_pipeline_or_a_session_is_followed() {
    for (path, text) in all_files() {
        if path.starts_with("docs/reference") {
            continue;
        }
        let runs = markdown::blocks(&text).iter().any(|block| ["yaml", "console", "sh"].contains(&&*block.language));
        let name = path.to_str().unwrap();
        assert!(!runs || PAGES.contains(&name), "{name} has blocks that run, and stands in no list: tests/cli/pages");
        let indented = text.lines().find(|line| line.starts_with("    pipe "));
        assert!(!PAGES.contains(&name) || indented.is_none(), "{name}: a command stands in no block: {indented:?}");
    }
}

#[test]
fn examples_in_the_reference_are_those_that_kinds_print() {
    let project = crate::TestEnvironment::new();
    let mut seen = 0;
    for (path, text) in all_files() {
        let Ok(kind) = path.strip_prefix("docs/reference/kinds") else { continue };
        let example = project.ok(&["kinds", kind.file_stem().unwrap().to_str().unwrap(), "--example"]).stdout;
        let blocks = markdown::blocks(&text);
        let yaml: Vec<&str> = blocks.iter().filter(|b| b.language == "yaml").map(|b| &*b.text).collect();
        assert_eq!(yaml, [example], "{}", path.display());
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    let files = all_files();
    let heading = |path: &Path, anchor: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor)
    };
    for (path, text) in &files {
        let folder = repository().join(path.parent().unwrap());
        for part in text.split("](").skip(1) {
            let Some((link, _)) = part.split_once(')') else { continue };
            if link.contains("://") || link.contains(' ') || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { repository().join(path) } else { folder.join(file) };
            if !target.exists() || !anchor.is_empty() && !heading(&target, anchor) {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a forge calls a heading in a link.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_book_has_every_page() {
    let summary = fs::read_to_string(repository().join("docs/SUMMARY.md")).unwrap();
    for (path, _) in all_files() {
        let Ok(page) = path.strip_prefix("docs") else { continue };
        let page = page.to_str().unwrap();
        assert!(page == "SUMMARY.md" || summary.contains(&format!("({page})")), "docs/SUMMARY.md lacks {page}");
    }
}

#[test]
fn the_picture_says_what_the_results_say() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let (picture, results, readme) = (read("docs/pictures/arms.svg"), read("RESULTS.md"), read("README.md"));
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows =
        results.lines().skip_while(|line| !line.starts_with("| none (base)")).take_while(|line| !line.is_empty());
    let score = |cell: &str| cell.split_whitespace().next().unwrap().to_owned();
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (f1, exact) = (score(cells[1]), score(cells[3]));
        for text in [cells[0], &f1, &exact].into_iter().chain([cells[4]].into_iter().filter(|kept| !kept.is_empty())) {
            assert!(picture.contains(&format!(">{text}</text>")), "docs/pictures/arms.svg lacks {text}");
        }
        assert!(readme.contains(&format!("{f1} and {exact}")), "README.md lacks {f1} and {exact}");
        seen += 1;
    }
    assert_eq!(seen, 5);
    assert!(picture.len() < 20_000 && picture.contains("<title") && picture.contains("<desc"));
    let addresses: Vec<&str> = picture.matches("://").collect();
    assert_eq!(addresses.len(), 1, "nothing is loaded from elsewhere but the name of the language");
}
