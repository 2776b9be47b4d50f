//! What is drawn from at random, again and again. Scores are few different numbers, and of many items each then has the
//! place of its value among these, in two bytes: what is drawn from lies near the processor however many items there
//! are, where a draw from the values themselves waits for the memory.

use std::{collections::HashMap, hash::Hash};

/// So many values lie near enough as they are.
const FEW: usize = 1 << 14;

/// Values to draw from, by number.
pub(crate) trait Values<T>: Sync {
    fn len(&self) -> usize;
    fn at(&self, number: usize) -> T;
}

impl<T: Copy + Sync> Values<T> for [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn at(&self, number: usize) -> T {
        self[number]
    }
}

/// The different ones among many values.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    different: Vec<T>,
    /// Of each value, which it is.
    which: Vec<u16>,
}

impl<T: Copy> Pool<T> {
    /// `None` where there are few values, or nearly all are different. Those of the same `bits` are the same.
    pub(crate) fn of<K: Eq + Hash>(values: &[T], bits: impl Fn(&T) -> K) -> Option<Self> {
        if values.len() < FEW {
            return None;
        }
        let (mut places, mut different) = (HashMap::new(), Vec::new());
        let mut which = Vec::with_capacity(values.len());
        for value in values {
            let place = *places.entry(bits(value)).or_insert_with(|| {
                different.push(*value);
                different.len() - 1
            });
            which.push(u16::try_from(place).ok()?);
        }
        Some(Self { different, which })
    }
}

impl<T: Copy + Sync> Values<T> for Pool<T> {
    fn len(&self) -> usize {
        self.which.len()
    }

    fn at(&self, number: usize) -> T {
        self.different[usize::from(self.which[number])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were_to_the_bit() {
        let value = |i: usize| if i.is_multiple_of(7) { -0.0 } else { (i * i % 40_000) as f64 / 7.0 - 3.0 };
        let values: Vec<f64> = (0..3 * FEW).map(value).collect();
        let pool = Pool::of(&values, |value| value.to_bits()).unwrap();
        assert!(pool.different.len() < values.len() / 2 && Values::len(&pool) == values.len());
        assert!(values.iter().enumerate().all(|(i, value)| pool.at(i).to_bits() == value.to_bits()));
    }

    #[test]
    fn what_is_nearly_all_different_is_drawn_as_it_is() {
        let values: Vec<f64> = (0..1 << 17).map(f64::from).collect();
        assert!(Pool::of(&values, |value| value.to_bits()).is_none());
        assert!(Pool::of(&values[..FEW - 1], |value| value.to_bits()).is_none());
    }
}
