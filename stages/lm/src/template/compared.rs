//! Comparisons in expressions. minijinja puts all values in one order, null before numbers and these before texts, so
//! that `score < 3` would hold where there is no score, and `score > 3` of every text; Python's Jinja refuses both. An
//! expression's `a < b` therefore goes through a function that looks at what it compares.

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use super::tags::outside_of_texts;

/// The function that comparisons go through.
pub(super) const COMPARED: &str = "compared_by_its_order";
/// What is compared by an order.
const ORDERS: [&str; 4] = ["<", "<=", ">", ">="];
/// What binds a comparison as loosely as it itself, or more loosely.
const WORDS: [&str; 6] = ["and", "or", "not", "if", "else", "in"];
const SIGNS: [&str; 9] = ["<=", ">=", "==", "!=", "<", ">", "=", ",", ":"];

/// Whether `a` stands to `b` as `order` says.
///
/// # Errors
/// They are not both numbers, or both texts, or both lists.
pub(super) fn compared(a: &Value, order: &str, b: &Value) -> Result<bool, Error> {
    let sort = |value: &Value| match value.kind() {
        ValueKind::Bool => ValueKind::Number,
        kind => kind,
    };
    if [a, b].into_iter().any(Value::is_undefined) {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if sort(a) != sort(b) || a.is_none() {
        let message = format!("`{order}` compares {} with {}, which have no order", a.kind(), b.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(match order {
        "<" => a < b,
        "<=" => a <= b,
        ">" => a > b,
        _ => a >= b,
    })
}

/// The expression in which `a < b` is a call of [`COMPARED`]. A comparison of a comparison (`a < b < c`) stays as it
/// is, and so does what is no expression.
pub(super) fn guarded(source: &str) -> String {
    let outside: Vec<(usize, char)> = outside_of_texts(source).collect();
    // Operands at even places, and what stands between them at odd ones.
    let (mut pieces, mut operand) = (Vec::new(), String::new());
    let (mut done, mut i, mut is_test) = (0, 0, false);
    while let Some(&(at, c)) = outside.get(i) {
        if matches!(c, '(' | '[' | '{') {
            let Some(close) = closing(&outside[i..]) else { return source.to_owned() };
            operand.push_str(&source[done..=at]);
            (i, done) = (i + close, outside[i + close].0);
            operand.push_str(&guarded(&source[at + 1..done]));
            (i, is_test) = (i + 1, false);
            continue;
        }
        let in_word = |&&(_, c): &&(usize, char)| c.is_alphanumeric() || c == '_';
        let letters = outside[i..].iter().take_while(in_word);
        let length: usize = letters.map(|(_, c)| c.len_utf8()).sum();
        let found = if length > 0 {
            let word = &source[at..at + length];
            let is_bound = WORDS.contains(&word) && !is_test;
            // `is not none` is a test: it binds like a filter.
            is_test = word == "is" || is_test && word == "not";
            is_bound.then_some(word)
        } else {
            is_test &= c.is_whitespace();
            SIGNS.into_iter().find(|sign| source[at..].starts_with(sign))
        };
        if let Some(bound) = found {
            operand.push_str(&source[done..at]);
            pieces.extend([std::mem::take(&mut operand), bound.to_owned()]);
            done = at + bound.len();
        }
        let end = at + found.map_or(length.max(c.len_utf8()), str::len);
        while outside.get(i).is_some_and(|&(at, _)| at < end) {
            i += 1;
        }
    }
    operand.push_str(&source[done..]);
    pieces.push(operand);
    joined(&pieces)
}

/// Where the bracket that `from` begins with is closed.
fn closing(from: &[(usize, char)]) -> Option<usize> {
    let mut open = 0_usize;
    from.iter().position(|(_, c)| {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open -= 1,
            _ => {}
        }
        open == 0
    })
}

fn joined(pieces: &[String]) -> String {
    let compares = |at: Option<usize>| {
        let bound = at.and_then(|at| pieces.get(at));
        bound.is_some_and(|bound| ["==", "!=", "in", "not"].iter().chain(&ORDERS).any(|sign| bound == sign))
    };
    let is_call = |at: usize| {
        let follows_one = compares(at.checked_sub(2)) && pieces[at - 2] != "not";
        let full = |operand: Option<&String>| operand.is_some_and(|operand| !operand.trim().is_empty());
        ORDERS.contains(&pieces[at].as_str())
            && !follows_one
            && !compares(at.checked_add(2))
            && full(pieces.get(at - 1))
            && full(pieces.get(at + 1))
    };
    let text = |(at, piece): (usize, &String)| {
        if at % 2 == 1 {
            return if is_call(at) { format!(", \"{piece}\",") } else { piece.clone() };
        }
        let begin = if at + 1 < pieces.len() && is_call(at + 1) { format!(" {COMPARED}(") } else { String::new() };
        let end = if at > 0 && is_call(at - 1) { ") " } else { "" };
        format!("{begin}{piece}{end}")
    };
    pieces.iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_calls_of_a_function() {
        for (source, expect) in [
            ("a + 1 < b|length", " C(a + 1 , \"<\", b|length) "),
            ("not a<=b and c", "not C( a, \"<=\",b ) and c"),
            ("x is not none and x>3 or '<' in y", "x is not none and C( x, \">\",3 ) or '<' in y"),
            ("f(a >= 2, b=c < d)[e > 0]", "f( C(a , \">=\", 2) , b= C(c , \"<\", d) )[ C(e , \">\", 0) ]"),
            ("'a < b' if é < 'x<y' else l[1:2]", "'a < b' if C( é , \"<\", 'x<y' ) else l[1:2]"),
            ("a < b < c", "a < b < c"),
            ("a < b == c", "a < b == c"),
            ("a < b not in c", "a < b not in c"),
            ("a <", "a <"),
            ("(a < b", "(a < b"),
            ("row['a<b'] ~ c == d", "row['a<b'] ~ c == d"),
        ] {
            let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(plain(&guarded(source).replace(COMPARED, "C")), plain(&plain(expect)), "{source}");
        }
    }
}
