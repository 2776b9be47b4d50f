//! Which draws of the same arm variants are.

use std::collections::{BTreeSet, HashMap};

use super::{Pipeline, Variant};

impl Pipeline {
    /// By variant: what tells it from the others of its arm (`seed=2`, `fold=1/seed=2`), as the tables of `compare`
    /// call it; `None` where an arm is one variant.
    pub fn draws(&self) -> Vec<Option<String>> {
        names(&self.variants)
    }
}

fn names(variants: &[Variant]) -> Vec<Option<String>> {
    let mut first: HashMap<&str, &Variant> = HashMap::new();
    let mut replicates: BTreeSet<&str> = BTreeSet::new();
    for variant in variants {
        let first = first.entry(&variant.arm).or_insert(variant);
        let differs = variant.factors.iter().filter(|(name, value)| first.factors.get(*name) != Some(*value));
        replicates.extend(differs.map(|(name, _)| name.as_str()));
    }
    let name = |variant: &Variant| {
        let level = |name: &&str| {
            let value = variant.factors.get(*name).filter(|value| !value.is_null())?;
            Some(format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        };
        let levels: Vec<String> = replicates.iter().filter_map(level).collect();
        (!levels.is_empty()).then(|| levels.join("/"))
    };
    variants.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn draws_are_named_by_what_differs_within_an_arm() {
        let variant = |arm: &str, n: i64, seed: &Value| Variant {
            name: arm.to_owned(),
            arm: arm.to_owned(),
            factors: [("n".to_owned(), json!(n)), ("seed".to_owned(), seed.clone())].into_iter().collect(),
            vars: indexmap::IndexMap::new(),
        };
        let one = [variant("baseline", 1, &json!(7)), variant("n=2", 2, &json!(7))];
        assert_eq!(names(&one), [None, None]);
        let two = [one.as_slice(), &[variant("baseline", 1, &json!("x"))]].concat();
        let expected = ["seed=7", "seed=7", "seed=x"].map(|name| Some(name.to_owned()));
        assert_eq!(names(&two), expected);
    }
}
