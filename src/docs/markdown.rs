//! The reference as Markdown, one page per kind.

use std::fmt::Write as _;

use pipe_engine::kind::Registry;
use pipe_stages::metrics::{Metric, Normalizer, RankMetric};

use super::{KindDoc, ParamDoc, PortDoc, commands::commands_page, one_line};

/// Stands on every page.
const MADE: &str = "<!-- Written by `pipe docs`; not to be edited. -->\n\n";

/// All pages, with their places in the folder.
pub(crate) fn pages(registry: &Registry) -> Vec<(String, String)> {
    let kinds: Vec<KindDoc> = registry.iter().map(|kind| KindDoc::new(kind.as_ref(), registry)).collect();
    let mut pages = vec![
        ("README.md".to_owned(), index(&kinds)),
        ("commands.md".to_owned(), format!("{MADE}{}", commands_page())),
        ("metrics.md".to_owned(), metrics()),
    ];
    pages.extend(kinds.iter().map(|kind| (format!("kinds/{}.md", kind.name), page(kind))));
    pages
}

fn index(kinds: &[KindDoc]) -> String {
    let mut text = format!(
        "{MADE}# Reference\n\nWhat `pipe kinds`, `pipe kinds NAME` and `pipe --help` print. The \
         [schema](../../pipelines/pipeline.schema.json) of pipeline files has the same for editors.\n\n- \
         [Commands](commands.md)\n- [Metrics](metrics.md)\n\n## Kinds\n\n| kind | what it does |\n|---|---|\n"
    );
    for kind in kinds {
        let _ = writeln!(text, "| [`{0}`](kinds/{0}.md) | {1} |", kind.name, cell(&kind.summary()));
    }
    text
}

fn metrics() -> String {
    let mut text = format!(
        "{MADE}# Metrics\n\nWhat `evaluate` measures. Scores lie between 0 and 1; of several references the best \
         counts. The signature stands with every score, and says exactly what was computed.\n\n"
    );
    for metric in Metric::all() {
        let _ = writeln!(
            text,
            "## `{}`\n\n{}\n\n- In tables: {}\n- From: {}\n- Signature: `{}`\n",
            metric.name(),
            metric.doc(),
            metric.heading(),
            metric.reference(),
            metric.signature(Normalizer::default()),
        );
    }
    text.push_str(
        "# Measures of rankings\n\nWhat `evaluate_retrieval` measures: of a whole ranking (`map`), or of its first k \
         places (`ndcg@10`). Scores lie between 0 and 1.\n\n",
    );
    for metric in RankMetric::all() {
        let [cut, whole] = metric.trec_eval();
        let _ = writeln!(
            text,
            "## `{metric}`\n\n{}\n\n- In tables: {}\n- In trec_eval: `{whole}`, with k `{cut}`\n- Signature: `{}`\n",
            metric.doc(),
            metric.heading(),
            metric.signature(),
        );
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn page(kind: &KindDoc) -> String {
    let mut text = format!("{MADE}# `{}`\n\n", kind.name);
    for paragraph in kind.about.split("\n\n").chain([&*kind.again]) {
        let _ = writeln!(text, "{}\n", one_line(paragraph));
    }
    let _ = writeln!(text, "Version {}.\n", kind.version);
    if let Some(example) = kind.example {
        let _ = writeln!(text, "```yaml\n{}```\n", example.0);
    }
    if !kind.inputs.is_empty() || kind.open_inputs {
        text.push_str("## Inputs\n\n");
        ports(&kind.inputs, &mut text);
        if kind.open_inputs {
            text.push_str("Any others, under names of your own.\n\n");
        }
    }
    if !kind.outputs.is_empty() {
        text.push_str("## Outputs\n\n");
        ports(&kind.outputs, &mut text);
    }
    text.push_str("## Parameters\n\n");
    params(&kind.params, 0, &mut text);
    text
}

fn ports(ports: &[PortDoc], text: &mut String) {
    for port in ports {
        let about = if port.about.is_empty() { String::new() } else { format!(" {}", port.about) };
        let _ = writeln!(text, "**`{}`** ({}).{about}\n", port.name, port.notes);
        if !port.columns.is_empty() {
            text.push_str("| column | holds | |\n|---|---|---|\n");
        }
        for column in &port.columns {
            let names: Vec<String> = column.names.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                names.join(" or "),
                cell(&column.notes),
                cell(&one_line(column.about))
            );
        }
        if !port.columns.is_empty() {
            text.push('\n');
        }
        if let Some(input) = port.passes {
            let _ = writeln!(text, "It has the columns of `{input}`, too.\n");
        }
    }
}

fn params(params: &[ParamDoc], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for param in params {
        let _ = writeln!(text, "{indent}- **`{}`** ({})  ", param.name, cell(&param.notes));
        for paragraph in param.about.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            let _ = writeln!(text, "{indent}  {}", one_line(paragraph));
        }
        for (name, about) in &param.choices {
            let _ = writeln!(text, "{indent}  - `{name}`: {about}");
        }
        if !param.variables.is_empty() {
            let _ = writeln!(text, "\n{indent}  A template may use:\n");
        }
        for (name, about) in &param.variables {
            let _ = writeln!(text, "{indent}  - `{name}`: {about}");
        }
        self::params(&param.nested, depth + 1, text);
    }
}

/// A text inside a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
