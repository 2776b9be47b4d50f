//! From YAML text to `Pipeline`.

#![expect(clippy::format_push_string, clippy::format_collect, reason = "texts are built the way that reads best")]

mod broken;
mod hostile;
mod include;
mod interpolation;
mod json_schema;
mod like;
mod link;
mod mutations;
mod params;
mod paths;
mod schema;
mod support;
mod variants;
