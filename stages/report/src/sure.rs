//! How sure intervals and verdicts are, in words.

use crate::Comparison;

impl Comparison {
    /// What intervals cover, in per cent, with as many digits as it has: `95`, `97.5`, `99.9`.
    pub fn percent(&self) -> String {
        whole(100.0 * self.confidence)
    }

    /// Below which p a difference is taken for one: `0.05`, `0.001`.
    pub fn alpha(&self) -> String {
        let alpha = whole(1.0 - self.confidence);
        if alpha.len() < "0.00".len() { format!("{:.2}", 1.0 - self.confidence) } else { alpha }
    }
}

/// Without what the subtraction from 1 leaves behind the last digit.
fn whole(number: f64) -> String {
    let text = format!("{number:.10}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_confidence_is_rounded_to_certainty() {
        let of = |alpha: f64| {
            let about = Comparison { confidence: 1.0 - alpha, ..Comparison::default() };
            (about.percent(), about.alpha())
        };
        let is = |alpha, percent: &str, shown: &str| assert_eq!(of(alpha), (percent.to_owned(), shown.to_owned()));
        is(0.05, "95", "0.05");
        is(0.1, "90", "0.10");
        is(0.025, "97.5", "0.025");
        is(0.005, "99.5", "0.005");
        is(0.001, "99.9", "0.001");
        is(1.0 / 3.0, "66.6666666667", "0.3333333333");
    }
}
