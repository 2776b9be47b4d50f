//! Which variants are draws of the same arm.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::GatheredFrom;

/// What tells variants of one arm apart: their `replicate` factors.
#[derive(Debug, Clone, Default)]
pub struct Draws(BTreeSet<String>);

impl Draws {
    /// Of these variants: the factors that differ within any arm.
    pub fn of<'a>(variants: impl IntoIterator<Item = &'a GatheredFrom>) -> Self {
        let mut first: BTreeMap<&str, &GatheredFrom> = BTreeMap::new();
        let mut replicates = BTreeSet::new();
        for variant in variants {
            let first = *first.entry(&variant.arm).or_insert(variant);
            let differs = variant.factors.iter().filter(|(name, value)| first.factors.get(*name) != Some(*value));
            replicates.extend(differs.map(|(name, _)| name.clone()));
        }
        Self(replicates)
    }

    /// Whether a factor tells draws apart, and not arms.
    pub fn are_by(&self, factor: &str) -> bool {
        self.0.contains(factor)
    }

    /// What the draw of a variant is called (`seed=2`, `fold=1/seed=2`); `None` where its arm is one variant.
    pub fn name(&self, variant: &GatheredFrom) -> Option<String> {
        let level = |name: &String| {
            let value = variant.factors.get(name).filter(|value| !value.is_null())?;
            Some(format!("{name}={}", level(value)))
        };
        let levels: Vec<String> = self.0.iter().filter_map(level).collect();
        (!levels.is_empty()).then(|| levels.join("/"))
    }
}

/// A level of a factor, as text.
pub fn level(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn draws_are_named_by_what_differs_within_an_arm() {
        let variant = |arm: &str, n: i64, seed: &Value| GatheredFrom {
            variant: arm.to_owned(),
            arm: arm.to_owned(),
            factors: [("n".to_owned(), json!(n)), ("seed".to_owned(), seed.clone())].into_iter().collect(),
        };
        let names = |variants: &[GatheredFrom]| -> Vec<Option<String>> {
            let draws = Draws::of(variants);
            variants.iter().map(|variant| draws.name(variant)).collect()
        };
        let one = [variant("baseline", 1, &json!(7)), variant("n=2", 2, &json!(7))];
        assert_eq!(names(&one), [None, None]);
        let two = [one.as_slice(), &[variant("baseline", 1, &json!("x"))]].concat();
        let expected = ["seed=7", "seed=7", "seed=x"].map(|name| Some(name.to_owned()));
        assert_eq!(names(&two), expected);
        assert!(Draws::of(&two).are_by("seed") && !Draws::of(&two).are_by("n"));
    }
}
