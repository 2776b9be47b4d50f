//! Numbers inside texts.
//!
//! Digits as English writes them: groups of three by commas, thin or protected spaces, apostrophes or underscores; a
//! point before decimals; `e` before an exponent. Digits that are a part of a name (`B12`, `COVID-19`, `1.2.3`) are no
//! number, and neither are words (`three`). Scripts that put no space between words have their numbers right behind
//! them (`答案是42`), and full-width digits and signs (`４２％`) are read as the others.

use pipe_text::is_unspaced;

use crate::f1::f_measure;

/// A number, and whether `%` or `percent` stands behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    value: f64,
    percent: bool,
}

/// Two numbers are the same if they differ by less than this share of the larger one.
const TOLERANCE: f64 = 1e-6;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

impl Number {
    /// Whether it is the same as another one. `50 %` is both 50 and 0.5.
    fn is(self, other: Self) -> bool {
        close(self.value, other.value)
            || (self.percent && !other.percent && close(self.value / 100.0, other.value))
            || (other.percent && !self.percent && close(self.value, other.value / 100.0))
    }
}

/// Whether all numbers of the reference are among those of the prediction; not where it has none.
pub(crate) fn all_found(prediction: &str, reference: &str) -> bool {
    let (prediction, reference) = (numbers(prediction), numbers(reference));
    !reference.is_empty() && reference.iter().all(|wanted| prediction.iter().any(|number| number.is(*wanted)))
}

/// F1 over the numbers of both, each once.
pub(crate) fn f1(prediction: &str, reference: &str) -> f64 {
    let (mut prediction, reference) = (once(numbers(prediction)), once(numbers(reference)));
    let (predicted, mut same) = (prediction.len(), 0);
    for wanted in &reference {
        if let Some(place) = prediction.iter().position(|number| number.is(*wanted)) {
            prediction.swap_remove(place);
            same += 1;
        }
    }
    f_measure(same, predicted, reference.len())
}

fn once(numbers: Vec<Number>) -> Vec<Number> {
    let mut kept: Vec<Number> = Vec::with_capacity(numbers.len());
    for number in numbers {
        if !kept.iter().any(|other| other.percent == number.percent && close(other.value, number.value)) {
            kept.push(number);
        }
    }
    kept
}

/// The numbers of a text, in order.
pub(crate) fn numbers(text: &str) -> Vec<Number> {
    let chars: Vec<char> = text.chars().map(half_width).collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or(' ');
    let digit = |i: usize| at(i).is_ascii_digit();
    let (mut found, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let starts = digit(i) || (at(i) == '.' && digit(i + 1) && !is_of_name(before(&chars, i)));
        if !starts {
            i += 1;
            continue;
        }
        let begin = i;
        let mut written = String::new();
        i = integer(&chars, i, &mut written);
        let mut points = 0;
        while at(i) == '.' && digit(i + 1) {
            points += 1;
            written.push('.');
            i += 1;
            while digit(i) {
                written.push(at(i));
                i += 1;
            }
        }
        if matches!(at(i), 'e' | 'E') {
            let sign = usize::from(matches!(at(i + 1), '+' | '-'));
            let digits = (i + 1 + sign..chars.len()).take_while(|&n| digit(n)).count();
            if digits > 0 && !is_of_name(at(i + 1 + sign + digits)) {
                written.extend(&chars[i..i + 1 + sign + digits]);
                i += 1 + sign + digits;
            }
        }
        let Some(sign) = sign(&chars, begin).filter(|_| points <= 1) else { continue };
        // An overflow is no number that could be compared.
        if let Some(value) = written.parse::<f64>().ok().filter(|value| value.is_finite()) {
            found.push(Number { value: sign * value, percent: is_percent(&chars[i..]) });
        }
    }
    found
}

/// What numbers are written with, in the width of ASCII. The full-width comma stays: it parts clauses, not digits.
fn half_width(c: char) -> char {
    match c {
        '０'..='９' | '．' | '－' | '％' | '＄' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '￥' => '¥',
        '￡' => '£',
        c => c,
    }
}

/// Whether a digit right beside the character is of the same name.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() && !is_unspaced(c)
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !is_unspaced(c)
}

fn before(chars: &[char], i: usize) -> char {
    i.checked_sub(1).map_or(' ', |i| chars[i])
}

/// Reads digits and their groups, and gives the place behind them.
fn integer(chars: &[char], mut i: usize, written: &mut String) -> usize {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    let begin = i;
    while digit(i) {
        written.push(chars[i]);
        i += 1;
    }
    if !(1..=3).contains(&(i - begin)) {
        return i;
    }
    let is_separator = |c: char| matches!(c, ',' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’' | '_');
    let group = |i: usize| (i + 1..i + 4).all(digit) && !digit(i + 4);
    while chars.get(i).copied().is_some_and(is_separator) && group(i) {
        written.extend(&chars[i + 1..i + 4]);
        i += 4;
    }
    i
}

/// The sign of a number that begins at `begin`; `None` where it is a part of a name.
fn sign(chars: &[char], begin: usize) -> Option<f64> {
    let is_currency = |c: char| matches!(c, '$' | '€' | '£' | '¥');
    let mut i = begin;
    if is_currency(before(chars, i)) {
        i -= 1;
    }
    let first = before(chars, i);
    if is_letter(first) || first == '_' {
        return None;
    }
    if !matches!(first, '-' | '−') {
        return Some(1.0);
    }
    match before(chars, i - 1) {
        // `COVID-19` is a name, `3-5` are two numbers.
        c if is_letter(c) => None,
        c if c.is_ascii_digit() || c == '%' => Some(1.0),
        _ => Some(-1.0),
    }
}

/// Whether a percent sign, or its word, is what comes next.
fn is_percent(rest: &[char]) -> bool {
    let rest: String = rest.iter().take(12).collect();
    let rest = rest.trim_start().to_lowercase();
    let word = |name: &str| rest.strip_prefix(name).is_some_and(|behind| !behind.starts_with(char::is_alphabetic));
    rest.starts_with('%') || word("percent") || word("per cent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<f64> {
        numbers(text).iter().map(|number| number.value).collect()
    }

    #[test]
    fn numbers_are_read_as_english_writes_them() {
        assert_eq!(values("It is 1,234,567.5 of 12'000 and 3_000."), [1_234_567.5, 12_000.0, 3_000.0]);
        assert_eq!(values("−5, -$3.50, (7), .5 and 1e-3"), [-5.0, -3.5, 7.0, 0.5, 0.001]);
        assert_eq!(values("1,2 and 1,23 and 12,3456"), [1.0, 2.0, 1.0, 23.0, 12.0, 3456.0]);
        assert_eq!(values("3-5 mg, 10mg, 2nd"), [3.0, 5.0, 10.0, 2.0]);
        assert_eq!(values("on 2020-01-05."), [2020.0, 1.0, 5.0]);
        assert_eq!(values("B12, COVID-19, v1.2.3, 1.2.3, three, 1e999"), [0.0; 0]);
    }

    #[test]
    fn numbers_stand_right_beside_scripts_without_spaces() {
        assert_eq!(values("答案是42。第3章、約−5度、気温は.5度、1e3個"), [42.0, 3.0, -5.0, 0.5, 1000.0]);
        assert_eq!(values("４２円、－３．５，100，200 Ｂ１２"), [42.0, -3.5, 100.0, 200.0]);
        assert!(all_found("约占５０％", "0.5"));
        assert_eq!(values("éclair7, ключ8, 한9"), [0.0; 0], "these put spaces between words");
    }

    #[test]
    fn a_percentage_is_as_written_or_a_share() {
        assert!(all_found("about 50 %", "0.5") && all_found("50", "50 percent") && all_found("0.5", "50%"));
        assert!(!all_found("0.5 %", "50%"), "both are percentages");
        assert!(!all_found("0.5", "50") && !all_found("500", "5"));
        assert!(is_percent(&['%']) && !is_percent(&[' ', 'p', 'e', 'r']));
    }

    #[test]
    fn numbers_are_compared_within_a_millionth() {
        assert!(all_found("1,000,000", "1000000.5") && !all_found("1,000,000", "1000002"));
        assert!(all_found("0", "0.0") && !all_found("0", "0.0000001"));
        assert!(!all_found("none", "none"), "there is nothing to find");
    }

    #[test]
    fn listing_numbers_costs_precision() {
        assert!(all_found("3, 4 or 5", "4"));
        assert_eq!(f1("3, 4 or 5", "4"), 0.5);
        assert_eq!(f1("4 and 4", "4"), 1.0);
        assert_eq!(f1("between 3 and 5", "3 to 6"), 0.5);
        assert_eq!(f1("", "4"), 0.0);
    }
}
