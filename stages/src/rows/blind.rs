//! Metrics that do not see what they are to compare.

use pipe_engine::context::StageContext;
use pipe_metrics::{Metric, Normalizer};

/// Characters of a reference that a warning shows.
const SHOWN: usize = 40;

/// Warns of metrics that are blind to right answers: their scores say little of these, and look like others.
pub(crate) fn warn<'a>(
    cx: &StageContext,
    metrics: &[Metric],
    normalizer: Normalizer,
    references: impl Iterator<Item = &'a [String]> + Clone,
) {
    for metric in metrics {
        let unseen = references.clone().filter_map(|all| all.iter().find(|text| metric.is_blind_to(normalizer, text)));
        let (count, first) = unseen.fold((0, None), |(count, first), text| (count + 1, first.or(Some(text))));
        if let Some(first) = first {
            let shown: String = first.chars().take(SHOWN).collect();
            cx.warn(format!(
                "`{}` does not see most words of the right answers of {count} of {} items, such as `{shown}`: {}",
                metric.name(),
                references.clone().count(),
                metric.instead(),
            ));
        }
    }
}
