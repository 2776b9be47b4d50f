//! What parameters are called elsewhere, so that whoever knows another program is told what to write here.

/// Names of parameters in other programs, and what there is of them here.
#[derive(Debug, Clone, Copy)]
pub struct Synonym {
    /// Names in other programs.
    pub theirs: &'static [&'static str],
    /// What to write here, the best first: a parameter's name, or the name with a value (`budget: { epochs: <3> }`),
    /// in which what stands in angle brackets gives way to the value that was given.
    pub ours: &'static [&'static str],
    /// Values that mean something else here: theirs, and what to write in place of name and value.
    pub values: &'static [(&'static str, &'static str)],
    /// Why there is nothing of the kind, or what to know besides; else empty.
    pub because: &'static str,
}

/// What a name from elsewhere means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The parameter.
    pub parameter: &'static str,
    /// What to give it; empty where only the name differs.
    pub value: String,
    /// What to know besides; may be empty.
    pub because: &'static str,
}

impl Synonym {
    /// What is to be written in place of `name` and the value that it was `given`, where that is a single word or
    /// number. `is_known` says which parameters there are.
    pub fn find(synonyms: &[Self], name: &str, given: Option<&str>, is_known: impl Fn(&str) -> bool) -> Option<Meant> {
        let fits = |ours: &'static str| {
            let (parameter, value) = ours.split_once(": ").unwrap_or((ours, ""));
            (parameter != name && is_known(parameter)).then_some((parameter, value))
        };
        Self::named(synonyms, name).find_map(|synonym| {
            let translated = synonym.values.iter().filter(|(value, _)| Some(*value) == given);
            let mut ours = translated.map(|(_, ours)| *ours).chain(synonym.ours.iter().copied());
            let (parameter, value) = ours.find_map(fits)?;
            Some(Meant { parameter, value: filled(value, given), because: synonym.because })
        })
    }

    /// Why there is nothing like `name` here.
    pub fn reason(synonyms: &[Self], name: &str) -> Option<&'static str> {
        let without = Self::named(synonyms, name).filter(|synonym| synonym.ours.is_empty());
        without.map(|synonym| synonym.because).next()
    }

    fn named<'s>(synonyms: &'s [Self], name: &str) -> impl Iterator<Item = &'s Self> + use<'s> {
        let plain = name.to_lowercase().replace('-', "_");
        synonyms.iter().filter(move |synonym| synonym.theirs.contains(&plain.as_str()))
    }
}

/// The value with what was given in the place of the example in angle brackets.
fn filled(value: &str, given: Option<&str>) -> String {
    let Some((before, rest)) = value.split_once('<') else { return value.to_owned() };
    let Some((example, after)) = rest.split_once('>') else { return value.to_owned() };
    format!("{before}{}{after}", given.unwrap_or(example))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[Synonym] = &[
        Synonym { theirs: &["num_epochs"], ours: &["budget: { epochs: <3> }", "epochs"], values: &[], because: "" },
        Synonym {
            theirs: &["do_sample"],
            ours: &["temperature"],
            values: &[("false", "temperature: 0")],
            because: "above 0 it samples",
        },
        Synonym { theirs: &["fp16"], ours: &[], values: &[], because: "all is f32" },
    ];

    #[test]
    fn names_and_values_are_translated() {
        let find = |name: &str, given: Option<&str>, known: &[&str]| {
            let meant = Synonym::find(NAMES, name, given, |parameter| known.contains(&parameter));
            meant.map(|meant| (meant.parameter, meant.value))
        };
        assert_eq!(find("num-epochs", Some("5"), &["budget"]), Some(("budget", "{ epochs: 5 }".to_owned())));
        assert_eq!(find("num_epochs", None, &["budget"]), Some(("budget", "{ epochs: 3 }".to_owned())));
        assert_eq!(find("num_epochs", Some("5"), &["epochs"]), Some(("epochs", String::new())));
        assert_eq!(find("num_epochs", Some("5"), &["seed"]), None);
        assert_eq!(find("do_sample", Some("false"), &["temperature"]), Some(("temperature", "0".to_owned())));
        assert_eq!(find("do_sample", Some("true"), &["temperature"]), Some(("temperature", String::new())));
        assert_eq!(find("fp16", Some("true"), &["budget"]), None);
        assert_eq!(Synonym::reason(NAMES, "FP16"), Some("all is f32"));
        assert_eq!(Synonym::reason(NAMES, "num_epochs"), None);
    }
}
