//! A metric as pipeline files name it.

use std::{borrow::Cow, fmt};

use pipe_text::is_unspaced;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Normalizer,
    defs::{DEFINITIONS, Definition, Text, Words},
};

/// The names of all metrics, in the order of their definitions.
static NAMES: [&str; DEFINITIONS.len()] = {
    let mut names = [""; DEFINITIONS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = DEFINITIONS[i].name;
        i += 1;
    }
    names
};

/// What is measured. Scores lie between 0 and 1; of several references the best counts.
#[derive(Clone, Copy)]
pub struct Metric(&'static Definition);

impl Metric {
    /// The metric of that name.
    pub fn named(name: &str) -> Option<Self> {
        DEFINITIONS.iter().find(|definition| definition.name == name).map(Self)
    }

    /// The name, under which scores stand in tables.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// The heading in the table of arms.
    pub const fn heading(self) -> &'static str {
        self.0.heading
    }

    /// All metrics, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Self> {
        DEFINITIONS.iter().map(Self)
    }

    /// What it is.
    pub const fn doc(self) -> &'static str {
        self.0.doc
    }

    /// The paper or program whose numbers it gives.
    pub const fn reference(self) -> &'static str {
        self.0.reference
    }

    /// What exactly is computed: tokeniser, stemmer, normaliser and version, so that a number in a table can be told
    /// from another tool's number of the same name.
    pub fn signature(self, normalizer: Normalizer) -> String {
        self.0.signature.replace("{norm}", normalizer.signature())
    }

    /// Whether most letters of a text are in none of the words that the metric sees: then it says little of the text,
    /// or nothing. `rouge_l` is blind to Russian, and token F1 takes a Chinese sentence for one word.
    pub fn is_blind_to(self, normalizer: Normalizer, text: &str) -> bool {
        let is_unseen = |c: &char| match self.0.words {
            Words::Ascii => !c.is_ascii(),
            Words::Spaced => normalizer != Normalizer::Unicode && is_unspaced(*c),
            Words::Any => false,
        };
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        2 * letters.clone().filter(is_unseen).count() > letters.count()
    }

    /// What sees the texts to which this is blind.
    pub const fn instead(self) -> &'static str {
        match self.0.words {
            Words::Ascii => "`rouge_l_unicode` sees words of any script",
            Words::Spaced => {
                "`normalizer: unicode` takes characters of such scripts for words, as `rouge_l_unicode` does"
            }
            Words::Any => "it sees all texts",
        }
    }

    /// The best score of `prediction` over the references; 0 where there is none.
    pub fn score<S: AsRef<str>>(self, normalizer: Normalizer, prediction: &str, references: &[S]) -> f64 {
        let prediction = Text::new(normalizer, prediction);
        let of = |reference: &S| (self.0.score)(&prediction, &Text::new(normalizer, reference.as_ref()));
        references.iter().map(of).fold(0.0, f64::max)
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Metric {}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| de::Error::unknown_variant(&name, &NAMES))
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<Schema> = DEFINITIONS
            .iter()
            .map(|d| {
                let about = format!("{} {}.", d.doc, d.reference);
                json_schema!({ "description": about, "type": "string", "const": d.name })
            })
            .collect();
        json_schema!({
            "description": "What is measured. Scores lie between 0 and 1; of several references the best counts.",
            "oneOf": names,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_written_by_name() {
        for name in NAMES {
            let metric: Metric = serde_json::from_value(name.into()).unwrap();
            assert_eq!((metric.name(), serde_json::to_value(metric).unwrap()), (name, name.into()));
        }
        let error = serde_json::from_str::<Metric>("\"f1\"").unwrap_err().to_string();
        assert!(error.contains("unknown variant `f1`") && error.contains("`rouge_l`"), "{error}");
    }

    #[test]
    fn metrics_are_blind_to_what_they_take_for_no_words() {
        let blind = |name: &str, text| Metric::named(name).unwrap().is_blind_to(Normalizer::Squad, text);
        for (text, rouge, f1) in [
            ("naïve T cells", false, false),
            ("Печень (GDP)", true, false),
            ("肝脏产生GDP", true, true),
            ("42 %", false, false),
            ("", false, false),
        ] {
            assert_eq!((blind("rouge_l", text), blind("token_f1", text)), (rouge, f1), "{text}");
            assert!(!blind("rouge_l_unicode", text) && !blind("exact_match", text));
        }
        assert!(!Metric::named("token_f1").unwrap().is_blind_to(Normalizer::Unicode, "肝脏"));
    }

    #[test]
    fn normalizers_and_their_signatures() {
        let [exact, f1] = ["exact_match", "token_f1"].map(|name| Metric::named(name).unwrap());
        let score = |n: Normalizer| exact.score(n, "the  Liver.", &["Liver"]);
        assert_eq!([Normalizer::Squad, Normalizer::Lowercase, Normalizer::None].map(score), [1.0, 0.0, 0.0]);
        assert_eq!(exact.score(Normalizer::Lowercase, " The  Liver", &["the liver"]), 1.0);
        assert_eq!(exact.score(Normalizer::None, " Liver\n", &["Liver"]), 1.0);
        assert_eq!(exact.score(Normalizer::None, "liver", &["Liver"]), 0.0);
        assert_eq!(f1.signature(Normalizer::Squad), "token_f1|norm:squad1.1|tok:whitespace|refs:max|v1");
        assert_eq!(exact.signature(Normalizer::None), "exact_match|norm:trim|refs:max|v1");
    }
}
