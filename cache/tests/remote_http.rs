//! A remote behind HTTP: what comes through it, and what is made of a network and a server that fail.

mod common;
mod servers;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use common::{hit, key, open, publish, publish_files, read, rows, schema};
use pipe_cache::{
    Ability, Access, CollectPolicy, Digest, Lookup, Remote, RemoteMode, RemoteOptions, Secret, Store, VerifyOptions,
};
use servers::{
    faults::{FaultProxy, Harm},
    files::{FileServer, Habit},
};

fn at(address: &str) -> RemoteOptions {
    RemoteOptions { timeout: Duration::from_millis(500), ..RemoteOptions::new(format!("http://{address}/cache")) }
}

fn push(remote: &Remote, store: &Store, keys: &[u64]) {
    for n in keys {
        remote.submit(store, &key(*n), false);
    }
    remote.wait(&|| false);
}

#[test]
fn results_and_rows_come_through_a_web_server() {
    let server = FileServer::start(Habit::None);
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    let table = publish(&a, &key(1), &rows(0, 3_000));
    let files = publish_files(&a, &key(2), &[("x/one", "1"), ("empty", "")]);
    let recipe = Digest::of_bytes(b"recipe");
    let mut memo = a.row_memo(&recipe, schema()).unwrap();
    memo.insert(&[key(7)], &[2], &rows(0, 2)).unwrap();
    memo.flush().unwrap();
    let remote = Remote::open(&at(&server.address)).unwrap();
    push(&remote, &a, &[1, 2]);
    remote.submit_memo(&a, &recipe);
    remote.wait(&|| false);
    assert_eq!((remote.counts().pushed, remote.counts().failures), (2, 0), "{:?}", remote.take_warnings());

    remote.pull_memo(&b, &recipe);
    assert!(b.row_memo(&recipe, schema()).unwrap().contains(&key(7)));
    assert_eq!(remote.pull(&b, &key(2)).unwrap().outputs[0].1, files);
    assert_eq!(read(&b, &remote.pull(&b, &key(1)).unwrap().outputs[0].1).unwrap(), rows(0, 3_000));
    assert_eq!(hit(&b, &key(1)).outputs[0].1, table);
    assert!(remote.pull(&b, &key(3)).is_none());
    assert_eq!(remote.counts().failures, 0);
}

#[test]
fn many_keys_are_asked_for_at_once_and_pushed_only_where_they_lack() {
    let server = FileServer::start(Habit::None);
    let dir = tempfile::tempdir().unwrap();
    let a = open(&dir.path().join("a"));
    for n in 0..40 {
        publish(&a, &key(n), &rows(n as i64, n as i64 + 3));
    }
    let keys: Vec<Digest> = (0..40).map(key).collect();
    let first = Remote::open(&at(&server.address)).unwrap();
    assert_eq!(first.submit_all(&a, &keys[..30]), 30);
    first.wait(&|| false);
    let second = Remote::open(&at(&server.address)).unwrap();
    assert_eq!(second.submit_all(&a, &keys), 10);
    second.wait(&|| false);
    assert_eq!((second.counts().pushed, second.counts().there), (10, 30));
    let found = second.records(&keys);
    assert!(found.iter().zip(&keys).all(|(manifest, key)| manifest.as_ref().unwrap().key == *key));
}

#[test]
fn a_refusal_is_no_miss_in_silence() {
    let server = FileServer::start(Habit::Asks("open sesame"));
    let dir = tempfile::tempdir().unwrap();
    let a = open(&dir.path().join("a"));
    publish(&a, &key(1), &rows(0, 3));
    let stranger = Remote::open(&at(&server.address)).unwrap();
    assert!(stranger.pull(&a, &key(9)).is_none());
    push(&stranger, &a, &[1]);
    let warnings = stranger.take_warnings();
    assert!(warnings[0].contains("401") && warnings[0].contains("credentials"), "{warnings:?}");
    assert_eq!((stranger.counts().failures, stranger.counts().unpushed), (2, 1));
    assert!(stranger.check().iter().any(|step| step.ability == Ability::Write && step.problem.is_some()));

    let late = Remote::open(&at(&FileServer::start(Habit::LivesIn1994).address)).unwrap();
    assert!(late.pull(&a, &key(9)).is_none());
    let said = late.take_warnings().concat();
    assert!(said.contains("403 from the remote: RequestTimeTooSkewed: its clock and this machine's are "), "{said}");

    let access = Access::Bearer(Secret::new("open sesame"));
    let friend = Remote::open(&RemoteOptions { access, ..at(&server.address) }).unwrap();
    push(&friend, &a, &[1]);
    assert_eq!(friend.counts().pushed, 1);
    assert!(!format!("{:?}", RemoteOptions { access: Access::Bearer(Secret::new("x-y")), ..at("h") }).contains("x-y"));
}

#[test]
fn a_server_that_says_nothing_is_given_up_on() {
    let server = FileServer::start(Habit::None);
    let proxy = FaultProxy::start(&server.address, 0, Some(Harm::Hang));
    let dir = tempfile::tempdir().unwrap();
    let a = open(&dir.path().join("a"));
    let remote = Remote::open(&at(&proxy.address)).unwrap();
    let begun = Instant::now();
    assert!((0..50).all(|n| remote.pull(&a, &key(n)).is_none()));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!remote.pulls());
    assert!(remote.take_warnings().iter().any(|warning| warning.contains("silent")));
    assert_eq!(remote.counts().requests, 3);
}

/// Whether it reads, or has begun to send: the other side says nothing, and may do so for twenty seconds.
#[test]
fn who_is_cancelled_does_not_wait_for_a_silent_server() {
    let server = FileServer::start(Habit::None);
    let proxy = FaultProxy::start(&server.address, 0, Some(Harm::Hang));
    let dir = tempfile::tempdir().unwrap();
    let a = open(&dir.path().join("a"));
    publish(&a, &key(1), &rows(0, 3));
    for sends in [false, true] {
        let remote = Remote::open(&RemoteOptions::new(format!("http://{}/cache", proxy.address))).unwrap();
        let other = remote.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            other.cancel();
        });
        let begun = Instant::now();
        if sends {
            push(&remote, &a, &[1]);
            assert_eq!(remote.counts().unpushed, 1);
        } else {
            assert!(remote.pull(&a, &key(2)).is_none());
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(
            (remote.counts().failures, remote.take_warnings()),
            (0, Vec::new()),
            "it is no failure of the remote"
        );
    }
}

#[test]
fn what_a_server_can_do_is_said_one_by_one() {
    let server = FileServer::start(Habit::None);
    let remote = Remote::open(&at(&server.address)).unwrap();
    for step in remote.check() {
        let can = step.ability != Ability::List;
        assert_eq!(step.problem.is_none(), can, "{step:?}");
        assert!(step.tried && (can || !step.needed), "{step:?}");
    }
    assert!(server.files.lock().unwrap().is_empty(), "nothing is left");
    let nobody = Remote::open(&at("127.0.0.1:1")).unwrap();
    assert!(nobody.check().iter().any(|step| step.needed && step.problem.is_some()));
    assert!(nobody.collect(&CollectPolicy::default()).is_err());
}

#[test]
fn what_a_server_lacks_is_said_of_what_needs_it() {
    for (habit, ability, needed, said) in [
        (Habit::NoSizes, Ability::Read, true, "HEAD"),
        (Habit::Replaces, Ability::WriteNew, false, "replaces"),
        (Habit::NoConditions, Ability::WriteNew, true, "501"),
        (Habit::IsRead, Ability::Write, false, "403"),
    ] {
        let server = FileServer::start(habit);
        let mode = if habit == Habit::IsRead { RemoteMode::Pull } else { RemoteMode::Both };
        let steps = Remote::open(&RemoteOptions { mode, ..at(&server.address) }).unwrap().check();
        let step = steps.into_iter().find(|step| step.ability == ability).unwrap();
        assert_eq!(step.needed, needed, "{step:?}");
        assert!(step.problem.unwrap().contains(said));
    }
}

#[test]
fn a_server_that_replaces_what_is_there_loses_no_rows() {
    let server = FileServer::start(Habit::Replaces);
    let dir = tempfile::tempdir().unwrap();
    let recipe = Digest::of_bytes(b"recipe");
    for n in 0..3_u64 {
        let store = open(&dir.path().join(n.to_string()));
        let mut memo = store.row_memo(&recipe, schema()).unwrap();
        memo.insert(&[key(n)], &[1], &rows(n as i64, n as i64 + 1)).unwrap();
        memo.flush().unwrap();
        drop(memo);
        let remote = Remote::open(&at(&server.address)).unwrap();
        remote.submit_memo(&store, &recipe);
        remote.wait(&|| false);
        assert_eq!((remote.counts().segments_pushed, remote.counts().failures), (1, 0));
    }
    let reader = open(&dir.path().join("reader"));
    Remote::open(&at(&server.address)).unwrap().pull_memo(&reader, &recipe);
    assert_eq!(reader.row_memo(&recipe, schema()).unwrap().len(), 3);
}

#[test]
fn what_is_read_may_lie_elsewhere_and_another_host_is_not_told_who_we_are() {
    let behind = FileServer::start(Habit::None);
    // The same machine under another name.
    let elsewhere = behind.address.replace("127.0.0.1", "localhost");
    let front = FileServer::start(Habit::SendsTo(Box::leak(elsewhere.into_boxed_str())));
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    publish(&a, &key(1), &rows(0, 30));
    push(&Remote::open(&at(&behind.address)).unwrap(), &a, &[1]);
    let access = Access::Bearer(Secret::new("open sesame"));
    let remote = Remote::open(&RemoteOptions { access, ..at(&front.address) }).unwrap();
    assert!(remote.pull(&b, &key(1)).is_some(), "{:?}", remote.take_warnings());
    publish(&b, &key(2), &rows(0, 9));
    let before = behind.files.lock().unwrap().len();
    push(&remote, &b, &[2]);
    assert_eq!((remote.counts().pushed, remote.counts().unpushed), (0, 1));
    assert!(remote.take_warnings().iter().any(|warning| warning.contains("307")));
    assert_eq!(behind.files.lock().unwrap().len(), before);
    assert!(front.told.lock().unwrap().iter().any(|told| told == "GET Bearer open sesame"));
    assert_eq!(*behind.told.lock().unwrap(), [""; 0]);
}

/// A server that has this one record, and sends everything else a byte at a time.
fn crawling(record: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            if line.contains("/ac/") {
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", record.len());
                stream.write_all(&[head.as_bytes(), &record].concat()).unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").unwrap();
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    address
}

#[test]
fn what_nobody_wants_any_more_is_broken_off_between_two_buffers() {
    let server = FileServer::start(Habit::None);
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")), open(&dir.path().join("b")));
    publish(&a, &key(1), &rows(0, 3_000));
    push(&Remote::open(&at(&server.address)).unwrap(), &a, &[1]);
    let files = server.files.lock().unwrap();
    let record = files.iter().find(|(name, _)| name.contains("/ac/")).unwrap().1.clone();
    drop(files);
    let options = RemoteOptions { timeout: Duration::from_secs(60), ..at(&crawling(record)) };
    let remote = Remote::open(&options).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(remote.pull(&b, &key(1)).is_none()));
        std::thread::sleep(Duration::from_millis(300));
        remote.cancel();
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Nothing of it is the remote's fault, and nothing more is asked.
    assert_eq!((remote.counts().failures, remote.take_warnings().len()), (0, 0));
    let requests = remote.counts().requests;
    assert_eq!(remote.submit_all(&a, &[key(1)]), 1);
    remote.wait(&|| false);
    assert_eq!((remote.counts().requests, remote.counts().unpushed), (requests, 1));
}

#[test]
fn addresses_with_passwords_are_refused_and_not_repeated() {
    let endpoint =
        |endpoint: &str| RemoteOptions { endpoint: Some(endpoint.to_owned()), ..RemoteOptions::new("s3://b/p") };
    for options in [
        RemoteOptions::new("https://me:hunter2@host/x"),
        RemoteOptions::new("me:hunter2@host/x"),
        RemoteOptions::new("host/me:hunter2@x"),
        RemoteOptions::new("https://me:hunter2@host?x"),
        RemoteOptions::new("gopher://host/x?token=hunter2"),
        endpoint("https://me:hunter2@host"),
        endpoint("me:hunter2@host"),
    ] {
        let error = Remote::open(&options).err().unwrap();
        let said = format!("{} {}", error.problem, error.help);
        assert!(!said.contains("hunter2"), "{said}");
    }
    for wrong in ["ftp://x/y", "file://relative", "s3://", "bucket"] {
        assert!(Remote::open(&RemoteOptions::new(wrong)).is_err(), "{wrong}");
    }
}

/// Studies of three results and a memo, on a store of their own, through a proxy that harms 15 of 100 requests. What a
/// store serves is what was computed, and nothing fails, however many requests do.
#[expect(clippy::print_stdout, reason = "the figures of a run by hand")]
fn studies(rounds: u64) {
    let server = FileServer::start(Habit::None);
    let proxy = FaultProxy::start(&server.address, 15, None);
    let recipe = Digest::of_bytes(b"recipe");
    let (mut pulled, mut computed, mut failures) = (0, 0, 0);
    for round in 0..rounds {
        proxy.seed(round);
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let remote = Remote::open(&at(&proxy.address)).unwrap();
        // Every third study is a new one; the others find what the ones before have left.
        let study = round / 3;
        for part in 0..3_u64 {
            let key = key(study * 10 + part);
            let (from, to) = ((study % 50) as i64, (study % 50) as i64 + 20 + part as i64);
            let compute = || match part {
                2 => publish_files(&store, &key, &[("a", &format!("study {study}")), ("b/c", "text")]),
                _ => publish(&store, &key, &rows(from, to)),
            };
            if remote.pull(&store, &key).is_some() {
                pulled += 1;
            } else {
                assert_eq!(store.lookup(&key).unwrap(), Lookup::Miss);
                compute();
                computed += 1;
                remote.submit(&store, &key, false);
            }
            let artifact = hit(&store, &key).outputs[0].1;
            if part == 2 {
                let path = store.artifact_path(&artifact).unwrap();
                assert_eq!(std::fs::read_to_string(path.join("a")).unwrap(), format!("study {study}"));
            } else {
                assert_eq!(read(&store, &artifact).unwrap(), rows(from, to));
            }
        }
        remote.pull_memo(&store, &recipe);
        let row = common::key(1_000_000 + study);
        let mut memo = store.row_memo(&recipe, schema()).unwrap();
        let there = memo.len() as u64;
        let others: Vec<Digest> =
            (0..study).map(|other| common::key(1_000_000 + other)).filter(|row| memo.contains(row)).take(5).collect();
        for other in others {
            let (found, counts) = memo.get(&[other]).unwrap().unwrap();
            assert_eq!((found.num_rows(), counts), (1, vec![1]));
        }
        assert!(there <= study + 1);
        if !memo.contains(&row) {
            memo.insert(&[row], &[1], &rows(study as i64, study as i64 + 1)).unwrap();
        }
        memo.flush().unwrap();
        drop(memo);
        remote.submit_memo(&store, &recipe);
        remote.wait(&|| false);
        failures += remote.counts().failures;
        assert!(store.verify(&VerifyOptions::default()).unwrap().is_sound());
    }
    println!(
        "{rounds} studies: {pulled} results pulled, {computed} computed, {} requests harmed, {failures} failed",
        proxy.harmed()
    );
    assert!(proxy.harmed() > rounds as usize / 2);
    assert!(pulled > computed / 3, "{pulled} {computed}");
}

#[test]
fn whatever_the_network_does_no_byte_is_wrong_and_no_study_fails() {
    studies(40);
}

#[test]
#[ignore = "takes minutes: by hand, with --release"]
fn a_thousand_studies() {
    studies(1_000);
}
