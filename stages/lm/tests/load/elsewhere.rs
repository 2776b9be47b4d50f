//! Files of data sets of the hub, and of addresses, from servers on this machine.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use pipe_lm::origin::{HubDataset, HubError, HubSettings, Wanted, WebCache, WebError};

use crate::{
    hub::{COMMIT, FakeHub, GO_ON},
    support::chain,
};

fn hub() -> FakeHub {
    let file = |name: &str| (name.to_owned(), format!("content of {name}").into_bytes());
    FakeHub::with_files(["README.md", "data/a.csv", "data/b.csv", "data/deep/c.csv"].map(file).into())
}

fn dataset(revision: &str) -> HubDataset {
    HubDataset { repo: "org/name".to_owned(), revision: revision.to_owned() }
}

fn fetch(settings: &HubSettings, revision: &str, wanted: &Wanted<'_>) -> Result<Vec<(String, PathBuf)>, HubError> {
    let dataset = dataset(revision);
    let commit = settings.resolve_dataset(&dataset, &GO_ON)?;
    settings.fetch_dataset(&dataset, &commit, wanted, &GO_ON)
}

#[test]
fn files_of_a_data_set_are_downloaded_once() {
    let hub = hub();
    let one = fetch(&hub.settings(), "main", &Wanted::Name("data/a.csv")).unwrap();
    assert_eq!(fs::read_to_string(&one[0].1).unwrap(), "content of data/a.csv");
    let folder = one[0].1.ancestors().nth(4).unwrap();
    assert!(folder.ends_with("datasets--org--name"), "where huggingface_hub looks: {}", folder.display());
    assert_eq!(hub.requests()[0], "/api/datasets/org/name/revision/main");

    // A commit is itself, and what is there is not asked for again.
    assert_eq!(fetch(&hub.settings(), COMMIT, &Wanted::Name("data/a.csv")).unwrap(), one);
    assert_eq!(hub.requests(), [""; 0]);

    let below = |name: &str| name.starts_with("data/");
    let all = fetch(&hub.settings(), COMMIT, &Wanted::Names(&below)).unwrap();
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["data/a.csv", "data/b.csv", "data/deep/c.csv"]);
    hub.requests();
    let offline = HubSettings { offline: true, ..hub.settings() };
    for revision in ["main", COMMIT] {
        assert_eq!(fetch(&offline, revision, &Wanted::Names(&below)).unwrap(), all);
    }
    assert_eq!(hub.requests(), [""; 0]);
}

#[test]
fn what_a_data_set_lacks_is_said() {
    let hub = hub();
    let error = fetch(&hub.settings(), "main", &Wanted::Name("data/z.csv")).unwrap_err();
    assert!(hub.message(&error).contains("data/z.csv was not found"), "{}", hub.message(&error));
    let offline = HubSettings { offline: true, ..hub.settings() };
    for (revision, wanted) in [("v2", Wanted::Name("data/a.csv")), (COMMIT, Wanted::Names(&|_| true))] {
        let error = fetch(&offline, revision, &wanted).unwrap_err();
        assert!(matches!(error, HubError::Offline { .. }), "{error}");
        assert!(error.to_string().starts_with("find hf://datasets/org/name@"), "{error}");
    }
}

#[test]
fn a_file_is_asked_for_by_its_whole_name() {
    // Beside each name what it would be taken for in an address.
    let names =
        ["a#1.csv", "a", "b?c.csv", "b", "50%25.csv", "50%.csv", "two words.csv", "two", "é+.csv", "d/x y/#.csv"];
    let file = |name: &str| (name.to_owned(), format!("content of {name}").into_bytes());
    let hub = FakeHub::with_files(names.map(file).into());
    for name in names {
        let one = fetch(&hub.settings(), "main", &Wanted::Name(name)).unwrap();
        assert_eq!(fs::read_to_string(&one[0].1).unwrap(), format!("content of {name}"));
        assert!(one[0].1.ends_with(name), "the cache has it under its name: {}", one[0].1.display());
    }
    assert_eq!(fetch(&hub.settings(), COMMIT, &Wanted::Names(&|_| true)).unwrap().len(), names.len());
}

#[test]
fn a_branch_moves_in_the_shared_cache_with_the_first_file_and_not_by_a_look() {
    let hub = hub();
    let branch = hub.settings().cache.join("datasets--org--name/refs/main");
    let look = || hub.settings().resolve_dataset(&dataset("main"), &GO_ON).unwrap();
    assert_eq!((look().as_str(), branch.exists()), (COMMIT, false));
    fetch(&hub.settings(), "main", &Wanted::Name("data/z.csv")).unwrap_err();
    let none = fetch(&hub.settings(), "main", &Wanted::Names(&|_| false)).unwrap();
    assert_eq!((none.len(), branch.exists()), (0, false), "there is nothing of that commit");
    let other = "f".repeat(40);
    fs::create_dir_all(branch.parent().unwrap()).unwrap();
    fs::write(&branch, &other).unwrap();
    fetch(&hub.settings(), COMMIT, &Wanted::Name("data/a.csv")).unwrap();
    look();
    assert_eq!(fs::read_to_string(&branch).unwrap(), other, "a commit is no branch, and a look moves none");
    fetch(&hub.settings(), "main", &Wanted::Name("data/a.csv")).unwrap();
    assert_eq!(fs::read_to_string(&branch).unwrap(), COMMIT);
}

/// What a server has, and what it was asked.
#[derive(Default)]
struct Site {
    content: Mutex<String>,
    asked: Mutex<Vec<String>>,
    refuses: Mutex<Option<u16>>,
}

/// A server with one file, which knows etags.
fn site() -> (String, Arc<Site>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/rows.csv", listener.local_addr().unwrap());
    let site = Arc::new(Site::default());
    let shared = Arc::clone(&site);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines: Vec<String> =
                BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let content = shared.content.lock().clone();
            let etag = blake3::hash(content.as_bytes()).to_hex().to_string();
            let known =
                lines.iter().any(|line| line.to_lowercase().starts_with("if-none-match") && line.contains(&etag));
            shared.asked.lock().push(if known { "known" } else { "new" }.to_owned());
            let answer = match *shared.refuses.lock() {
                Some(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
                None if known => "HTTP/1.1 304 X\r\nconnection: close\r\n\r\n".to_owned(),
                None => format!(
                    "HTTP/1.1 200 OK\r\netag: \"{etag}\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{content}",
                    content.len()
                ),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, site)
}

/// Of the text `a,b\n1,2\n`.
const SHA256: &str = "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470";
const TEXT: &str = "a,b\n1,2\n";

fn cache(folder: &Path) -> WebCache {
    WebCache { folder: folder.to_owned(), offline: false }
}

#[test]
fn an_address_is_downloaded_once_and_renewed_where_it_has_changed() {
    let (url, site) = site();
    *site.content.lock() = TEXT.to_owned();
    let dir = tempfile::tempdir().unwrap();
    let path = cache(dir.path()).fetch(&url, None, &GO_ON).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), TEXT);
    // What was just looked at is not asked for again, by whichever cache of this process.
    cache(dir.path()).fetch(&url, None, &GO_ON).unwrap();
    assert_eq!(*site.asked.lock(), ["new"]);
    // Another process: the server is asked, and says that nothing has changed.
    let moved = tempfile::tempdir().unwrap();
    let elsewhere = moved.path().join("web");
    fs::rename(dir.path(), &elsewhere).unwrap();
    fs::create_dir(dir.path()).unwrap();
    let path = cache(&elsewhere).fetch(&url, None, &GO_ON).unwrap();
    assert_eq!(
        (fs::read_to_string(&path).unwrap(), site.asked.lock().last().cloned()),
        (TEXT.to_owned(), Some("known".into()))
    );
    // Offline what is there is there.
    let offline = WebCache { folder: elsewhere.clone(), offline: true };
    assert_eq!(offline.fetch(&url, None, &GO_ON).unwrap(), path);
    let error = WebCache { folder: dir.path().to_owned(), offline: true }.fetch(&url, None, &GO_ON).unwrap_err();
    assert!(matches!(error, WebError::Offline { .. }), "{error}");
    assert_eq!(site.asked.lock().len(), 2);
}

#[test]
fn a_digest_that_is_given_is_held_against_the_content() {
    let (url, site) = site();
    *site.content.lock() = TEXT.to_owned();
    let dir = tempfile::tempdir().unwrap();
    let web = cache(dir.path());
    web.fetch(&url, Some(&SHA256.to_uppercase()), &GO_ON).unwrap();
    let wrong = web.fetch(&url, Some(&"0".repeat(64)), &GO_ON).unwrap_err();
    assert!(wrong.to_string().contains(&format!("has the SHA-256 {SHA256} and not 000")), "{wrong}");
    // What is pinned and there needs no server.
    *site.refuses.lock() = Some(404);
    let offline = WebCache { offline: true, ..web.clone() };
    for web in [&web, &offline] {
        web.fetch(&url, Some(SHA256), &GO_ON).unwrap();
    }
}

#[test]
fn a_server_that_refuses_is_told_of_and_leaves_nothing_behind() {
    let (url, site) = site();
    *site.refuses.lock() = Some(404);
    let dir = tempfile::tempdir().unwrap();
    let error = cache(dir.path()).fetch(&url, None, &GO_ON).unwrap_err();
    assert!(chain(&error, dir.path()).ends_with("/rows.csv\nthe server answered 404"), "{}", chain(&error, dir.path()));
    assert_eq!(site.asked.lock().len(), 1, "a refusal is final");
    *site.refuses.lock() = Some(503);
    assert!(cache(dir.path()).fetch(&url, None, &GO_ON).is_err());
    assert_eq!(site.asked.lock().len(), 5, "a busy server is asked again");
    let stopped = cache(dir.path()).fetch(&url, None, &|| true).unwrap_err();
    assert!(matches!(stopped, WebError::Cancelled { .. }), "{stopped}");
}

#[test]
fn damaged_content_is_downloaded_anew() {
    let damage = |change: &dyn Fn(&Path)| {
        for pinned in [None, Some(SHA256)] {
            let (url, site) = site();
            *site.content.lock() = TEXT.to_owned();
            let dir = tempfile::tempdir().unwrap();
            let first = cache(&dir.path().join("first"));
            let path = first.fetch(&url, pinned, &GO_ON).unwrap();
            change(path.parent().unwrap());
            // As another process, which has not looked at it yet.
            let folder = dir.path().join("second");
            fs::rename(&first.folder, &folder).unwrap();
            for _ in 0..2 {
                let path = cache(&folder).fetch(&url, pinned, &GO_ON).unwrap();
                assert_eq!(fs::read_to_string(path).unwrap(), TEXT, "{pinned:?}");
            }
            assert_eq!(*site.asked.lock(), ["new", "new"], "{pinned:?}");
        }
    };
    damage(&|folder| fs::write(folder.join("content"), "a,b\n1,3\n").unwrap());
    damage(&|folder| fs::write(folder.join("content"), "a,b\n").unwrap());
    damage(&|folder| fs::write(folder.join("content"), "").unwrap());
    damage(&|folder| fs::remove_file(folder.join("content")).unwrap());
}

#[test]
fn damaged_content_is_not_used_offline() {
    let (url, site) = site();
    *site.content.lock() = TEXT.to_owned();
    let dir = tempfile::tempdir().unwrap();
    let path = cache(dir.path()).fetch(&url, None, &GO_ON).unwrap();
    let offline = WebCache { offline: true, ..cache(dir.path()) };
    assert_eq!(offline.fetch(&url, None, &GO_ON).unwrap(), path);
    for spoilt in ["", "a,b\n1,3\n"] {
        fs::write(&path, spoilt).unwrap();
        let error = offline.fetch(&url, None, &GO_ON).unwrap_err();
        assert!(matches!(error, WebError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_server_that_says_nothing_has_changed_is_not_believed_where_nothing_is_there() {
    let (url, site) = site();
    *site.refuses.lock() = Some(304);
    let dir = tempfile::tempdir().unwrap();
    for pinned in [None, Some(SHA256)] {
        let error = cache(dir.path()).fetch(&url, pinned, &GO_ON).unwrap_err();
        assert!(chain(&error, dir.path()).ends_with("the server answered 304"), "{error}");
    }
}
