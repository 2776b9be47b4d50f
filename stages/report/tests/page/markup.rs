//! Whether markup is whole: every element that is opened is closed, in order, and every value stands in quotes.

/// Elements without an end.
const VOID: [&str; 4] = ["meta", "link", "br", "input"];

/// # Panics
///
/// Where it is not, with the place.
pub(crate) fn check(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    let mut ids: Vec<&str> = Vec::new();
    while let Some(at) = rest.find('<') {
        let here: String = rest[at..].chars().take(200).collect();
        rest = &rest[at + 1..];
        if rest.starts_with("!DOCTYPE html>") {
            continue;
        }
        let tag = tag(rest).unwrap_or_else(|| panic!("no end of a tag: {here}"));
        rest = &rest[tag.len() + 1..];
        let name = tag.split([' ', '/', '\n']).find(|name| !name.is_empty()).unwrap_or_default();
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{here}");
            continue;
        }
        let id = tag.split(" id=\"").nth(1).and_then(|id| id.split('"').next());
        if let Some(id) = id {
            assert!(!ids.contains(&id), "the id {id} stands twice");
            ids.push(id);
        }
        if tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        open.push(name);
        // Text that is no markup.
        if name == "script" || name == "style" {
            let end = rest.find(&format!("</{name}")).unwrap_or_else(|| panic!("no end of {name}"));
            rest = &rest[end..];
        }
    }
    assert_eq!(open, [""; 0]);
}

/// The inside of a tag, up to its `>` outside of quotes.
fn tag(rest: &str) -> Option<&str> {
    let mut quoted = false;
    for (at, c) in rest.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => return None,
            '>' if !quoted => return Some(&rest[..at]),
            _ => {}
        }
    }
    None
}
