use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn every_part_is_done_once_whoever_does_it() {
    let work = |crew: Crew<'_>| {
        for count in [0, 1, 2, 7, 300, MOST_PARTS + 5] {
            let done: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            crew.each(count, |i| {
                done[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{count} parts");
        }
        let (mut a, mut b) = (vec![0; 1000], vec![0; 334]);
        crew.pairs(&mut a, 9, &mut b, 3, |i, a, b| {
            a.fill(i);
            b.fill(i);
        });
        assert!(a.iter().enumerate().all(|(at, &i)| i == at / 9) && b.iter().enumerate().all(|(at, &i)| i == at / 3));
    };
    work(Crew::Alone);
    for threads in [1, 2, 3, 8] {
        pool(threads).install(|| {
            work(Crew::Pool);
            for _ in 0..20 {
                Team::gather(threads, work);
            }
        });
    }
}

#[test]
fn teams_beside_each_other_end() {
    // More teams than threads: most have no helper for most of the time.
    pool(2).install(|| {
        (0..16).into_par_iter().for_each(|_| {
            Team::gather(2, |crew| {
                for _ in 0..50 {
                    let sum = AtomicUsize::new(0);
                    crew.each(10, |i| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                    assert_eq!(sum.into_inner(), 45);
                }
            });
        });
    });
}

#[test]
fn a_panic_reaches_the_caller_and_leaves_no_thread_behind() {
    let pool = pool(3);
    for bad in [0, 5, 9] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.install(|| Team::gather(3, |crew| crew.each(10, |i| assert_ne!(i, bad, "a bad part"))));
        }));
        assert!(panicked.is_err());
    }
    let sum = AtomicUsize::new(0);
    let add = |i| {
        sum.fetch_add(i, Ordering::Relaxed);
    };
    pool.install(|| Team::gather(3, |crew| crew.each(10, add)));
    assert_eq!(sum.into_inner(), 45);
}
