//! Python's ways: methods of strings and dictionaries, and values printed as `str` prints them (`None`, `True`, lists
//! in `repr` form).

use std::fmt::Write;

use minijinja::{Error, Output, State, Value, value::ValueKind};

use crate::template;

pub(crate) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (name, value.as_str()) {
        ("title", Some(text)) if args.is_empty() => Ok(Value::from(title(text))),
        // What can grow is paid for before it is made.
        ("replace", Some(text)) => {
            let of = |place: usize| args.get(place).and_then(Value::as_str).map_or(0, str::len);
            template::pay(state, (text.len() / of(0).max(1) + 1).saturating_mul(of(1)).saturating_add(text.len()))?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        ("join", Some(text)) => {
            for item in args.first().into_iter().filter_map(|list| list.try_iter().ok()).flatten() {
                template::pay(state, text.len() + item.as_str().map_or(64, str::len))?;
            }
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        // Widths are written into it.
        ("format", Some(text)) => {
            template::pay(state, widths(text))?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// A capital behind everything that is not a letter, apostrophes included.
fn title(text: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic();
    }
    out
}

/// The sum of all numbers in a text.
fn widths(text: &str) -> usize {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.fold(0, |sum: usize, digits| sum.saturating_add(digits.parse().unwrap_or(usize::MAX)))
}

pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::String => out.write_str(&value.to_string()).map_err(Error::from),
        _ => {
            template::check_depth(state, value)?;
            out.write_str(&repr(value)).map_err(Error::from)
        }
    }
}

/// Python's `repr`, for the types that JSON has.
fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::String => quoted(&value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> = value.try_iter().map(|i| i.map(|v| repr(&v)).collect()).unwrap_or_default();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let entry = |key: Value| {
                let item = value.get_item(&key).unwrap_or_default();
                format!("{}: {}", repr(&key), repr(&item))
            };
            let entries: Vec<String> = value.try_iter().map(|keys| keys.map(entry).collect()).unwrap_or_default();
            format!("{{{}}}", entries.join(", "))
        }
        _ => value.to_string(),
    }
}

/// Single quotes, unless the text has some and no double ones.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
