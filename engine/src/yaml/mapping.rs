//! The keys of a mapping: those that are given twice, and those that `<<` merges in.

use std::collections::HashSet;

use super::{Data, Entry, Tree, shorten};
use crate::diag::Diagnostic;

/// Most repeated keys that are reported of one mapping.
const MAX_REPORTED: usize = 10;

/// Reports and drops every key that was there before; the first one counts.
pub(super) fn drop_duplicates(entries: &mut Vec<Entry>, problems: &mut Vec<Diagnostic>) {
    // Most mappings are small and right.
    if entries.len() < 9 && !entries.iter().enumerate().any(|(i, e)| entries[..i].iter().any(|f| f.key == e.key)) {
        return;
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| entries[a].key.cmp(&entries[b].key).then(a.cmp(&b)));
    let mut repeated = vec![false; entries.len()];
    let mut reported = 0;
    let mut first = 0;
    for i in 1..order.len() {
        let (original, again) = (&entries[order[first]], &entries[order[i]]);
        if again.key != original.key {
            first = i;
            continue;
        }
        repeated[order[i]] = true;
        reported += 1;
        if reported <= MAX_REPORTED {
            problems.push(
                Diagnostic::error("yaml::duplicate_key", format!("`{}` is given twice", shorten(&again.key)))
                    .at(again.key_span, "given again here")
                    .at(original.key_span, "first given here")
                    .help("keep one of them"),
            );
        }
    }
    if reported > 0 {
        let mut repeated = repeated.into_iter();
        entries.retain(|_| repeated.next() == Some(false));
    }
}

/// `<<: *base` or `<<: [*a, *b]`: adds what is not there yet; of several, the first counts.
pub(super) fn merge(entries: &mut Vec<Entry>, merges: Vec<Tree>, problems: &mut Vec<Diagnostic>) {
    if merges.is_empty() {
        return;
    }
    let mut known: HashSet<String> = entries.iter().map(|e| e.key.clone()).collect();
    let (maps, lists): (Vec<Tree>, Vec<Tree>) = merges.into_iter().partition(|m| !matches!(m.data, Data::List(_)));
    let listed = lists.into_iter().flat_map(|l| if let Data::List(items) = l.data { items } else { Vec::new() });
    for map in maps.into_iter().chain(listed) {
        match map.data {
            Data::Map(more) => entries.extend(more.into_iter().filter(|e| known.insert(e.key.clone()))),
            Data::Invalid => {}
            _ => problems.push(
                Diagnostic::error("yaml::merge", "`<<` merges a mapping, or a list of mappings")
                    .at(map.span, "this is neither"),
            ),
        }
    }
}
