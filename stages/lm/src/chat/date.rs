//! The date that a template may print.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use minijinja::{Error, ErrorKind};

/// A moment of the proleptic Gregorian calendar, without a time zone. Written and read as a day, `2025-01-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub NaiveDateTime);

impl Default for Date {
    /// The date that the templates of Llama 3 and others print where they are told none, 26 July 2024.
    fn default() -> Self {
        const DAY: NaiveDate = NaiveDate::from_ymd_opt(2024, 7, 26).expect("a day of the calendar");
        Self(DAY.and_time(NaiveTime::MIN))
    }
}

impl FromStr for Date {
    type Err = String;

    /// Midnight of a day.
    fn from_str(text: &str) -> Result<Self, String> {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text);
        let day = day.ok_or_else(|| format!("`{text}` is no date of the form 2025-01-31"))?;
        Ok(Self(day.and_time(NaiveTime::MIN)))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.date().fmt(f)
    }
}

impl Date {
    /// Python's `strftime` in the C locale.
    pub(super) fn strftime(self, format: &str) -> Result<String, Error> {
        let mut text = String::new();
        write!(text, "{}", self.0.format(format)).map_err(|fmt::Error| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now cannot print the format {format:?}"))
        })?;
        Ok(text)
    }
}
