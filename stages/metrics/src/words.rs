//! Words in texts.

/// The first word of `text` at which the words of `wanted` stand one after the other; `None` too where `wanted` has no
/// words.
pub(crate) fn find_words(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted): (Vec<_>, Vec<_>) = (text.split_whitespace().collect(), wanted.split_whitespace().collect());
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The words of `text`, as white space separates them, with the places of their first byte and of the byte behind them.
pub(crate) fn placed_words(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    // A word is a part of the text, so the difference of the addresses is its place.
    text.split_whitespace().map(move |word| {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        (at, at + word.len(), word)
    })
}
