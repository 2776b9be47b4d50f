//! Parameters in which plainly nothing is wrong: those need not be walked through, in each of many thousand stages.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{super::phrases::list, MAX_REFERENCES, follow, has_type};

/// Keywords that ask nothing of a value, beside our own (`x-...`).
const SILENT: [&str; 6] = ["type", "description", "default", "title", "format", "examples"];

/// Keywords of a whole schema that ask nothing but what is looked at here.
const WHOLE: [&str; 8] =
    ["type", "properties", "required", "additionalProperties", "$defs", "$schema", "title", "description"];

/// What a schema asks of parameters that are scalars, by name.
pub(crate) struct Plain {
    parameters: HashMap<String, Simple>,
    required: Vec<String>,
    /// Whether that is all it asks: a flattened union stands beside the properties, and asks something of all of them.
    whole: bool,
}

/// What is asked of one of them.
enum Simple {
    /// A type, and at most a range.
    Typed { expected: Value, minimum: f64, maximum: f64 },
    /// To be one of these.
    AnyOf(Vec<Simple>),
}

impl Plain {
    /// Of the parameters that `schema` describes.
    pub(crate) fn of(schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let simple = |(name, sub): (&String, &Value)| Some((name.clone(), Simple::of(schema, sub, MAX_REFERENCES)?));
        Self {
            parameters: properties.filter_map(simple).collect(),
            whole: schema
                .as_object()
                .is_some_and(|asked| asked.keys().all(|key| WHOLE.contains(&key.as_str()) || key.starts_with("x-"))),
            required: list(schema.get("required")).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// Whether all that `value` names is plain and fits. If not, it may fit all the same.
    pub(crate) fn admits(&self, value: &Value) -> bool {
        let Value::Object(object) = value else { return false };
        self.whole
            && object.iter().all(|(name, value)| self.parameters.get(name).is_some_and(|simple| simple.admits(value)))
            && self.required.iter().all(|name| object.contains_key(name))
    }
}

impl Simple {
    fn of(root: &Value, schema: &Value, references: usize) -> Option<Self> {
        let asked = schema.as_object()?;
        let only = |loud: &[&str]| {
            asked.keys().all(|k| SILENT.contains(&k.as_str()) || k.starts_with("x-") || loud.contains(&k.as_str()))
        };
        if only(&["$ref"]) && !asked.contains_key("type") {
            return Self::of(root, follow(root, schema)?, references.checked_sub(1)?);
        }
        if only(&["anyOf"]) && !asked.contains_key("type") {
            // A branch that is not plain is left out: what it admits, the walk will.
            let branches = list(asked.get("anyOf")).iter().filter_map(|branch| Self::of(root, branch, references));
            return Some(Self::AnyOf(branches.collect()));
        }
        only(&["minimum", "maximum"]).then(|| Self::typed(asked))?
    }

    fn typed(asked: &Map<String, Value>) -> Option<Self> {
        let bound = |name: &str, none: f64| asked.get(name).map_or(Some(none), Value::as_f64);
        Some(Self::Typed {
            expected: asked.get("type")?.clone(),
            minimum: bound("minimum", f64::NEG_INFINITY)?,
            maximum: bound("maximum", f64::INFINITY)?,
        })
    }

    fn admits(&self, value: &Value) -> bool {
        match self {
            Self::Typed { expected, minimum, maximum } => {
                let scalar = !value.is_array() && !value.is_object();
                let within = value.as_f64().is_none_or(|x| (*minimum..=*maximum).contains(&x));
                scalar && within && has_type(expected, value)
            }
            Self::AnyOf(branches) => branches.iter().any(|branch| branch.admits(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{check, fits},
        *,
    };

    #[test]
    fn what_it_admits_has_no_problem() {
        let schema = json!({
            "type": "object",
            "required": ["path"],
            "additionalProperties": false,
            "properties": {
                "path": { "type": "string", "x-path": true },
                "limit": { "type": ["integer", "null"], "minimum": 1, "maximum": 9, "format": "uint64" },
                "share": { "type": "number", "exclusiveMaximum": 1.0 },
                "mode": { "anyOf": [{ "const": "a" }, { "type": "null" }] },
                "files": { "$ref": "#/$defs/OneOrMany", "x-path": true },
                "itself": { "$ref": "#/$defs/Itself" },
            },
            "$defs": {
                "OneOrMany": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
                "Itself": { "$ref": "#/$defs/Itself" },
            }
        });
        let plain = Plain::of(&schema);
        let values =
            [json!("a"), json!(0), json!(1), json!(9), json!(10), json!(0.5), json!(null), json!([1]), json!({})];
        let mut admitted = 0;
        for name in ["path", "limit", "share", "mode", "files", "other"] {
            for value in &values {
                for given in [json!({ name: value }), json!({ "path": "p", name: value })] {
                    let fits = fits(&schema, &schema, &given);
                    assert_eq!(fits, check(&schema, &given, &[], &|_| None).is_empty());
                    if plain.admits(&given) {
                        assert!(fits, "{given}");
                        admitted += 1;
                    }
                }
            }
        }
        // `path: a` alone and twice; beside a path three limits, no mode, and one file.
        assert_eq!(admitted, 7);
        assert!(!plain.admits(&json!({ "limit": 3 })), "a path is missing");
    }

    #[test]
    fn what_is_asked_of_all_parameters_together_is_not_passed_over() {
        let simple = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "T",
            "description": "D",
            "type": "object",
            "properties": { "n": { "type": "integer" }, "mode": { "type": "string" } },
            "additionalProperties": false,
            "$defs": {},
            "x-folder": true,
        });
        let given = json!({ "n": 3, "mode": "b" });
        assert!(Plain::of(&simple).admits(&given));
        let one = json!([{ "properties": { "mode": { "const": "a" } }, "required": ["mode"] }]);
        for (keyword, value) in [
            ("oneOf", one.clone()),
            ("anyOf", one.clone()),
            ("allOf", one),
            ("$ref", json!("#/$defs/Mode")),
            ("dependentRequired", json!({ "n": ["m"] })),
            ("minProperties", json!(3)),
        ] {
            let mut schema = simple.clone();
            schema["$defs"] = json!({ "Mode": { "properties": { "mode": { "const": "a" } } } });
            schema[keyword] = value;
            assert!(!Plain::of(&schema).admits(&given), "{keyword}");
        }
    }
}
