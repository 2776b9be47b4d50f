//! Answers of the arms side by side. The page's logic shows them, out of [`Samples`](crate::samples::Samples).

use minijinja::context;

use super::{heading, plural};
use crate::page::Page;
use crate::text::count;
use crate::{Comparison, Error, Report, caps};

pub(super) fn write(page: &mut Page, report: &Report, about: &Comparison, place: usize) -> Result<(), Error> {
    if about.samples.is_empty() {
        return Ok(());
    }
    let metrics: Vec<&str> = about.metrics.iter().map(|metric| heading(&metric.heading, &metric.name)).collect();
    let shown = page.samples.add(report, about, place, &metrics);

    page.part(&format!("samples-{place}"), "Answers side by side");
    let items = (about.items.len() + about.items_left_out).max(about.samples.len());
    let of = format!("{} of {} are here", count(shown as u64), plural(items, "item"));
    let draw = about.samples_draw.as_ref().map_or(String::new(), |draw| format!(", as draw {draw} answered them"));
    let first = metrics.first().unwrap_or(&"score");
    page.paragraph(&format!(
        "{of}{draw}. ▲ and ▼ mark answers with a higher or lower {first} than the baseline’s, less where less is \
         better. Rows that an arm was trained on and that resemble the question are found by their words (BM25 over \
         instructions): they are like it, which does not prove that the answer comes from them. Each leads to what it \
         was made from, down to the seeds."
    ));
    if about.arms.len() > caps::ANSWERS {
        page.note(&format!("Answers of the first {} of {} arms.", caps::ANSWERS, about.arms.len()));
    }
    page.template("samples", context! { place })?;
    Ok(())
}
