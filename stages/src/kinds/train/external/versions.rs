//! Pinned versions: what a script's own list says, and whether what is installed is that.

use std::collections::BTreeMap;

use pipe_engine::kind::StageError;
use serde::Deserialize;

/// A package's name as packages are told apart: `Flash_Attn` is `flash-attn`.
pub(super) fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '.'], "-")
}

/// The list in a script (`# /// script`, as `uv run` and pipx read it).
#[derive(Deserialize)]
struct Script {
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The versions that a script's own list pins with `==`, by name; what it does not pin is no matter of keys.
///
/// # Errors
/// The list is no TOML, or `dependencies` no list of texts.
pub(super) fn of_script(name: &str, text: &str) -> Result<BTreeMap<String, String>, StageError> {
    let Some((_, behind)) = text.split_once("# /// script\n") else { return Ok(BTreeMap::new()) };
    let lines = behind.lines().take_while(|line| line.starts_with('#') && line.trim_end() != "# ///");
    let block: String = lines.flat_map(|line| [line[1..].strip_prefix(' ').unwrap_or(&line[1..]), "\n"]).collect();
    let script: Script = toml::from_str(&block).map_err(|e| {
        let help = "it is TOML behind `# `, such as `# dependencies = [\"peft==0.18.0\"]`";
        StageError::user_help(format!("the list `# /// script` of `{name}` cannot be read: {}", e.message()), help)
    })?;
    let pin = |dependency: &String| {
        let (package, version) = dependency.split_once("==")?;
        // Behind a `;` stands where it is needed; in brackets, with what.
        let version = version.split([';', ',']).next()?.trim();
        let package = package.split('[').next()?;
        (!version.ends_with('*')).then(|| (normal(package), version.to_owned()))
    };
    Ok(script.dependencies.iter().filter_map(pin).collect())
}

/// What is pinned and not what there is: name, pinned version, and the one that is there.
pub(super) fn differing<'a>(
    pinned: &'a BTreeMap<String, String>,
    there: &BTreeMap<String, String>,
) -> Option<(&'a str, &'a str, Option<String>)> {
    let there: BTreeMap<String, &String> = there.iter().map(|(name, version)| (normal(name), version)).collect();
    let differs = |(name, wanted): &(&'a String, &'a String)| {
        // `2.9.1` is `2.9.1+cu128`, too: the build for a device is no other version.
        there.get(*name).is_none_or(|found| found != wanted && found.split('+').next() != Some(wanted.as_str()))
    };
    let (name, wanted) = pinned.iter().find(differs)?;
    Some((name, wanted, there.get(name).map(|found| (*found).clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripts_own_list_pins_versions() {
        let script = "#!/usr/bin/env python3\n# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\n#   \
                      \"Torch==2.9.1\",  # of the box\n#   \"flash_attn[x]==2.8; sys_platform == 'linux'\",\n#   \
                      \"numpy\",\n#   \"peft==0.18.*\",\n# ]\n# ///\nimport torch\n";
        let pinned = of_script("t.py", script).unwrap();
        let expect = [("flash-attn", "2.8"), ("torch", "2.9.1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(pinned, BTreeMap::from(expect));
        assert_eq!(of_script("t.py", "import torch\n").unwrap(), BTreeMap::new());
        let error = of_script("t.py", "# /// script\n# dependencies = [\n# ///\n").unwrap_err();
        assert!(error.to_string().contains("the list `# /// script` of `t.py` cannot be read"), "{error}");
    }

    #[test]
    fn what_differs_is_told_by_name() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
        };
        let pinned = map(&[("flash-attn", "2.8"), ("torch", "2.9.1")]);
        let check = |there: &[(&str, &str)], expect| assert_eq!(differing(&pinned, &map(there)), expect, "{there:?}");
        check(&[("torch", "2.9.1+cu128"), ("flash_attn", "2.8"), ("peft", "1")], None);
        check(&[("torch", "2.9.10"), ("flash_attn", "2.8")], Some(("torch", "2.9.1", Some("2.9.10".to_owned()))));
        check(&[("torch", "2.9.1")], Some(("flash-attn", "2.8", None)));
        let exact = map(&[("torch", "2.9.1+cpu")]);
        assert!(differing(&exact, &map(&[("torch", "2.9.1")])).is_some());
    }
}
