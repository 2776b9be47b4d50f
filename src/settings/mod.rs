//! `pipe.toml`, at the project's root: where things are kept, and where else they may come from. It enters no key.
//!
//! ```toml
//! store = "/scratch/lab/pipe"   # where results are kept; paths begin at the file
//! memory = "16GB"               # what stages of a run may take together here
//! cluster = "lab/cluster.yaml"  # what `pipe submit` asks a cluster for
//! remote = "s3://bucket/prefix"
//! ```
//! or, where there is more to say of a remote,
//! ```toml
//! [remote]
//! url = "s3://bucket/prefix"
//! mode = "pull"            # `push`, `both`
//! endpoint = "https://..." # the server of a bucket that is not Amazon's
//! region = "eu-central-1"
//! profile = "lab"          # of AWS's files
//! timeout = "20s"          # the longest silence
//! ```

mod access;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use pipe_cache::{Remote, RemoteMode, RemoteOptions};
use pipe_engine::{
    diag::one_of,
    spec::{parse_bytes, parse_duration},
};
use toml::{Table, Value};

use crate::error::CliError;

/// The name of the file.
pub(crate) const FILE: &str = "pipe.toml";

type Environment = BTreeMap<String, String>;

/// What `pipe.toml` says.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    path: PathBuf,
    store: Option<PathBuf>,
    memory: Option<u64>,
    cluster: Option<PathBuf>,
    remote: Table,
}

const SETTINGS: [&str; 4] = ["store", "memory", "cluster", "remote"];

const REMOTE: [&str; 6] = ["url", "mode", "endpoint", "region", "profile", "timeout"];

impl Settings {
    /// Of a project; a file that is missing says nothing.
    pub(crate) fn load(root: &Path) -> Result<Self, CliError> {
        let path = root.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self { path, ..Self::default() }),
            Err(source) => return Err(CliError::Io { action: "read", path, source }),
        };
        let mut settings = Self { path, ..Self::default() };
        let file: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            settings.wrong(format_args!("line {line}: {}", e.message()), None)
        })?;
        for (name, value) in file {
            match (name.as_str(), value) {
                ("remote", Value::String(url)) => {
                    settings.remote.insert("url".to_owned(), Value::String(url));
                }
                ("remote", Value::Table(table)) => settings.remote = table,
                ("remote", _) => return Err(settings.wrong("`remote` is an address, or a table with `url`", None)),
                ("store", value) => settings.store = Some(settings.place(root, "store", &value)?),
                ("cluster", value) => settings.cluster = Some(settings.place(root, "cluster", &value)?),
                ("memory", value) => {
                    let size = value.as_str().and_then(parse_bytes);
                    let wrong = || settings.wrong("`memory` is a size with a unit, in quotes: `\"16GB\"`", None);
                    settings.memory = Some(size.ok_or_else(wrong)?);
                }
                (name, _) => {
                    let help = one_of(name, "there is", SETTINGS);
                    return Err(settings.wrong(format_args!("there is no setting `{name}`"), help));
                }
            }
        }
        for name in settings.remote.keys() {
            if !REMOTE.contains(&name.as_str()) {
                let help = one_of(name, "a remote has", REMOTE);
                return Err(settings.wrong(format_args!("a remote has no `{name}`"), help));
            }
        }
        Ok(settings)
    }

    fn wrong(&self, problem: impl std::fmt::Display, help: Option<String>) -> CliError {
        CliError::Usage { message: format!("{}: {problem}", self.path.display()), help }
    }

    /// A path, which begins at the file.
    fn place(&self, root: &Path, name: &str, value: &Value) -> Result<PathBuf, CliError> {
        match value.as_str() {
            Some(path) if !path.trim().is_empty() => Ok(root.join(path)),
            _ => Err(self.wrong(format_args!("`{name}` is a path, in quotes"), None)),
        }
    }

    /// Where results are kept.
    pub(crate) fn store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// Bytes that stages of a run may take together on this machine.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// The file that says what a cluster is asked for.
    pub(crate) fn cluster(&self) -> Option<&Path> {
        self.cluster.as_deref()
    }

    fn text(&self, name: &str) -> Result<Option<&str>, CliError> {
        match self.remote.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(format_args!("`remote.{name}` is a text, in quotes"), None)),
        }
    }

    /// The remote, as the file and the environment say: `PIPE_REMOTE` is its address, or `off`, and `PIPE_REMOTE_MODE`
    /// which way things go.
    pub(crate) fn remote(&self, env: &Environment) -> Result<Option<Remote>, CliError> {
        Ok(self.remote_options(env)?.map(|options| Remote::open(&options)).transpose()?)
    }

    fn remote_options(&self, env: &Environment) -> Result<Option<RemoteOptions>, CliError> {
        let named = env.get("PIPE_REMOTE").map(|url| url.trim());
        let Some(url) = named.or(self.text("url")?).filter(|url| !matches!(*url, "" | "off")) else {
            if named.is_none() && !self.remote.is_empty() {
                return Err(self.wrong("`remote` has no `url`", None));
            }
            return Ok(None);
        };
        let mut options = RemoteOptions::new(url);
        if let Some(mode) = env.get("PIPE_REMOTE_MODE").map(String::as_str).or(self.text("mode")?) {
            options.mode = match mode {
                "pull" => RemoteMode::Pull,
                "push" => RemoteMode::Push,
                "both" => RemoteMode::Both,
                other => {
                    return Err(CliError::Usage {
                        message: format!("a remote's mode is not `{other}`"),
                        help: one_of(other, "it is", ["pull", "push", "both"]),
                    });
                }
            };
        }
        if let Some(timeout) = self.text("timeout")? {
            let Some(timeout) = parse_duration(timeout).filter(|timeout| *timeout >= Duration::from_millis(100)) else {
                let help = "a time is a number with a unit: `20s`".to_owned();
                return Err(self.wrong(format_args!("`remote.timeout` is no time: `{timeout}`"), Some(help)));
            };
            options.timeout = timeout;
        }
        if options.url.starts_with("s3://") {
            let bucket = access::bucket(env, self.text("profile")?)?;
            options.access = bucket.access;
            options.region = self.text("region")?.map(str::to_owned).or(bucket.region);
            options.endpoint = self.text("endpoint")?.map(str::to_owned).or(bucket.endpoint);
        } else {
            options.access = access::web(env);
        }
        Ok(Some(options))
    }
}
