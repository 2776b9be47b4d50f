//! A kind as its documentation shows it: in a pipeline that runs, and with the smallest parameters that it takes.

use serde_json::{Map, Value, json};

use super::{DynKind, Ports};
use crate::{diag::TextId, yaml};

/// A pipeline that shows a kind at work, in YAML. What it reads stands in its comments: a line `# NAME:`, and the file
/// below it in lines that begin with `#   `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example(pub &'static str);

impl Example {
    /// The files that the pipeline reads, with their names.
    pub fn files(self) -> Vec<(&'static str, String)> {
        let mut files: Vec<(&str, String)> = Vec::new();
        let mut open = false;
        for line in self.0.lines() {
            let comment = line.strip_prefix("# ");
            let content = comment.and_then(|comment| comment.strip_prefix("  "));
            let content = if line == "#" { Some("") } else { content };
            if let (Some(content), true, Some((_, file))) = (content, open, files.last_mut()) {
                file.push_str(content);
                file.push('\n');
            } else {
                let name = comment.and_then(|comment| comment.strip_suffix(':'));
                let name = name.filter(|name| !name.contains(char::is_whitespace));
                files.extend(name.map(|name| (name, String::new())));
                open = name.is_some();
            }
        }
        // Empty lines part a file from what follows.
        files.into_iter().map(|(name, text)| (name, format!("{}\n", text.trim_end()))).collect()
    }

    /// The parameters that it gives to the kind.
    pub fn params(self, kind: &str) -> Option<Value> {
        let pipeline = yaml::parse(TextId::default(), self.0, &mut Vec::new())?.to_json();
        let stages = pipeline["stages"].as_object()?;
        stages.values().find(|stage| stage["kind"] == kind).map(|stage| stage["params"].clone())
    }
}

/// The ports of a stage with the smallest parameters; `None` where none could be made up.
pub fn usual_ports(kind: &dyn DynKind) -> Option<Ports> {
    let schema = kind.schema().to_value();
    let params = kind.parse(&smallest(&schema, &schema, 0)).ok()?.0;
    Some(kind.ports(&params))
}

/// The smallest value that a schema describes: required properties, first choices.
fn smallest(schema: &Value, root: &Value, depth: usize) -> Value {
    const DEPTH: usize = 8;
    if depth > DEPTH {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|target| root.pointer(target.strip_prefix('#')?)) {
        return smallest(target, root, depth + 1);
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(first) = schema[key].as_array().and_then(|choices| choices.first()) {
            return if key == "enum" { first.clone() } else { smallest(first, root, depth + 1) };
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let property = |name: &str| (name.to_owned(), smallest(&schema["properties"][name], root, depth + 1));
            Value::Object(required.map(property).collect::<Map<_, _>>())
        }
        Some("array") => json!([]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(false),
        Some("string") => json!("x"),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_shows_what_it_reads() {
        let example = Example(
            "# Two files.\n# data/a.csv:\n#   a,b\n#\n# b.txt:\n#   one\n#\n#     two\npipeline: p\nstages:\n  \
             s: { kind: table, params: { path: b.txt } }\n",
        );
        let files = [("data/a.csv", "a,b\n".to_owned()), ("b.txt", "one\n\n  two\n".to_owned())];
        assert_eq!(example.files(), files);
        assert_eq!(example.params("table"), Some(json!({ "path": "b.txt" })));
        assert_eq!(example.params("train"), None);
    }
}
