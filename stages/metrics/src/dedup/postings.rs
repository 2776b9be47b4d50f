//! The texts that have an occurrence among their first.

use super::bounds::Bounds;

/// Entries above which a list is divided: as many are passed over faster than other places are looked at.
const MANY: usize = if cfg!(test) { 4 } else { 128 };
/// The largest length that an entry tells: above it, it tells that one.
const LONGEST: usize = if cfg!(test) { 12 } else { u16::MAX as usize };

/// An occurrence in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) text: u32,
    /// Tokens of the text.
    length: u16,
    /// The most tokens of a text that may be near if this is the first occurrence that both share.
    partner: u16,
    /// The text's, so that most of them are passed over without a look elsewhere.
    mask: u64,
}

impl Entry {
    pub(super) fn new(text: usize, length: usize, partner: usize, mask: u64) -> Self {
        let told = |length: usize| length.min(LONGEST) as u16;
        Self { text: text as u32, length: told(length), partner: told(partner), mask }
    }
}

/// What is looked for in a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    n: usize,
    /// Tokens of the text.
    length: u16,
    /// The most tokens of a text that may be near if this is the first occurrence that both share.
    partner: u16,
    mask: u64,
    bounds: Bounds,
}

impl Probe {
    pub(super) fn new(n: usize, partner: usize, mask: u64, bounds: Bounds) -> Self {
        let Entry { length, partner, .. } = Entry::new(0, n, partner, mask);
        Self { n, length, partner, mask, bounds }
    }

    /// Whether the text of `entry` may be near.
    pub(super) fn admits(&self, entry: &Entry) -> bool {
        let (n, m) = (self.n, entry.length as usize);
        entry.partner >= self.length
            && entry.length <= self.partner
            && ((self.mask ^ entry.mask).count_ones() as usize <= self.bounds.apart(n + m) || m == LONGEST)
    }
}

/// The entries of an occurrence. Where they are many, those that a probe must pass over for their lengths lie apart.
#[derive(Debug, Clone)]
pub(super) enum Postings {
    Few(Vec<Entry>),
    Many(Vec<Part>),
}

/// The entries of some lengths and partners, in the order of the texts.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The first and the last length that belongs here, and partner.
    lengths: (u16, u16),
    partners: (u16, u16),
    /// The least length that there is, and the greatest partner.
    length: u16,
    partner: u16,
    entries: Vec<Entry>,
    /// More entries than these are divided.
    many: usize,
}

impl Part {
    fn new(lengths: (u16, u16), partners: (u16, u16), entries: Vec<Entry>) -> Self {
        let length = entries.iter().map(|entry| entry.length).min().unwrap_or(u16::MAX);
        let partner = entries.iter().map(|entry| entry.partner).max().unwrap_or(0);
        Self { lengths, partners, length, partner, entries, many: MANY }
    }

    fn holds(&self, entry: &Entry) -> bool {
        let within = |(first, last), length| first <= length && length <= last;
        within(self.partners, entry.partner) && within(self.lengths, entry.length)
    }

    fn push(&mut self, entry: Entry) {
        self.length = self.length.min(entry.length);
        self.partner = self.partner.max(entry.partner);
        self.entries.push(entry);
    }

    /// Two halves: by length or by partner, whichever differ more.
    fn halves(&self) -> Option<[Self; 2]> {
        let middle = |of: fn(&Entry) -> u16| {
            let mut all: Vec<u16> = self.entries.iter().map(of).collect();
            all.sort_unstable();
            let (least, middle, most) = (all[0], all[all.len() / 2], all[all.len() - 1]);
            // The greater half begins with a value that the other has not.
            let from = if middle > least { middle } else { *all.iter().find(|&&length| length > least)? };
            Some((f64::from(most) / f64::from(least.max(1)), from))
        };
        let (lengths, partners) = (middle(|entry| entry.length), middle(|entry| entry.partner));
        let below = |(first, last), from| [(first, from - 1), (from, last)];
        let (lengths, partners) = if partners.map(|it| it.0) >= lengths.map(|it| it.0) {
            ([self.lengths; 2], below(self.partners, partners?.1))
        } else {
            (below(self.lengths, lengths?.1), [self.partners; 2])
        };
        let parts = [0, 1].map(|at| Self::new(lengths[at], partners[at], Vec::new()));
        Some(parts.map(|part| {
            let entries = self.entries.iter().filter(|entry| part.holds(entry)).copied().collect();
            Self::new(part.lengths, part.partners, entries)
        }))
    }
}

impl Postings {
    pub(super) fn push(&mut self, entry: Entry) {
        match self {
            Self::Few(entries) => {
                entries.push(entry);
                if entries.len() > MANY {
                    let whole = Part::new((0, u16::MAX), (0, u16::MAX), std::mem::take(entries));
                    *self = Self::Many(vec![whole]);
                }
            }
            Self::Many(parts) => {
                let Some(part) = parts.iter_mut().find(|part| part.holds(&entry)) else {
                    unreachable!("the parts hold all lengths and partners")
                };
                part.push(entry);
                if part.entries.len() > part.many {
                    part.many *= 2; // where all are alike, and later others come
                    if let Some([less, greater]) = part.halves() {
                        *part = less;
                        parts.push(greater);
                    }
                }
            }
        }
    }

    /// Gives `visit` all entries that `probe` may admit, and others, in pieces.
    pub(super) fn near(&mut self, probe: &Probe, mut visit: impl FnMut(&mut Vec<Entry>)) {
        match self {
            Self::Few(entries) => visit(entries),
            Self::Many(parts) => {
                let may = |part: &&mut Part| part.partner >= probe.length && part.length <= probe.partner;
                for part in parts.iter_mut().filter(may) {
                    visit(&mut part.entries);
                }
            }
        }
    }
}
