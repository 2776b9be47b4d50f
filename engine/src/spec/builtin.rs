//! Files that a program carries with it, so that an installed one needs no folder beside it.
//!
//! A pipeline names them `builtin:NAME`, or `builtin:NAME@REVISION` where it must not go along with a later program's
//! content. In paths `builtin:` stands for a folder that is on no disk: relative paths in a built-in file start there.
//! Which files there are, the program says ([`Builtins`]); this crate has none.

use std::path::{Path, PathBuf};

pub use crate::diag::BUILTIN;
use crate::diag::{one_of, plain};

/// A file or folder that a program carries.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its name, with `/` between folders.
    pub name: &'static str,
    /// Raised when what it means changes, be it by a built-in that it includes or names: two programs that carry the
    /// same revision compute the same with it.
    pub revision: u32,
    /// What it is for, in a line.
    pub about: &'static str,
    /// What it holds.
    pub content: Content,
}

/// What a built-in holds.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// The bytes of a file.
    File(&'static [u8]),
    /// The files of a folder, by name.
    Folder(&'static [(&'static str, &'static [u8])]),
}

/// All that a program carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Builtins(pub &'static [Builtin]);

/// Why there is no such built-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBuiltin {
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Builtins {
    /// The built-in of a name, `builtin:` in front of it or not; its folders may be left out where one file alone
    /// is called so, as in `builtin:nano`.
    ///
    /// # Errors
    /// There is none, or it is of another revision than the name says.
    pub fn find(&self, name: &str) -> Result<&'static Builtin, NotBuiltin> {
        let name = name.strip_prefix(BUILTIN).unwrap_or(name);
        let (bare, revision) = name.rsplit_once('@').map_or((name, None), |(bare, revision)| (bare, Some(revision)));
        let wanted = plain(Path::new(bare.trim_start_matches('/')));
        let exact = self.0.iter().find(|builtin| Path::new(builtin.name) == wanted);
        let mut ending = self.0.iter().filter(|builtin| !bare.is_empty() && Path::new(builtin.name).ends_with(&wanted));
        let found = exact.or_else(|| ending.next().filter(|_| ending.next().is_none()));
        let Some(found) = found else {
            let names = self.0.iter().map(|builtin| builtin.name);
            let message = format!("there is no built-in file `{}`", wanted.display());
            return Err(NotBuiltin { message, help: one_of(bare, "built-in are", names) });
        };
        match revision {
            Some(revision) if revision.parse() != Ok(found.revision) => {
                let (name, current) = (found.name, found.revision);
                let message = format!("this program carries `{name}@{current}`, not `{name}@{revision}`");
                let help = format!(
                    "write `{BUILTIN}{name}` for the one it carries, or keep a copy of the other in the project: \
                     `pipe show-builtin {name} --to .` with the program that carries it"
                );
                Err(NotBuiltin { message, help: Some(help) })
            }
            _ => Ok(found),
        }
    }
}

/// Whether a path names a built-in file or folder.
pub fn is_builtin(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(BUILTIN.as_bytes())
}

/// `path`, which stands in a file of `folder`.
pub fn join(folder: &Path, path: &Path) -> PathBuf {
    if is_builtin(path) || !is_builtin(folder) || path.is_absolute() {
        return if is_builtin(path) { path.to_owned() } else { folder.join(path) };
    }
    let folder = folder.to_string_lossy();
    let inside = plain(&Path::new(folder[BUILTIN.len()..].trim_start_matches('/')).join(path));
    format!("{BUILTIN}{}", inside.display()).into()
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix(BUILTIN)) {
        Some(name) => {
            let folder = Path::new(name).parent().unwrap_or(Path::new(""));
            format!("{BUILTIN}{}", folder.display()).into()
        }
        None => path.parent().unwrap_or(Path::new("")).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: Builtins = Builtins(&[
        Builtin { name: "method.yaml", revision: 3, about: "", content: Content::File(b"") },
        Builtin { name: "models/nano", revision: 1, about: "", content: Content::Folder(&[]) },
    ]);

    #[test]
    fn names_are_found_with_and_without_folders_and_revisions() {
        let check = |name: &str, expect: &str| match FILES.find(name) {
            Ok(found) => assert_eq!(found.name, expect, "{name}"),
            Err(e) => assert_eq!(format!("{} ({})", e.message, e.help.unwrap()), expect, "{name}"),
        };
        check("method.yaml", "method.yaml");
        check("builtin:method.yaml@3", "method.yaml");
        check("builtin:/models/nano", "models/nano");
        check("builtin:./models/../models/nano", "models/nano");
        check("builtin:nano@1", "models/nano");
        check("builtin:methd.yaml", "there is no built-in file `methd.yaml` (did you mean `method.yaml`?)");
        check("builtin:", "there is no built-in file `` (built-in are: `method.yaml`, `models/nano`)");
        let help = "write `builtin:method.yaml` for the one it carries, or keep a copy of the other in the project: \
                    `pipe show-builtin method.yaml --to .` with the program that carries it";
        for other in ["2", "x"] {
            let expect = format!("this program carries `method.yaml@3`, not `method.yaml@{other}` ({help})");
            check(&format!("builtin:method.yaml@{other}"), &expect);
        }
    }

    #[test]
    fn paths_go_on_inside() {
        let check = |folder: &str, path: &str, expect: &str| {
            assert_eq!(join(Path::new(folder), Path::new(path)), Path::new(expect), "{folder} {path}");
        };
        check("builtin:", "models/nano", "builtin:models/nano");
        check("builtin:sub", "../method.yaml", "builtin:method.yaml");
        check("/work", "builtin:nano", "builtin:nano");
        check("builtin:", "/data/x", "/data/x");
        check("/work", "x", "/work/x");
        assert_eq!(folder_of(Path::new("builtin:method.yaml")), Path::new("builtin:"));
        assert_eq!(folder_of(Path::new("builtin:a/b.yaml")), Path::new("builtin:a"));
        assert_eq!(folder_of(Path::new("a/b.yaml")), Path::new("a"));
    }
}
