//! What is drawn from at random, again and again. Scores are few different numbers, and of many items each then has the
//! place of its value among these, in one or two bytes: what is drawn from lies near the processor however many items
//! there are, where a draw from the values themselves waits for the memory.

use std::{collections::HashMap, hash::Hash};

/// So many values lie near enough as they are.
const FEW: usize = 1 << 14;

/// Values to draw from, by number.
#[derive(Debug)]
pub(crate) enum Pool<'a, T> {
    /// Few values, or such that are nearly all different.
    Plain(&'a [T]),
    /// The different ones, and of each value, which it is.
    Bytes(Vec<T>, Vec<u8>),
    Words(Vec<T>, Vec<u16>),
}

impl<'a, T: Copy> Pool<'a, T> {
    /// Those of the same `bits` are the same value.
    pub(crate) fn of<K: Eq + Hash>(values: &'a [T], bits: impl Fn(&T) -> K) -> Self {
        if values.len() < FEW {
            return Self::Plain(values);
        }
        let (mut places, mut different) = (HashMap::new(), Vec::new());
        let mut which = Vec::with_capacity(values.len());
        for value in values {
            let place = *places.entry(bits(value)).or_insert_with(|| {
                different.push(*value);
                different.len() - 1
            });
            let Ok(place) = u16::try_from(place) else { return Self::Plain(values) };
            which.push(place);
        }
        if different.len() <= 1 << 8 {
            let which = which.into_iter().map(|place| place as u8).collect();
            return Self::Bytes(different, which);
        }
        Self::Words(different, which)
    }

    /// Gives the values of these numbers to `to`, some at a time.
    pub(crate) fn each<const N: usize>(&self, numbers: impl Iterator<Item = [usize; N]>, mut to: impl FnMut([T; N])) {
        match self {
            Self::Plain(values) => numbers.for_each(|some| to(some.map(|number| values[number]))),
            Self::Bytes(different, which) => {
                numbers.for_each(|some| to(some.map(|number| different[usize::from(which[number])])));
            }
            Self::Words(different, which) => {
                numbers.for_each(|some| to(some.map(|number| different[usize::from(which[number])])));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were_to_the_bit() {
        for (different, bytes) in [(300, 1), (40_000, 2)] {
            let value = |i: usize| if i.is_multiple_of(7) { -0.0 } else { (i * i % different) as f64 / 7.0 - 3.0 };
            let values: Vec<f64> = (0..3 * FEW).map(value).collect();
            let pool = Pool::of(&values, |value| value.to_bits());
            match &pool {
                Pool::Plain(_) => panic!("{different} values are few"),
                Pool::Bytes(..) => assert_eq!(bytes, 1),
                Pool::Words(..) => assert_eq!(bytes, 2),
            }
            let mut found = Vec::new();
            pool.each((0..values.len()).map(|i| [i]), |[value]| found.push(value.to_bits()));
            assert!(found.into_iter().eq(values.iter().map(|value| value.to_bits())));
        }
    }

    #[test]
    fn what_is_nearly_all_different_is_drawn_as_it_is() {
        let values: Vec<f64> = (0..1 << 17).map(f64::from).collect();
        assert!(matches!(Pool::of(&values, |value| value.to_bits()), Pool::Plain(_)));
        assert!(matches!(Pool::of(&values[..FEW - 1], |_| 0), Pool::Plain(_)));
    }
}
