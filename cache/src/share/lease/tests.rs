use super::{
    touch::{Beat, name_of, take as take_by_touch, tokens},
    *,
};

const MS: fn(u64) -> Duration = Duration::from_millis;
const FAST: Beat = Beat { every: Duration::from_millis(20), stale: Duration::from_millis(400) };

fn take(path: &Path) -> Option<Lease> {
    match take_by_touch(path, &Digest::of_bytes(b""), FAST).unwrap() {
        LeaseAttempt::Acquired(lease) => Some(lease),
        LeaseAttempt::Held(_) => None,
    }
}

/// Looks again and again, until it is free; returns how long that took.
fn take_at_last(path: &Path) -> (Lease, Duration) {
    let start = std::time::Instant::now();
    loop {
        if let Some(lease) = take(path) {
            return (lease, start.elapsed());
        }
        std::thread::sleep(MS(5));
        assert!(start.elapsed() < MS(20_000), "it is never free");
    }
}

/// Of a process of another machine, so that only touching tells whether it lives.
fn foreign(path: &Path, token: u64) -> PathBuf {
    let file = name_of(path, token);
    fs::write(&file, format!(r#"{{"pid": 1, "host": "another", "since_ms": 0, "token": {token}}}"#)).unwrap();
    file
}

#[test]
fn without_locks_a_lease_is_held_as_long_as_it_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let lease = take(&path).unwrap();
    for _ in 0..120 {
        std::thread::sleep(MS(5));
        assert!(take(&path).is_none(), "its heart beats");
    }
    let record = read(&lease.path).unwrap();
    assert!(record.owner == *Process::this() && record.beat > 3, "{}", record.beat);
    drop(lease);
    std::thread::sleep(MS(50));
    assert_eq!(tokens(&path).unwrap(), [], "nothing makes it anew");
}

#[test]
fn without_locks_a_lease_that_nobody_touches_is_taken_over_and_tokens_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let last = u64::MAX - 10;
    let old = foreign(&path, last);
    let (lease, waited) = take_at_last(&path);
    assert!(waited > FAST.stale, "{waited:?}");
    assert_eq!(lease.token(), last + 1);
    assert!(lease.is_current() && !old.exists());
}

#[test]
fn times_of_files_and_clocks_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let file = foreign(&path, 7);
    let handle = File::options().write(true).open(&file).unwrap();
    let day = Duration::from_hours(24);
    let now = std::time::SystemTime::now();
    for time in [now - 300 * day, now - day, now + day] {
        handle.set_modified(time).unwrap();
        assert!(take(&path).is_none(), "the clock of the file system is a day off");
    }
    // Alive, by a clock that stands still: only the count changes.
    for beat in 1..60 {
        let text = format!(r#"{{"pid": 1, "host": "another", "since_ms": 0, "token": 7, "beat": {beat}}}"#);
        fs::write(&file, text).unwrap();
        handle.set_modified(now - day).unwrap();
        std::thread::sleep(MS(20));
        assert!(take(&path).is_none(), "beat {beat}");
    }
    assert!(take_at_last(&path).1 > FAST.stale / 2);
}

#[test]
fn who_did_not_look_knows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    foreign(&path, 7);
    assert!(take(&path).is_none());
    // As if this process, or the whole machine, had been asleep.
    std::thread::sleep(MS(800));
    assert!(take(&path).is_none(), "the owner may have been asleep as well");
}

#[test]
fn without_locks_a_dead_owner_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&Record::this(7)).unwrap();
    record["pid"] = child.id().into();
    child.wait().unwrap();
    fs::write(name_of(&path, 7), record.to_string()).unwrap();
    assert!(take(&path).unwrap().token() > 7);
}

#[test]
fn a_late_owner_leaves_its_successors_lease_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    let late = take(&path).unwrap();
    // As another process would, once this one has been stopped for long.
    fs::remove_file(&late.path).unwrap();
    std::thread::sleep(MS(5));
    let successor = take(&path).unwrap();
    std::thread::sleep(MS(60));
    assert!(!late.path.exists(), "it is not touched into being");
    assert!(!late.is_current() && successor.is_current());
    drop(late);
    assert!(successor.is_current());
    assert!(take(&path).is_none());
}

#[test]
fn with_locks_too_tokens_grow_and_nobody_removes_what_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let key = Digest::of_bytes(b"");
    let path = dir.path().join(key.to_string());
    fs::write(&path, Record::this(u64::MAX - 10)).unwrap();
    let take = || match try_lease(&path, &key, By::Lock, None).unwrap() {
        LeaseAttempt::Acquired(lease) => lease,
        LeaseAttempt::Held(_) => panic!("nobody holds it"),
    };
    let first = take();
    assert_eq!(first.token(), u64::MAX - 9);
    fs::remove_file(&path).unwrap();
    let second = take();
    assert!(!first.is_current() && second.is_current());
    drop(first);
    assert!(second.is_current());
    assert!(!remove_if_free(&path, By::Lock).unwrap());
    assert_eq!(owner(&path, By::Lock).unwrap().unwrap().pid(), Some(std::process::id()));
    drop(second);
    assert!(!path.exists() && owner(&path, By::Lock).unwrap().is_none());
}

#[test]
fn one_locked_file_is_the_lease_of_one_key_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::Store::open(dir.path(), crate::StoreOptions::default()).unwrap();
    store.session().unwrap();
    let keys: Vec<Digest> = (0..4).map(|n: u8| Digest::of_bytes(&[n])).collect();
    let path = |key: &Digest| store.layout().lease(key);
    let take = |key: &Digest| match store.try_lease(key).unwrap() {
        LeaseAttempt::Acquired(lease) => lease,
        LeaseAttempt::Held(owner) => panic!("{owner:?} holds it"),
    };
    let inode = |key: &Digest| fs::metadata(path(key)).unwrap().ino();
    let first = take(&keys[0]);
    let other = take(&keys[1]);
    let (one, two) = (inode(&keys[0]), inode(&keys[1]));
    assert_ne!(one, two, "two at a time are two");
    assert!(matches!(store.try_lease(&keys[0]).unwrap(), LeaseAttempt::Held(Some(owner)) if owner.is_this()));
    drop(first);
    assert!(!path(&keys[0]).exists() && store.lease_owner(&keys[0]).unwrap().is_none());
    let third = take(&keys[2]);
    assert!(inode(&keys[2]) == one && third.is_current() && third.token() >= other.token());
    assert_eq!(store.lease_owner(&keys[2]).unwrap().unwrap().pid(), Some(std::process::id()));
    // Somebody has removed it: it is not this one's to remove any more, whoever has the name now.
    fs::remove_file(path(&keys[2])).unwrap();
    fs::write(path(&keys[2]), "another's").unwrap();
    assert!(!third.is_current());
    drop(third);
    assert!(path(&keys[2]).exists());
    // What a dead process left is taken as it is.
    let fourth = take(&keys[2]);
    assert!(![one, two].contains(&inode(&keys[2])) && fourth.is_current());
    drop((fourth, other));
    assert!(paths::list(&store.layout().join("leases")).unwrap().is_empty());
}
