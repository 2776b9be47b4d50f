//! Model sources: how they are written, what they are, and the hub, played by a server on 127.0.0.1.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
};

use pipe_lm::source::{HubError, HubSettings, Identity, LocalModel, ModelSource, SourceError};

use crate::support::chain;

#[test]
fn sources_are_told_apart_by_how_they_are_written() {
    let hub = |repo: &str, revision: &str| ModelSource::Hub { repo: repo.into(), revision: revision.into() };
    let cases = [
        ("models/nano", ModelSource::Directory("models/nano".into())),
        ("a/b.GGUF", ModelSource::Gguf("a/b.GGUF".into())),
        ("hf:org/name", hub("org/name", "main")),
        ("hf:org/name@v1.0", hub("org/name", "v1.0")),
        ("hf:org/name@refs/pr/3", hub("org/name", "refs/pr/3")),
        ("http://localhost:8000/v1/", ModelSource::Endpoint { url: "http://localhost:8000/v1".into() }),
    ];
    for (text, expect) in cases {
        assert_eq!(ModelSource::parse(text).unwrap(), expect, "{text}");
    }
    for text in ["hf:name", "hf:org/", "hf:org/na me", "hf:../x", "hf:org/name@", "hf:org/name@../../x", "hf:a/b/c"] {
        assert!(matches!(ModelSource::parse(text), Err(SourceError::HubId { .. })), "{text}");
    }
    assert!(matches!(ModelSource::parse(" "), Err(SourceError::Empty)));
    let base = ModelSource::parse("m").unwrap().relative_to(Path::new("/base"));
    assert_eq!(base, ModelSource::Directory("/base/m".into()));
}

#[test]
fn an_identity_is_the_content_and_nothing_else() {
    let make = |readme: &str, weights: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        fs::write(dir.path().join("model.safetensors"), weights).unwrap();
        fs::write(dir.path().join("README.md"), readme).unwrap();
        dir
    };
    let identity = |dir: &tempfile::TempDir| {
        let local = LocalModel::Directory { path: dir.path().to_owned(), commit: None };
        local.identity().unwrap()
    };
    let first = make("one", "w");
    assert_eq!(identity(&first), identity(&make("two", "w")));
    assert_ne!(identity(&first), identity(&make("one", "v")));
    fs::rename(first.path().join("model.safetensors"), first.path().join("other.safetensors")).unwrap();
    assert_ne!(identity(&first), identity(&make("one", "w")), "names count");

    let gguf = make("", "").path().with_extension("gguf");
    fs::write(&gguf, "abc").unwrap();
    let found = Identity::of_file(&gguf).unwrap();
    fs::remove_file(&gguf).unwrap();
    assert_eq!(found, Identity::Files(blake3::hash(b"abc")));
    let snapshot = LocalModel::Directory { path: "x".into(), commit: Some("c0ffee".into()) };
    assert_eq!(snapshot.identity().unwrap().to_string(), "commit:c0ffee");
}

#[test]
fn settings_follow_the_variables_of_huggingface_hub() {
    let settings = |pairs: &[(&str, &str)]| {
        let pairs: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        HubSettings::from_variables(|name| pairs.get(name).cloned())
    };
    let plain = settings(&[("HOME", "/home/x")]);
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert_eq!(plain.cache, Path::new("/home/x/.cache/huggingface/hub"));
    assert_eq!((plain.token, plain.offline), (None, false));
    let set = settings(&[
        ("HF_HOME", "/big"),
        ("HF_ENDPOINT", "http://mirror/"),
        ("HF_TOKEN", "hf_x"),
        ("HF_HUB_OFFLINE", "1"),
        ("HOME", "/home/x"),
    ]);
    assert_eq!((set.endpoint.as_str(), set.cache.as_path()), ("http://mirror", Path::new("/big/hub")));
    assert_eq!((set.token.as_deref(), set.offline), (Some("hf_x"), true));
    assert!(!format!("{set:?}").contains("hf_x"), "a token must not reach a log");
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("token"), "hf_stored\n").unwrap();
    let stored = settings(&[("HF_HOME", home.path().to_str().unwrap())]);
    assert_eq!(stored.token.as_deref(), Some("hf_stored"));
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does besides serving.
#[derive(Default)]
struct Behaviour {
    /// The files of the repository.
    files: BTreeMap<String, Vec<u8>>,
    /// Break the connection after this many bytes of a file, so many times.
    break_after: usize,
    breaks_left: usize,
    /// Answer everything with this status.
    refuse: Option<u16>,
    /// The token that is let in; everything else gets 401.
    token: Option<String>,
    /// Every request: path and `Range`.
    requests: Vec<String>,
}

struct FakeHub {
    endpoint: String,
    behaviour: Arc<Mutex<Behaviour>>,
    cache: tempfile::TempDir,
}

impl FakeHub {
    fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(behaviour));
        let shared = Arc::clone(&behaviour);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream.unwrap(), &shared));
            }
        });
        Self { endpoint, behaviour, cache: tempfile::tempdir().unwrap() }
    }

    fn with_model() -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        files.insert("config.json".into(), b"{}".to_vec());
        files.insert("README.md".into(), b"not for us".to_vec());
        files.insert("pytorch_model.bin".into(), b"never".to_vec());
        let index =
            r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        files.insert("model.safetensors.index.json".into(), index.into());
        files.insert("model-00001-of-00002.safetensors".into(), (0..5000u32).flat_map(u32::to_le_bytes).collect());
        files.insert("model-00002-of-00002.safetensors".into(), vec![7; 100]);
        Self::new(Behaviour { files, ..Behaviour::default() })
    }

    fn settings(&self) -> HubSettings {
        HubSettings {
            endpoint: self.endpoint.clone(),
            cache: self.cache.path().to_owned(),
            token: None,
            offline: false,
        }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.behaviour.lock().unwrap().requests)
    }

    fn message(&self, error: &HubError) -> String {
        chain(error, self.cache.path()).replace(&self.endpoint, "HUB")
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, shared: &Mutex<Behaviour>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            lines.iter().find_map(|l| {
                l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
            })
        };
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let start = header("range").map(|r| r["bytes=".len()..].split('-').next().unwrap().parse::<usize>().unwrap());
        let mut b = shared.lock().unwrap();
        b.requests.push(format!("{path} {}", header("range").unwrap_or_default()).trim().to_owned());
        let allowed = b.token.is_none() || header("authorization") == b.token.as_ref().map(|t| format!("Bearer {t}"));
        let refused = b.refuse.or(if allowed { None } else { Some(401) });
        let status = |code: u16| format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\n\r\n").into_bytes();
        let mut closes = false;
        let answer = if let Some(code) = refused {
            status(code)
        } else if path.starts_with("/api/models/org/name/revision/") {
            let siblings: Vec<_> = b.files.keys().map(|f| serde_json::json!({"rfilename": f})).collect();
            let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes()
        } else if let Some(body) =
            path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/")).and_then(|f| b.files.get(f)).cloned()
        {
            let start = start.unwrap_or(0);
            if start >= body.len() {
                status(416)
            } else {
                let probe = header("range").as_deref() == Some("bytes=0-0");
                let end = if probe { 1 } else { body.len() };
                let head = format!(
                    "HTTP/1.1 206 X\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: bytes {start}-{}/{}\r\ncontent-length: {}\r\n\r\n",
                    blake3::hash(&body),
                    end - 1,
                    body.len(),
                    end - start
                );
                let mut sent = &body[start..end];
                if !probe && b.breaks_left > 0 && sent.len() > b.break_after {
                    b.breaks_left -= 1;
                    sent = &sent[..b.break_after];
                    closes = true;
                }
                [head.into_bytes(), sent.to_vec()].concat()
            }
        } else {
            status(404)
        };
        drop(b);
        let mut out = stream;
        if out.write_all(&answer).is_err() || closes {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

const SHARD: &str = "model-00001-of-00002.safetensors";

#[test]
fn a_model_is_downloaded_once_and_pinned_to_its_commit() {
    let hub = FakeHub::with_model();
    let source = ModelSource::parse("hf:org/name@main").unwrap();
    let local = source.fetch(&hub.settings()).unwrap();
    let LocalModel::Directory { path, commit } = &local else { panic!("{local:?}") };
    assert_eq!(commit.as_deref(), Some(COMMIT));
    assert_eq!(local.identity().unwrap(), Identity::Commit(COMMIT.into()));
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["config.json", SHARD, "model-00002-of-00002.safetensors", "model.safetensors.index.json"]);
    assert_eq!(fs::read(path.join(SHARD)).unwrap(), hub.behaviour.lock().unwrap().files[SHARD]);
    // The cache is that of Python: refs, blobs, snapshots.
    let repo = hub.cache.path().join("models--org--name");
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    assert!(path.starts_with(repo.join("snapshots")));

    hub.requests();
    source.fetch(&hub.settings()).unwrap();
    assert_eq!(hub.requests(), ["/api/models/org/name/revision/main"], "a branch may have moved; files have not");
    ModelSource::parse(&format!("hf:org/name@{COMMIT}")).unwrap().fetch(&hub.settings()).unwrap();
    assert_eq!(hub.requests(), Vec::<String>::new(), "a commit cannot move");
    let offline = HubSettings { offline: true, ..hub.settings() };
    assert_eq!(source.fetch(&offline).unwrap(), local);
    assert_eq!(hub.requests(), Vec::<String>::new());
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let hub = FakeHub::with_model();
    {
        let mut b = hub.behaviour.lock().unwrap();
        (b.break_after, b.breaks_left) = (6000, 2);
    }
    let model = hub.settings().fetch("org/name", "main").unwrap();
    let expected = hub.behaviour.lock().unwrap().files[SHARD].clone();
    assert_eq!(fs::read(model.path.join(SHARD)).unwrap(), expected);
    let ranges: Vec<String> = hub.requests().into_iter().filter(|r| r.contains(SHARD) && !r.ends_with("0-0")).collect();
    let starts: Vec<&str> = ranges.iter().map(|r| r.rsplit('=').next().unwrap()).collect();
    assert_eq!(starts, ["0-", "6000-", "12000-"]);
}

#[test]
fn what_a_killed_download_left_is_used_or_replaced() {
    let hub = FakeHub::with_model();
    let file = hub.behaviour.lock().unwrap().files[SHARD].clone();
    let blobs = hub.cache.path().join("models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(format!("{}.part", blake3::hash(&file)));
    for left in [&file[..100], &file[..], &[&file[..], &[1, 2, 3]].concat()] {
        fs::write(&part, left).unwrap();
        let model = hub.settings().fetch("org/name", "main").unwrap();
        assert_eq!(fs::read(model.path.join(SHARD)).unwrap(), file);
        assert!(!part.exists());
        fs::remove_dir_all(hub.cache.path().join("models--org--name/snapshots")).unwrap();
        fs::remove_file(blobs.join(blake3::hash(&file).to_string())).unwrap();
    }
}

#[test]
fn refusals_say_what_to_do() {
    let check = |change: &dyn Fn(&mut Behaviour), token: Option<&str>, expect: &str| {
        let hub = FakeHub::with_model();
        change(&mut hub.behaviour.lock().unwrap());
        let settings = HubSettings { token: token.map(str::to_owned), ..hub.settings() };
        let error = settings.fetch("org/name", "main").unwrap_err();
        assert_eq!(hub.message(&error), expect);
    };
    let guarded = |b: &mut Behaviour| b.token = Some("right".into());
    check(
        &guarded,
        None,
        "download hf:org/name@main: the hub asks for a token (or there is no such model); set HF_TOKEN",
    );
    check(&guarded, Some("wrong"), "download hf:org/name@main: the hub does not accept the token; check HF_TOKEN");
    check(
        &|b| b.refuse = Some(403),
        Some("right"),
        "download hf:org/name@main: access is restricted; ask for it at HUB/org/name with the account of HF_TOKEN",
    );
    check(
        &|b| b.refuse = Some(404),
        None,
        "download hf:org/name@main: the hub knows no such model or revision (its description was not found)",
    );
    check(
        &|b| drop(b.files.remove("model.safetensors.index.json")),
        None,
        "use hf:org/name@main: it has neither model.safetensors nor model.safetensors.index.json",
    );
    check(
        &|b| drop(b.files.remove(SHARD)),
        None,
        "use hf:org/name@main: its model.safetensors.index.json does not fit its files",
    );
    let hub = FakeHub::with_model();
    hub.behaviour.lock().unwrap().token = Some("right".into());
    let settings = HubSettings { token: Some("right".into()), ..hub.settings() };
    settings.fetch("org/name", "main").unwrap();
}

#[test]
fn offline_mode_uses_the_network_for_nothing() {
    let hub = FakeHub::with_model();
    let offline = HubSettings { offline: true, ..hub.settings() };
    let error = offline.fetch("org/name", "main").unwrap_err();
    let expect =
        "find hf:org/name@main in DIR: the cache does not hold all of it, and offline mode forbids to download it";
    assert_eq!(hub.message(&error), expect);
    assert_eq!(hub.requests(), Vec::<String>::new());
    // A snapshot that lacks a shard is not served either.
    let model = hub.settings().fetch("org/name", "main").unwrap();
    fs::remove_file(model.path.join(SHARD)).unwrap();
    assert!(matches!(offline.fetch("org/name", "main"), Err(HubError::Offline { .. })));
}
