//! Clocks that are set while workers hold leases, and wait for others'.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use super::{Machine, WORKER, all_answered, check, done_and_to_be_done, process};
use crate::slow::{answered, signal, until};

/// Days from ours, one after the other.
const STEPS: [i32; 5] = [1, -1, 0, 2, -3];

/// Says at its end, however that comes, that something has ended.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "runs mounts, for two minutes"]
fn clocks_that_are_set_while_leases_are_held_take_none_away_and_keep_none() {
    const ROWS: usize = 240;
    let (alone, test) = done_and_to_be_done(ROWS);
    let machines = Machine::three();
    let worker = |machine: &Machine| -> Command {
        let mut command = machine.pipe(test.path(), &WORKER);
        // On different machines: nobody can know that a process of another is dead.
        command.env("PIPE_STORE_LOCKS", "none");
        command
    };
    let ended = AtomicBool::new(false);
    let start = Instant::now();
    scope(|scope| {
        scope.spawn(|| {
            for step in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                for (n, machine) in machines.iter().enumerate() {
                    machine.set_clock(STEPS[(step + n) % STEPS.len()]);
                }
                sleep(Duration::from_millis(700));
            }
        });
        let end = End(&ended);
        let [mut killed, mut second, mut third] =
            machines.each_ref().map(|machine| machine.begin(&test, worker(machine)));
        until("rows", || answered(&test).len() > ROWS / 3);
        let (rows, all) = all_answered(&test);
        assert_eq!(rows.len(), all, "nobody takes rows away from one that lives");
        assert!(signal(process(&test, &machines[0]), "-KILL") && !killed.wait().unwrap().success());
        let done = [second.wait().unwrap().success(), third.wait().unwrap().success()];
        drop(end);
        assert_eq!(done, [true, true]);
    });
    // Two leases of the dead one, half a minute each, and the work.
    assert!(start.elapsed() < Duration::from_mins(4), "{:?}", start.elapsed());
    let (rows, all) = all_answered(&test);
    assert_eq!(rows, (0..ROWS).collect::<Vec<_>>());
    // A portion, and what had not been written down for a quarter of a second.
    assert!(all <= ROWS + 4 + 12, "{all} rows answered");
    check(&test, &alone);
}
