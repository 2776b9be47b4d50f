//! Every file in `tests/broken` has its rendered messages next to it. `a.yaml` may come with `a.inc.yaml`, which it
//! includes.

use std::{fmt::Write as _, path::Path};

use miette::{GraphicalReportHandler, GraphicalTheme};
use pipe_engine::{
    resolve::{Overrides, resolve},
    spec::load,
};
use pipe_testing::shapes::registry;

fn render(path: &Path) -> String {
    // Paths in messages are relative to the folder, on every machine.
    let spec = load(path);
    let Err(problems) = resolve(&spec, &registry(), &Overrides::default()) else {
        panic!("{} resolves", path.display());
    };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    let mut text = String::new();
    for report in problems.reports() {
        handler.render_report(&mut text, &report).expect("a string can be written to");
        text.push('\n');
    }
    writeln!(text, "{} problem(s)", problems.items.len()).expect("a string can be written to");
    text
}

#[test]
fn messages_of_broken_files() {
    // Relative to the package, where tests run: where lines are wrapped must not depend on where the checkout lies.
    let folder = Path::new("tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml") && !p.to_string_lossy().contains(".inc."))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "only {} files", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../broken");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in files {
        let name = file.file_stem().expect("files have names").to_string_lossy().into_owned();
        settings.bind(|| insta::assert_snapshot!(name, render(&file)));
    }
}
