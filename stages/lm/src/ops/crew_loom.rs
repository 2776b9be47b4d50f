//! A team in loom's model checker: every order in which its threads can do what they do is tried, up to a number of
//! preemptions. How it is run stands in `loom/Cargo.toml`.

use loom::{sync::Arc, thread};

use super::*;

/// A leader with pieces of work of these numbers of parts, and helpers; every part must be done once, by whomever,
/// before the next piece begins.
fn lead(helpers: usize, pieces: &'static [usize], help: fn(&Team)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let team = Arc::new(Team::of(helpers + 1));
        let threads: Vec<_> = (0..helpers)
            .map(|_| {
                let team = Arc::clone(&team);
                thread::spawn(move || help(&team))
            })
            .collect();
        for &parts in pieces {
            let done: Vec<_> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            team.each(parts, &|part| {
                done[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
        }
        team.over.store(true, Ordering::Release);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_helper_does_each_part_once() {
    lead(1, &[2, 2], Team::help);
}

#[test]
fn a_piece_begins_when_no_part_of_the_one_before_is_left() {
    lead(1, &[1, 2, 1], Team::help);
}

/// Two helpers that look for ever could do so in turns, without the leader ever coming to its work: loom tries that
/// order, too, and finds no end to it. So these leave after a few looks, which no leader may mind.
#[test]
fn helpers_do_not_take_the_same_part() {
    lead(2, &[2], |team| {
        for _ in 0..2 {
            team.look();
        }
    });
}
