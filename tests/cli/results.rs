//! What a run leaves for people: tables, the page, and what is asked of them afterwards.

use std::fs;

use serde_json::Value;

use crate::TestEnvironment;

const PIPELINE: &str = "pipeline: p
about: Is more better?
vars: { n: 1, draw: a }
ablate: { n: [2, 3] }
replicate: { draw: [a, b, c, d, e] }
stages:
  scores: { kind: table, params: { path: '${n}-${draw}.jsonl' } }
  effects: { kind: compare, inputs: { scored: 'scores[*]' } }
";

/// Five draws of three levels: the second is better in all of them, the third is not.
fn project() -> TestEnvironment {
    let project = TestEnvironment::with(&[("p.yaml", PIPELINE)]);
    for (place, draw) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        for level in 1..=3 {
            let better = if level == 2 { 0.1 + 0.01 * place as f64 } else { 0.0 };
            let noise = if level == 3 { [0.02, -0.03, 0.01, -0.01, 0.015][place] } else { 0.0 };
            let rows = (0..12).map(|i| {
                let f1 = 0.3 + 0.02 * f64::from(i) + 0.001 * place as f64 + better + noise;
                format!("{{\"id\": \"i{i}\", \"task\": \"t{}\", \"instruction\": \"say {i}\", \"f1\": {f1}}}\n", i % 2)
            });
            fs::write(project.file(&format!("{level}-{draw}.jsonl")), rows.collect::<String>()).unwrap();
        }
    }
    project
}

#[test]
fn a_run_ends_with_arms_held_against_the_baseline() {
    let project = project();
    let run = project.ok(&["run", "p.yaml"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].contains("f1") && lines[0].contains("difference [95 %]") && lines[0].contains("draws"),
        "{lines:#?}"
    );
    assert!(lines[1].starts_with("*  1  0.412 ±0.001"), "{lines:#?}");
    assert!(lines[2].starts_with("   2  0.532 ±0.008 +  +0.120 [+0.100, +0.140]      5"), "{lines:#?}");
    assert!(lines[3].contains(" ?  "), "{lines:#?}");
    assert!(run.stdout.contains("is the choice better? over 5 draws"), "{}", run.stdout);
    assert!(run.stdout.contains("± standard error over draws"), "{}", run.stdout);
    let dots: Vec<&str> = lines.iter().copied().skip_while(|line| !line.starts_with("f1 ")).collect();
    assert!(dots.iter().all(|line| line.is_ascii() && line.len() <= 80) && dots[2].contains('o'), "{dots:#?}");
    // Again without running, and after a run with nothing to do.
    let results = project.ok(&["results", "p.yaml"]);
    assert_eq!(results.stdout.lines().next(), Some(lines[0]));
    let again = project.ok(&["run", "p.yaml"]);
    let told = |text: &str| {
        text.lines().filter(|line| line.contains('±')).map(|l| l[..45.min(l.len())].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&again.stdout), told(&results.stdout));
}

#[test]
fn intervals_are_called_by_what_they_cover_and_items_by_what_they_belong_to() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p
stages:
  a: { kind: table, params: { path: a.jsonl } }
  b: { kind: table, params: { path: b.jsonl } }
  effects: { kind: compare, inputs: { a: a, b: b }, params: { alpha: 0.001, cluster: text } }
",
    )]);
    // Ten texts with four items each, whose scores are those of the text.
    for (file, more) in [("a.jsonl", 0.0), ("b.jsonl", 0.02)] {
        let row = |i: i32| {
            let (text, f1) = (i / 4, f64::from(i / 4 * 7 % 10) / 10.0 + more * f64::from(i / 4 % 2));
            format!("{{\"id\": \"i{i}\", \"text\": \"t{text}\", \"f1\": {f1:.3}}}\n")
        };
        fs::write(project.file(file), (0..40).map(row).collect::<String>()).unwrap();
    }
    let run = project.ok(&["run", "p.yaml"]).stdout;
    assert!(run.contains("difference [99.9 %]"), "{run}");
    let one_line = run.split_whitespace().collect::<Vec<_>>().join(" ");
    let asked = "(p < 0.001 after Holm): are these models different? over 40 items in 10 clusters.";
    assert!(one_line.contains(asked), "{run}");
    // The standard deviation of 0, 0.1, .., 0.9 is 0.303: over the root of ten, not of forty.
    assert!(run.contains("0.450 ±0.096") && run.contains("over items, by clusters"), "{run}");
    for format in ["markdown", "latex"] {
        let table = project.ok(&["results", "p.yaml", "--format", format]).stdout.replace('\\', "");
        assert!(table.contains("difference [99.9 %]"), "{table}");
    }
    assert!(project.ok(&["results", "p.yaml", "--task", "all"]).stdout.contains("difference [99.9 %]"));
    let page = fs::read_to_string(project.file("results/p/report.html")).unwrap();
    assert!(page.contains("bars are 99.9 % intervals") && page.contains("99.9 % interval "), "no confidence");
    assert!(!page.contains("95 % interval") && !page.contains("100 % interval"), "another confidence");
}

#[test]
fn a_gate_says_of_which_study_an_arm_is() {
    let project = project();
    let gate = ["compare", "p.yaml", "--gate", "f1 >= baseline - 0.05"];
    project.ok(&["run", "p.yaml"]);
    let one = project.ok(&gate).stdout;
    assert!(one.lines().next().is_some_and(|line| !line.contains("study")), "{one}");
    let more = "  close: { kind: compare, inputs: { scored: 'scores[*]' }, params: { margins: { f1: 0.01 } } }\n";
    fs::write(project.file("p.yaml"), format!("{PIPELINE}{more}")).unwrap();
    project.ok(&["run", "p.yaml"]);
    let several = project.ok(&gate).stdout;
    let words: Vec<Vec<&str>> = several.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][..3], ["gate", "study", "arm"], "{several}");
    let of = |study: &str| words.iter().filter(|line| line.contains(&study) && line.contains(&"n=2")).count();
    assert_eq!((of("effects"), of("close")), (1, 1), "{several}");
}

#[test]
fn results_are_printed_for_programs_readmes_and_papers() {
    let project = project();
    let missing = project.pipe(&["results", "p.yaml"]);
    assert_eq!(missing.code, Some(6), "{}", missing.stderr);
    project.ok(&["run", "p.yaml"]);
    let csv = project.ok(&["results", "p.yaml", "--format", "csv"]).stdout;
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let of = |row: &Vec<&str>, name: &str| row[rows[0].iter().position(|of| *of == name).unwrap()].to_owned();
    let all = rows.iter().find(|row| of(row, "question") == "draws" && of(row, "task") == "all").unwrap();
    assert_eq!(
        [of(all, "arm"), of(all, "draws"), of(all, "verdict"), of(all, "weak")],
        ["n=2", "5", "better", "false"]
    );
    assert!((of(all, "difference").parse::<f64>().unwrap() - 0.12).abs() < 1e-12);
    let json = project.json(&["results", "p.yaml", "--format", "json", "--metric", "F1"]);
    assert_eq!(json["studies"][0]["comparison"]["arms"].as_array().unwrap().len(), 3);
    let markdown = project.ok(&["results", "p.yaml", "--format", "markdown"]).stdout;
    assert!(markdown.contains("| 2 | 0.532 ±0.008 | +0.120 [+0.100, +0.140] | better (5 draws) | 5 |"), "{markdown}");
    let latex = project.ok(&["results", "p.yaml", "--format", "latex"]).stdout;
    assert!(latex.contains(r"2 & 0.532 $\pm$0.008 & +0.120 [+0.100, +0.140]"), "{latex}");
    let tasks = project.ok(&["results", "p.yaml", "--task", "each"]).stdout;
    assert_eq!(tasks.lines().filter(|line| line.contains(" t1 ")).count(), 2, "{tasks}");
    for wrong in [["--metric", "bleu"], ["--task", "t9"]] {
        let failed = project.pipe(&["results", "p.yaml", wrong[0], wrong[1]]);
        assert_eq!(failed.code, Some(6), "{}", failed.stderr);
        assert!(failed.stderr.contains(wrong[1]), "{}", failed.stderr);
    }
}

#[test]
fn a_gate_is_an_exit_code() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    let gate = |args: &[&str]| {
        let all: Vec<&str> = ["compare", "p.yaml", "--gate"].iter().chain(args).copied().collect();
        project.pipe(&all)
    };
    assert_eq!(gate(&["f1 >= baseline - 0.05"]).code, Some(0));
    let failed = gate(&["f1 > baseline + 0.05"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    assert!(failed.stdout.contains("fails") && failed.stdout.contains("n=3"), "{}", failed.stdout);
    assert_eq!(gate(&["f1 > baseline + 0.05", "--arm", "n=2"]).code, Some(0));
    // The difference is +.120, the lower end of its interval +.100.
    assert_eq!(gate(&["f1 > baseline + 0.11", "--arm", "n=2"]).code, Some(0));
    assert_eq!(gate(&["f1 > baseline + 0.11", "--arm", "n=2", "--sure"]).code, Some(1));
    assert_eq!(gate(&["f1@t1 > 0.5", "--arm", "n=2"]).code, Some(0));
    assert_eq!(gate(&["f1 > 0.5", "--sure"]).code, Some(2), "a number has no interval");
    assert_eq!(gate(&["f1 = 0.5"]).code, Some(2));
    for nothing in ["bleu > 0.5", "f1@t9 > baseline"] {
        let failed = gate(&[nothing]);
        assert_eq!(failed.code, Some(if nothing.contains("t9") { 1 } else { 6 }), "{}", failed.stderr);
    }
    assert_eq!(gate(&["f1 > 0", "--arm", "n=4"]).code, Some(6));
}

#[test]
fn the_page_is_written_once_and_is_one_file() {
    let project = project();
    project.ok(&["run", "p.yaml", "--no-report"]);
    let page = project.file("results/p/report.html");
    assert!(!page.exists());
    project.ok(&["run", "p.yaml"]);
    let html = fs::read_to_string(&page).unwrap();
    for text in ["Is more better?", "n=2 is better than baseline", "pipe run p.yaml"] {
        assert!(html.contains(text), "{text}");
    }
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let modified = || fs::metadata(&page).unwrap().modified().unwrap();
    let before = modified();
    project.ok(&["run", "p.yaml"]);
    assert_eq!(modified(), before, "nothing has changed");
    fs::write(&page, "mine").unwrap();
    project.ok(&["run", "p.yaml"]);
    assert_eq!(fs::read_to_string(&page).unwrap().len(), html.len(), "it is made again");
    // Numbers that somebody has changed are not shown.
    let stamp = project.file(".pipe/v1/runs/stamps/p.shown.json");
    let text = fs::read_to_string(&stamp).unwrap();
    assert!(text.contains("0.53"), "{text}");
    fs::write(&stamp, text.replace("0.53", "0.93")).unwrap();
    let run = project.ok(&["run", "p.yaml"]);
    assert!(run.stdout.contains("0.532") && !run.stdout.contains("0.932"), "{}", run.stdout);
}

#[test]
fn a_run_that_failed_says_so_in_its_table_and_on_its_page() {
    let project = project();
    fs::write(project.file("2-c.jsonl"), "{\"id\": broken\n").unwrap();
    let run = project.pipe(&["run", "p.yaml", "--keep-going"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stdout.contains("4 of 5"), "{}", run.stdout);
    assert!(run.stdout.contains("left out: n=2 in draw=c: its stage has no result"), "{}", run.stdout);
    let html = fs::read_to_string(project.file("results/p/report.html")).unwrap();
    assert!(html.contains("2-c.jsonl"), "the page says what failed");
    let left_out = &project.json(&["show", "effects.left_out", "--format", "json"])["head"][0];
    assert_eq!((&left_out["arm"], &left_out["draw"]), (&Value::from("n=2"), &Value::from("draw=c")));
}
