//! The YAML 1.2 core schema: which plain scalars are null, booleans, integers and floats.
//! Source: YAML 1.2.2, section 10.3.2, with the limits that JSON and 64 bits set.

use serde_json::Number;

use super::Data;

/// A plain scalar that is a number we cannot hold.
#[derive(Debug, PartialEq)]
pub(crate) enum BadNumber {
    /// An integer outside `i64::MIN..=u64::MAX`.
    Integer,
    /// A float that overflows.
    Float,
    /// `.nan` or `.inf`.
    NotFinite,
}

/// The meaning of a plain scalar.
pub(crate) fn resolve_plain(text: &str) -> Result<Data, BadNumber> {
    let number = |value: Number| Data::Number(value, text.into());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Data::Null),
        "true" | "True" | "TRUE" => return Ok(Data::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Data::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Err(BadNumber::NotFinite),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err(BadNumber::NotFinite);
    }
    if !text.is_empty() && !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text).map(number);
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return u64::from_str_radix(digits, radix).map(|n| number(n.into())).map_err(|_| BadNumber::Integer);
        }
    }
    if is_float(unsigned) {
        let value: f64 = text.parse().map_err(|_| BadNumber::Float)?;
        return Number::from_f64(value).map(number).ok_or(BadNumber::Float);
    }
    Ok(Data::String(text.to_owned()))
}

fn integer(text: &str) -> Result<Number, BadNumber> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(n) = text.parse::<i64>() {
        return Ok(n.into());
    }
    text.parse::<u64>().map(Number::from).map_err(|_| BadNumber::Integer)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_fits && mantissa_fits
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn core_schema() {
        let check = |text: &str, expect: Value| {
            let value = match resolve_plain(text).unwrap() {
                Data::Null => Value::Null,
                Data::Bool(b) => json!(b),
                Data::Number(n, written) => {
                    assert_eq!(&*written, text);
                    Value::Number(n)
                }
                Data::String(s) => json!(s),
                other => panic!("{other:?}"),
            };
            assert_eq!(value, expect, "{text}");
        };
        check("", Value::Null);
        check("~", Value::Null);
        check("True", json!(true));
        check("yes", json!("yes"));
        check("on", json!("on"));
        check("017", json!(17));
        check("0o17", json!(15));
        check("0x1F", json!(31));
        check("+3", json!(3));
        check("-9223372036854775808", json!(i64::MIN));
        check("18446744073709551615", json!(u64::MAX));
        check("1e-4", json!(1e-4));
        check("1.", json!(1.0));
        check(".5", json!(0.5));
        check("-1.5E+3", json!(-1500.0));
        check("2024-01-02", json!("2024-01-02"));
        check("12:30:45", json!("12:30:45"));
        check("1_000", json!("1_000"));
        check("1.2.3", json!("1.2.3"));
        check(".", json!("."));
        check("-", json!("-"));
        check("e5", json!("e5"));
        check("1e", json!("1e"));
        check("0x", json!("0x"));
        check("nan", json!("nan"));
        check("inf", json!("inf"));
    }

    #[test]
    fn numbers_that_do_not_fit() {
        let check = |text: &str, expect: BadNumber| assert_eq!(resolve_plain(text), Err(expect), "{text}");
        check("18446744073709551616", BadNumber::Integer);
        check("-9223372036854775809", BadNumber::Integer);
        check("0xfffffffffffffffff", BadNumber::Integer);
        check("1e999", BadNumber::Float);
        check(".nan", BadNumber::NotFinite);
        check("-.inf", BadNumber::NotFinite);
    }
}
