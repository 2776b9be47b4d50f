//! Where models come from: how that is written, which files matter, and what is downloaded.

use std::{collections::BTreeMap, fs, path::Path};

use pipe_lm::origin::{HubError, HubSettings, LocalModel, ModelOrigin, OriginError, files_of, name_in};

use crate::hub::{Behaviour, COMMIT, FakeHub, GO_ON};

#[test]
fn origins_are_told_apart_by_how_they_are_written() {
    let hub =
        |repo: &str, revision: &str| ModelOrigin::Hub { repo: repo.into(), revision: revision.into(), gguf: None };
    let form = |revision: &str, form: &str| ModelOrigin::Hub {
        repo: "org/name-GGUF".into(),
        revision: revision.into(),
        gguf: Some(form.into()),
    };
    let cases = [
        ("models/nano", ModelOrigin::Directory("models/nano".into())),
        ("a/b.GGUF", ModelOrigin::Gguf("a/b.GGUF".into())),
        ("hf:org/name", hub("org/name", "main")),
        ("hf:org/name@v1.0", hub("org/name", "v1.0")),
        ("hf:org/name@refs/pr/3", hub("org/name", "refs/pr/3")),
        ("hf:org/name-GGUF:Q4_K_M", form("main", "Q4_K_M")),
        ("hf:org/name-GGUF@v1:Q4_K_M", form("v1", "Q4_K_M")),
        ("hf:org/name-GGUF:Q4_K_M@v1", form("v1", "Q4_K_M")),
        ("http://localhost:8000/v1/", ModelOrigin::Endpoint { url: "http://localhost:8000/v1".into() }),
    ];
    for (text, expect) in cases {
        assert_eq!(ModelOrigin::parse(text).unwrap(), expect, "{text}");
    }
    for text in [
        "hf:name",
        "hf:org/",
        "hf:org/na me",
        "hf:../x",
        "hf:org/name@",
        "hf:org/name@../../x",
        "hf:a/b/c",
        "hf:a/b:",
        "hf:a/b:../x",
    ] {
        assert!(matches!(ModelOrigin::parse(text), Err(OriginError::HubId { .. })), "{text}");
    }
    assert!(matches!(ModelOrigin::parse(" "), Err(OriginError::Empty)));
    for text in ["https://user:secret@host/v1#m", "http://secret@host", "https://a:b@secret@host:8/v1?x=@y"] {
        let error = ModelOrigin::parse(text).unwrap_err();
        assert!(matches!(error, OriginError::Password { .. }) && !error.to_string().contains("secret"), "{error}");
    }
    assert!(ModelOrigin::parse("https://host/v1/@user").is_ok(), "behind the host it is a part of the path");
    let base = ModelOrigin::parse("m").unwrap().relative_to(Path::new("/base"));
    assert_eq!(base, ModelOrigin::Directory("/base/m".into()));
}

#[test]
fn what_decides_what_a_model_computes_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    for name in ["README.md", "a.safetensors", "config.json", "1_Pooling/config.json", "logo.png", "tokenizer.json"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let names: Vec<String> = files_of(dir.path()).unwrap().iter().map(|file| name_in(dir.path(), file)).collect();
    assert_eq!(names, ["1_Pooling/config.json", "a.safetensors", "config.json", "tokenizer.json"]);
    assert!(matches!(files_of(&dir.path().join("none")), Err(OriginError::Read { .. })));
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

const SHARD: &str = "model-00001-of-00002.safetensors";

#[test]
fn a_model_is_downloaded_once_and_pinned_to_its_commit() {
    let hub = FakeHub::with_model();
    let source = ModelOrigin::parse("hf:org/name@main").unwrap();
    let local = source.fetch(&hub.settings(), &GO_ON).unwrap();
    let LocalModel::Directory { path, commit } = &local else { panic!("{local:?}") };
    assert_eq!(commit.as_deref(), Some(COMMIT));
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
    source.fetch(&hub.settings(), &GO_ON).unwrap();
    assert_eq!(hub.requests(), ["/api/models/org/name/revision/main"], "a branch may have moved; files have not");
    ModelOrigin::parse(&format!("hf:org/name@{COMMIT}")).unwrap().fetch(&hub.settings(), &GO_ON).unwrap();
    assert_eq!(hub.requests(), Vec::<String>::new(), "a commit cannot move");
    let offline = HubSettings { offline: true, ..hub.settings() };
    assert_eq!(source.fetch(&offline, &GO_ON).unwrap(), local);
    assert_eq!(hub.requests(), Vec::<String>::new());
}

#[test]
fn a_gguf_file_is_taken_by_its_form() {
    let file = |text: &str| text.as_bytes().to_vec();
    let names = ["m-Q4_K_M.gguf", "m-IQ4_K_M.gguf", "m-Q8_0.gguf", "README.md"];
    let hub = FakeHub::with_files(names.map(|name| (name.to_owned(), file(name))).into());
    let source = ModelOrigin::parse("hf:org/name:q4_k_m").unwrap();
    let local = source.fetch(&hub.settings(), &GO_ON).unwrap();
    let LocalModel::Gguf(path) = &local else { panic!("{local:?}") };
    assert_eq!(fs::read(path).unwrap(), b"m-Q4_K_M.gguf");
    assert!(!hub.requests().iter().any(|asked| asked.contains("IQ4") || asked.contains("Q8_0")), "one file");
    let offline = HubSettings { offline: true, ..hub.settings() };
    assert_eq!(source.fetch(&offline, &GO_ON).unwrap(), local);
    // As Python leaves it: no listing.
    fs::remove_dir_all(hub.cache.path().join("models--org--name/listings")).unwrap();
    assert_eq!(source.fetch(&offline, &GO_ON).unwrap(), local);
    assert_eq!(hub.requests(), Vec::<String>::new());

    let told = |text: &str| {
        let error = ModelOrigin::parse(text).unwrap().fetch(&hub.settings(), &GO_ON).unwrap_err();
        let OriginError::Hub(error) = error else { panic!("{error}") };
        hub.message(&error)
    };
    let files = "its GGUF files are m-IQ4_K_M.gguf, m-Q4_K_M.gguf, m-Q8_0.gguf";
    assert_eq!(
        told("hf:org/name:Q2_K"),
        format!("use hf:org/name@main:Q2_K: that does not name one GGUF file; {files}")
    );
    assert!(told("hf:org/name").contains(&format!("hf:org/name:Q4_K_M ({files})")), "{}", told("hf:org/name"));
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let hub = FakeHub::with_model();
    {
        let mut b = hub.behaviour.lock().unwrap();
        (b.break_after, b.breaks_left) = (6000, 2);
    }
    let model = hub.settings().fetch("org/name", "main", &GO_ON).unwrap();
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
        let model = hub.settings().fetch("org/name", "main", &GO_ON).unwrap();
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
        let error = settings.fetch("org/name", "main", &GO_ON).unwrap_err();
        assert_eq!(hub.message(&error), expect);
    };
    let guarded = |b: &mut Behaviour| b.token = Some("right".into());
    check(
        &guarded,
        None,
        "download hf:org/name@main: the hub asks for a token (or there is nothing of that name); set HF_TOKEN",
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
        "download hf:org/name@main: the hub knows no such repository or revision (its description was not found)",
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
    settings.fetch("org/name", "main", &GO_ON).unwrap();
}

#[test]
fn offline_mode_uses_the_network_for_nothing() {
    let hub = FakeHub::with_model();
    let offline = HubSettings { offline: true, ..hub.settings() };
    let error = offline.fetch("org/name", "main", &GO_ON).unwrap_err();
    let expect =
        "find hf:org/name@main in DIR: the cache does not hold all of it, and offline mode forbids to download it";
    assert_eq!(hub.message(&error), expect);
    assert_eq!(hub.requests(), Vec::<String>::new());
    // A snapshot that lacks a shard is not served either.
    let model = hub.settings().fetch("org/name", "main", &GO_ON).unwrap();
    fs::remove_file(model.path.join(SHARD)).unwrap();
    assert!(matches!(offline.fetch("org/name", "main", &GO_ON), Err(HubError::Offline { .. })));
}

/// The token is for the hub alone, wherever that sends (as with Python's `huggingface_hub`).
#[test]
fn the_token_stays_home_when_the_hub_sends_elsewhere() {
    let store = FakeHub::with_model();
    // The same address under another name is another host, too.
    for host in [store.endpoint.clone(), store.endpoint.replace("127.0.0.1", "localhost")] {
        let hub = FakeHub::with_model();
        {
            let mut b = hub.behaviour.lock().unwrap();
            b.token = Some("right".into());
            b.elsewhere = Some(host.clone());
        }
        let settings = HubSettings { token: Some("right".into()), ..hub.settings() };
        let model = settings.fetch("org/name", COMMIT, &GO_ON);
        // All files are sent for under one etag here: the first two differ in size, which is found.
        assert!(store.behaviour.lock().unwrap().heard.is_none(), "{host} heard the token");
        assert_eq!(hub.behaviour.lock().unwrap().heard.as_deref(), Some("Bearer right"));
        drop(model);
        let relative = FakeHub::with_model();
        relative.behaviour.lock().unwrap().token = Some("right".into());
        let settings = HubSettings { token: Some("right".into()), ..relative.settings() };
        settings.fetch("org/name", "main", &GO_ON).unwrap();
    }
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    type Change = fn(&mut Behaviour, &str);
    let cases: [(&str, Change); 3] = [
        ("etag", |b, name| b.says.etag = Some(name.into())),
        ("commit", |b, name| b.says.sha = Some(name.into())),
        ("file name", |b, name| {
            b.files.remove("model.safetensors.index.json");
            let index = serde_json::json!({"weight_map": {"a": name}}).to_string();
            b.files.insert("model.safetensors.index.json".into(), index.into_bytes());
            b.says.names.push(name.into());
        }),
    ];
    for (what, change) in cases {
        for name in ["../../../../evil", "/tmp/evil-of-a-hub", "..", "a/../../../../evil", "x\\y"] {
            let hub = FakeHub::with_model();
            change(&mut hub.behaviour.lock().unwrap(), name);
            let error = hub.settings().fetch("org/name", "main", &GO_ON).unwrap_err();
            assert!(
                matches!(&error, HubError::Hostile { what: found, .. } if *found == what),
                "{what} {name}: {error}"
            );
            let above = hub.cache.path().parent().unwrap();
            assert!(!above.join("evil").exists() && !Path::new("/tmp/evil-of-a-hub").exists());
        }
    }
}

#[test]
fn a_silent_hub_is_left_within_a_second() {
    let hub = FakeHub::new(Behaviour { silent: true, ..Behaviour::default() });
    let start = std::time::Instant::now();
    let stop = || start.elapsed() > std::time::Duration::from_millis(300);
    let settings = hub.settings();
    assert!(matches!(settings.fetch("org/name", "main", &stop), Err(HubError::Cancelled { .. })));
    let start = std::time::Instant::now();
    let stop = || start.elapsed() > std::time::Duration::from_millis(300);
    assert!(matches!(settings.resolve("org/name", "main", &stop), Err(HubError::Cancelled { .. })));
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}
