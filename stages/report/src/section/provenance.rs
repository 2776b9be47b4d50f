//! Every computation with all that its result depends on, and how to get the same.

use minijinja::context;

use super::some;
use crate::page::Page;
use crate::text::{count, seconds, short};
use crate::{Error, Report, Stage, caps};

pub(super) fn write(page: &mut Page, report: &Report) -> Result<(), Error> {
    if report.stages.is_empty() {
        return Ok(());
    }
    page.section("provenance", "Where everything comes from");
    page.paragraph(
        "Every computation once, with all that its result depends on. The digest of these is its key; a digest of an \
         output is that of its rows or files.",
    );
    let mut bytes = 0;
    let mut shown: usize = 0;
    for stage in &report.stages {
        // Without parameters where room runs out, and not at all after that.
        let brief = bytes > caps::PROVENANCE;
        if bytes > 2 * caps::PROVENANCE {
            break;
        }
        bytes += write_stage(page, stage, brief)?;
        shown += 1;
    }
    if shown < report.stages.len() {
        let (shown, all) = (count(shown as u64), count(report.stages.len() as u64));
        page.note(&format!("The first {shown} of {all} computations; `provenance.json` beside the results has all."));
    }
    Ok(())
}

fn write_stage(page: &mut Page, stage: &Stage, brief: bool) -> Result<usize, Error> {
    let parameters = if brief { String::new() } else { short(&stage.parameters, caps::PARAMETERS) };
    let sources: Vec<(String, String)> = stage
        .sources
        .iter()
        .take(if brief { 0 } else { 40 })
        .map(|(label, value)| (short(label, caps::NAME), short(value, caps::NAME)))
        .collect();
    let outputs: Vec<_> = stage
        .outputs
        .iter()
        .take(24)
        .map(|output| {
            context! {
                name => short(&output.name, caps::NAME),
                rows => output.rows.map(count),
                digest => short(&output.digest, 80),
                href => output.path.as_deref().and_then(href),
            }
        })
        .collect();
    page.template(
        "stage",
        context! {
            name => short(&stage.name, caps::NAME),
            kind => short(&stage.kind, caps::NAME),
            variants => some(stage.variants.iter().map(String::as_str), 6),
            key => short(&stage.key, 80),
            software => short(&stage.software, caps::NAME),
            started => short(&stage.started, caps::NAME),
            seconds => seconds(stage.seconds),
            more_sources => stage.sources.len() - sources.len(),
            more_outputs => stage.outputs.len() - outputs.len(),
            brief,
            parameters,
            sources,
            outputs,
        },
    )
}

/// A link to a file beside the page: whatever the path says, never to another scheme or host.
pub(crate) fn href(path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') || path.chars().any(char::is_control) {
        return None;
    }
    let mut out = "./".to_owned();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b'=' | b',' | b'+' => {
                out.push(byte as char);
            }
            byte => put!(out, "%{byte:02X}"),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::href;

    #[test]
    fn links_lead_to_files_beside_the_page() {
        let links =
            ["n=5,s=1/scores.parquet", "javascript:alert(1)", "a b\"/ü?#", "//host/x", "/etc", "", "a\nb"].map(href);
        assert_eq!(links[0].as_deref(), Some("./n=5,s=1/scores.parquet"));
        assert_eq!(links[1].as_deref(), Some("./javascript%3Aalert%281%29"));
        assert_eq!(links[2].as_deref(), Some("./a%20b%22/%C3%BC%3F%23"));
        assert_eq!(links[3..], [None, None, None, None]);
    }
}
