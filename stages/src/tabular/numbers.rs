//! Which texts are numbers that lose nothing when they are kept as one.
//!
//! A whole number is kept to the last digit, or it is no number; a broken one becomes the nearest double, as
//! everywhere, as long as its whole part stays and it neither overflows nor vanishes.

use super::types::ColumnType;

/// Doubles hold every whole number up to here (2^53), and not every one above.
pub(crate) const EXACT: u64 = 1 << 53;
/// More significant digits than any double has (767), and few enough to be printed.
const MAX_DIGITS: usize = 1_000;

/// The type of a whole number: one that doubles do not hold is not widened to `float`.
pub(crate) fn int_type(value: i64) -> ColumnType {
    if value.unsigned_abs() > EXACT { ColumnType::Long } else { ColumnType::Int }
}

/// The type of a delimited cell. `007`, `+1`, `-0`, `1E5` and `12e3` are text: no program writes numbers like that,
/// but ids look like it.
pub(crate) fn cell_type(cell: &str) -> ColumnType {
    match cell {
        "" => ColumnType::Unknown,
        "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => ColumnType::Bool,
        _ => match int_cell(cell) {
            Some(value) => int_type(value),
            None if float_cell(cell).is_some() => ColumnType::Float,
            None => ColumnType::Text,
        },
    }
}

/// The digits before the point and what follows them, if the text begins like a number.
fn whole_part(cell: &str) -> Option<(&str, &str)> {
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    let end = unsigned.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(unsigned.len());
    let (whole, rest) = unsigned.split_at(end);
    (!whole.is_empty() && (whole == "0" || !whole.starts_with('0'))).then_some((whole, rest))
}

/// The cell as a whole number.
pub(crate) fn int_cell(cell: &str) -> Option<i64> {
    let (_, rest) = whole_part(cell)?;
    if rest.is_empty() && cell != "-0" { cell.parse().ok() } else { None }
}

/// The cell as a number, whole or broken.
pub(crate) fn float_cell(cell: &str) -> Option<f64> {
    let (whole, rest) = whole_part(cell)?;
    if let Some(at) = rest.find(['e', 'E']) {
        let (fraction, exponent) = rest.split_at(at);
        let power = exponent[1..].trim_start_matches(['+', '-']);
        let signed = power.len() < exponent.len() - 1;
        // As programs print it: one digit before the point; `e+05`, `e5`, `1.0E5`.
        let as_printed = whole.len() == 1 && (signed || power == "0" || !power.starts_with('0'));
        let like_an_id = exponent.starts_with('E') && !signed && fraction.is_empty();
        let zero = whole == "0" && fraction.bytes().all(|b| matches!(b, b'.' | b'0'));
        if !as_printed || like_an_id || (zero && power.bytes().any(|b| b != b'0')) {
            return None;
        }
    } else if rest.is_empty() && (cell == "-0" || cell.parse::<i64>().map_or(true, |v| v.unsigned_abs() > EXACT)) {
        return None;
    }
    let value = cell.parse().ok()?;
    keeps(cell, value).then_some(value)
}

/// Whether a number, as it is written, is not lost when it becomes that double.
pub(crate) fn keeps(written: &str, value: f64) -> bool {
    value.is_finite()
        && ((f64::MIN_POSITIVE..EXACT as f64).contains(&value.abs()) || decimal(written) == printed(written, value))
}

/// The double with as many significant digits as the text has.
fn printed(written: &str, value: f64) -> Option<(String, i64)> {
    let digits = decimal(written)?.0.len();
    decimal(&format!("{value:.*e}", digits.saturating_sub(1)))
}

/// A number as `(digits, p)`, for `0.digits × 10^p` without zeros at either end; its sign is left out.
fn decimal(number: &str) -> Option<(String, i64)> {
    let unsigned = number.trim_start_matches(['+', '-']);
    let (mantissa, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let point = whole.len() as i64 - (all.len() - significant.len()) as i64;
    let digits = significant.trim_end_matches('0');
    if digits.is_empty() {
        return Some((String::new(), 0));
    }
    (digits.len() <= MAX_DIGITS).then_some(())?;
    Some((digits.to_owned(), point.checked_add(power.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        let check = |cell, expect| assert_eq!(cell_type(cell), expect, "{cell}");
        for text in
            ["x", "007", "-", "+1", "1e", "0x1", "NaN", "inf", "1_000", ".5", "-0", "00", "1.2.3", "1e5.0", "--1"]
        {
            check(text, ColumnType::Text);
        }
        for id in ["1e999", "-1e999", "1e-999", "32E0134", "12e3", "1E5", "0e12", "0E9", "1e05", "1e", "1e+"] {
            check(id, ColumnType::Text);
        }
        for lost in
            ["99999999999999999999", "12345678901234567.89", "123456789012345678901234567890.0", "-9223372036854775809"]
        {
            check(lost, ColumnType::Text);
        }
        for int in ["0", "-1", "42", "9007199254740992"] {
            check(int, ColumnType::Int);
        }
        for long in ["9007199254740993", "9223372036854775807", "-9223372036854775808"] {
            check(long, ColumnType::Long);
        }
        for float in [
            "0.5",
            "-1.25",
            "1e5",
            "2.E3",
            "1.50",
            "-0.0",
            "1e-05",
            "1.5E+300",
            "0.0e+00",
            "1e16",
            "5e-324",
            "3.3333333333333333",
        ] {
            check(float, ColumnType::Float);
        }
        check("", ColumnType::Unknown);
        check("True", ColumnType::Bool);
    }

    #[test]
    fn what_programs_print_of_doubles_is_read_back() {
        // Bits of all magnitudes, by a fixed step through the doubles.
        for bits in (0..f64::INFINITY.to_bits()).step_by(0x7f_ffff_ffff_fff1 / 500) {
            let value = f64::from_bits(bits);
            for text in [format!("{value:?}"), format!("{value:e}"), format!("{value:.18e}"), format!("-{value:.16e}")]
            {
                let read = float_cell(&text).map(f64::abs);
                assert_eq!(read, Some(value), "{text}");
            }
        }
    }
}
