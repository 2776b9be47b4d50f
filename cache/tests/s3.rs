//! A remote that is a bucket, against a server of S3 that nobody here wrote: moto, from Python's package index.

mod common;
#[path = "../../tests/support/moto.rs"]
mod moto;
mod servers;
#[path = "../../tests/support/tools.rs"]
mod tools;

use std::{collections::HashSet, time::Duration};

use common::{hit, key, open, publish, publish_files, read, rows, schema};
use moto::Moto;
use pipe_cache::{Access, CollectPolicy, Digest, Remote, RemoteOptions, Secret, Store};
use servers::faults::{FaultProxy, Harm};

/// The bucket, as it is reached at an address.
fn remote_at(address: &str, prefix: &str) -> Remote {
    Remote::open(&RemoteOptions {
        endpoint: Some(format!("http://{address}")),
        timeout: Duration::from_secs(20),
        access: Access::Aws { key: "k".to_owned(), secret: Secret::new("s"), token: None },
        ..RemoteOptions::new(format!("s3://studies/{prefix}"))
    })
    .unwrap()
}

fn push(remote: &Remote, store: &Store, n: u64) {
    remote.submit(store, &key(n), false);
    remote.wait(&|| false);
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn a_bucket_keeps_results_parts_and_rows() {
    let moto = Moto::start();
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    let remote = remote_at(&moto.address, "lab/one");
    for step in remote.check() {
        assert!(step.tried && step.problem.is_none(), "{step:?}");
    }
    let table = publish(&a, &key(1), &rows(0, 3_000));
    let text = "fifteen letters\n".repeat(4_500_000);
    let large = publish_files(&a, &key(2), &[("large", &text), ("sub/small", "s")]);
    let recipe = Digest::of_bytes(b"recipe");
    let digests: Vec<Digest> = (0..100_000).map(key).collect();
    let mut memo = a.row_memo(&recipe, schema()).unwrap();
    for at in (0..100_000).step_by(1000) {
        memo.insert(&digests[at..at + 1000], &vec![1; 1000], &rows(at as i64, at as i64 + 1000)).unwrap();
    }
    memo.flush().unwrap();
    drop(memo);
    push(&remote, &a, 1);
    push(&remote, &a, 2);
    let before = remote.counts().requests;
    remote.submit_memo(&a, &recipe);
    remote.wait(&|| false);
    let sent = remote.counts().requests - before;
    assert_eq!((remote.counts().failures, remote.counts().pushed), (0, 2), "{:?}", remote.take_warnings());

    // Another machine.
    let other = remote_at(&moto.address, "lab/one");
    assert_eq!(other.pull(&b, &key(1)).unwrap().outputs[0].1, table);
    assert_eq!(other.pull(&b, &key(2)).unwrap().outputs[0].1, large);
    let before = other.counts().requests;
    other.pull_memo(&b, &recipe);
    let asked = other.counts().requests - before;
    assert_eq!(b.row_memo(&recipe, schema()).unwrap().len(), 100_000);
    assert!(sent + asked < 10, "100,000 rows went in {sent} requests and came in {asked}");
    assert_eq!(std::fs::read_to_string(b.artifact_path(&large).unwrap().join("large")).unwrap(), text);
    // Another prefix is another remote.
    assert!(remote_at(&moto.address, "lab").pull(&b, &key(9)).is_none());
    assert_eq!(other.counts().failures, 0);
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn two_machines_that_publish_a_key_at_once_leave_one_record_in_the_bucket() {
    let moto = Moto::start();
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<Store> = (0..3).map(|n| open(&dir.path().join(n.to_string()))).collect();
    for n in 0..10 {
        for store in &stores {
            publish(store, &key(n), &rows(0, 30));
        }
        let remotes: Vec<Remote> = stores.iter().map(|_| remote_at(&moto.address, "p")).collect();
        for (remote, store) in remotes.iter().zip(&stores) {
            remote.submit(store, &key(n), false);
        }
        for remote in &remotes {
            remote.wait(&|| false);
        }
        let sum = |count: fn(&pipe_cache::RemoteCounts) -> u64| remotes.iter().map(|r| count(&r.counts())).sum::<u64>();
        // moto looks for an object and writes it in two steps: two may come through it, where S3 lets one.
        assert_eq!((sum(|c| c.pushed) + sum(|c| c.there), sum(|c| c.failures)), (3, 0));
        // Whoever comes later finds it there.
        let later = remote_at(&moto.address, "p");
        push(&later, &stores[0], n);
        assert_eq!((later.counts().pushed, later.counts().there, later.counts().failures), (0, 1, 0));
        let reader = open(&dir.path().join(format!("reader {n}")));
        assert_eq!(later.pull(&reader, &key(n)).unwrap().outputs, hit(&stores[0], &key(n)).outputs);
    }
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn a_bucket_is_collected_in_two_phases() {
    let moto = Moto::start();
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    let remote = remote_at(&moto.address, "p");
    for n in 0..3 {
        publish(&a, &key(n), &rows(n as i64, n as i64 + 30));
        push(&remote, &a, n);
    }
    // Times of the bucket are whole seconds.
    std::thread::sleep(Duration::from_secs(3));
    let policy = CollectPolicy {
        max_age: Some(Duration::from_secs(1)),
        grace: Duration::from_secs(1),
        keep: HashSet::from([key(2)]),
        dry_run: true,
    };
    let would = remote.collect(&policy).unwrap();
    assert_eq!((would.marked, would.removed), (4, 0), "two records and their tables");
    let policy = CollectPolicy { dry_run: false, ..policy };
    assert_eq!(remote.collect(&policy).unwrap(), would);
    assert!(remote.pull(&b, &key(0)).is_some(), "what is marked is still there");
    // One of them is pushed again before the second phase.
    std::thread::sleep(Duration::from_secs(3));
    remote.submit(&a, &key(1), true);
    remote.wait(&|| false);
    let second = remote.collect(&policy).unwrap();
    assert_eq!((second.marked, second.removed), (0, 2), "{second:?}");
    let fresh = remote_at(&moto.address, "p");
    let c = open(&dir.path().join("c"));
    assert!(fresh.pull(&c, &key(0)).is_none());
    assert!(fresh.pull(&c, &key(1)).is_some() && fresh.pull(&c, &key(2)).is_some());
    assert_eq!(fresh.counts().failures, 0, "{:?}", fresh.take_warnings());
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn a_bucket_behind_a_bad_network_serves_no_wrong_byte() {
    let moto = Moto::start();
    let proxy = FaultProxy::start(&moto.address, 15, None);
    let dir = tempfile::tempdir().unwrap();
    for round in 0..30_u64 {
        proxy.seed(round);
        let remote = remote_at(&proxy.address, "p");
        let store = open(&dir.path().join(round.to_string()));
        let n = round / 3;
        if remote.pull(&store, &key(n)).is_none() {
            publish(&store, &key(n), &rows(n as i64, n as i64 + 30));
            push(&remote, &store, n);
        }
        assert_eq!(read(&store, &hit(&store, &key(n)).outputs[0].1).unwrap(), rows(n as i64, n as i64 + 30));
    }
    assert!(proxy.harmed() > 10);
    let refused = FaultProxy::start(&moto.address, 0, Some(Harm::Status(403)));
    let remote = remote_at(&refused.address, "p");
    let store = open(&dir.path().join("refused"));
    assert!(remote.pull(&store, &key(0)).is_none());
    let warnings = remote.take_warnings();
    assert!(warnings[0].contains("403") && !warnings[0].contains("Signature"), "{warnings:?}");
    let nowhere = Remote::open(&RemoteOptions {
        endpoint: Some(format!("http://{}", moto.address)),
        access: Access::Aws { key: "k".to_owned(), secret: Secret::new("s"), token: None },
        ..RemoteOptions::new("s3://no-such-bucket/p")
    })
    .unwrap();
    assert!(nowhere.pull(&store, &key(0)).is_none());
    assert!(nowhere.take_warnings()[0].contains("NoSuchBucket"));
}
