//! Numbers for people. Data to download has all digits.

/// What stands where there is no number.
const NONE: &str = "–";

/// A score, a mean: three decimals below ten, fewer above, and powers of ten where nothing else would be seen.
pub(crate) fn number(x: Option<f64>) -> String {
    let Some(x) = x.filter(|x| x.is_finite()) else { return NONE.to_owned() };
    let size = x.abs();
    let text = if size != 0.0 && !(5e-4..1e7).contains(&size) {
        format!("{x:.1e}")
    } else if size >= 1000.0 {
        return format!("{}{}", if x < 0.0 { "−" } else { "" }, count(size.round() as u64));
    } else if size >= 100.0 {
        format!("{x:.1}")
    } else if size >= 10.0 {
        format!("{x:.2}")
    } else {
        format!("{x:.3}")
    };
    text.replace('-', "−")
}

/// A difference: as [`number`], with its sign.
pub(crate) fn signed(x: Option<f64>) -> String {
    match x {
        Some(x) if x > 0.0 && x.is_finite() => format!("+{}", number(Some(x))),
        x => number(x),
    }
}

/// A probability.
pub(crate) fn p_value(p: Option<f64>) -> String {
    match p.filter(|p| p.is_finite()) {
        None => NONE.to_owned(),
        Some(p) if p < 0.001 => "<0.001".to_owned(),
        Some(p) if p < 0.1 => format!("{p:.3}"),
        Some(p) => format!("{p:.2}"),
    }
}

/// A share of one, in percent.
pub(crate) fn share(x: Option<f64>) -> String {
    match x.filter(|x| x.is_finite()) {
        None => NONE.to_owned(),
        Some(x) => format!("{:.0} %", x * 100.0).replace('-', "−"),
    }
}

/// Thousands apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time in one unit, for tables.
pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if !s.is_finite() || s < 0.0 => NONE.to_owned(),
        s if s < 0.0005 => "0 s".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A length of time in words, for sentences.
pub(crate) fn duration(s: f64) -> String {
    match s {
        s if !s.is_finite() || s < -1e-9 => "an unknown time".to_owned(),
        s if s < 0.05 => "no time".to_owned(),
        s if s < 120.0 => format!("{} seconds", if s < 10.0 { format!("{s:.1}") } else { format!("{s:.0}") }),
        s if s < 7200.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.1} hours", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let shown = |x| number(Some(x));
        assert_eq!(shown(0.8642), "0.864");
        assert_eq!(shown(-0.0264), "−0.026");
        assert_eq!(shown(12.345), "12.35");
        assert_eq!(shown(123.45), "123.5");
        assert_eq!(shown(-1_234_567.0), "−1,234,567");
        assert_eq!(shown(0.000_012), "1.2e−5");
        assert_eq!(shown(0.0), "0.000");
        assert_eq!(shown(1e300), "1.0e300");
        assert_eq!([number(None), number(Some(f64::NAN)), number(Some(f64::INFINITY))], ["–"; 3]);
        assert_eq!([signed(Some(0.0264)), signed(Some(-0.5)), signed(Some(0.0))], ["+0.026", "−0.500", "0.000"]);
    }

    #[test]
    fn probabilities_are_never_zero() {
        assert_eq!(["<0.001", "0.049", "0.32"], [0.0, 0.0491, 0.3249].map(|p| p_value(Some(p))));
        assert_eq!([p_value(None), p_value(Some(f64::NAN))], ["–"; 2]);
    }

    #[test]
    fn times_and_counts() {
        assert_eq!(
            [0.0, 0.25, 3.21, 84.0, 600.0, 9000.0].map(seconds),
            ["0 s", "250 ms", "3.2 s", "84 s", "10 min", "2.5 h"]
        );
        assert_eq!(seconds(f64::NAN), "–");
        assert_eq!([-0.0, 1.0, 9000.0].map(duration), ["no time", "1.0 seconds", "2.5 hours"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([share(Some(0.816)), share(None)], ["82 %", "–"]);
    }
}
