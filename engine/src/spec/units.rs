//! `4GB` and `30m`.

use std::time::Duration;

/// Bytes: a number and a unit, decimal (`KB`, `MB`, `GB`, `TB`) or binary (`KiB`, `MiB`, `GiB`, `TiB`), each also
/// without the B, or `B`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes < 9e18).then_some(bytes as u64)
}

/// A span of time: `500ms`, `30s`, `10m`, `2h`, `1d`, or several of them together, `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let after = rest[unit_at..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |i| unit_at + i);
        let (number, unit) = split(&rest[..after])?;
        seconds += number
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = rest[after..].trim_start();
    }
    // A century; also keeps arithmetic on instants from overflowing.
    (seconds < 3.2e9).then(|| Duration::from_secs_f64(seconds))
}

/// A non-negative decimal number and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(parse_bytes(text), expect, "{text}");
        check("4GB", Some(4_000_000_000));
        check("1.5 GiB", Some(1_610_612_736));
        check("512mb", Some(512_000_000));
        check("7B", Some(7));
        check("40G", Some(40_000_000_000));
        check("40Gi", Some(42_949_672_960));
        check("4", None);
        check("GB", None);
        check("-1GB", None);
        check("4 apples", None);
        check("99999999999999TB", None);
        check("1.2.3GB", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(parse_duration(text).map(|d| d.as_millis() as u64), expect, "{text}");
        };
        check("30m", Some(1_800_000));
        check("1h30m", Some(5_400_000));
        check("1h 30m", Some(5_400_000));
        check("250ms", Some(250));
        check("1.5s", Some(1500));
        check("30", None);
        check("", None);
        check("m", None);
        check("5 fortnights", None);
        check("9999999d", None);
    }
}
