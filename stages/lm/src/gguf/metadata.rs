//! Typed access to a GGUF file's key-value pairs.

use std::{collections::HashMap, path::Path};

use candle_core::quantized::gguf_file::Value;

use super::GgufError;

/// The pairs with the path of their file, for messages.
#[derive(Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub path: &'a Path,
    pub pairs: &'a HashMap<String, Value>,
}

impl<'a> Metadata<'a> {
    fn wrong(&self, key: &str, what: &str) -> GgufError {
        GgufError::invalid(self.path, format!("`{key}` is not {what}"))
    }

    pub(crate) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, GgufError> {
        value.ok_or_else(|| GgufError::invalid(self.path, format!("`{key}` is missing")))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, GgufError> {
        match self.pairs.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.pairs.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A whole number of any width.
    pub(crate) fn count(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.pairs.get(key).map(|v| whole(v).ok_or_else(|| self.wrong(key, "a whole number"))).transpose()
    }

    /// A whole number, where one that is below 0 stands for none.
    pub(crate) fn count_or_none(&self, key: &str) -> Result<Option<usize>, GgufError> {
        let negative = match self.pairs.get(key) {
            Some(Value::I8(n)) => *n < 0,
            Some(Value::I16(n)) => *n < 0,
            Some(Value::I32(n)) => *n < 0,
            Some(Value::I64(n)) => *n < 0,
            // -1, in files that know no sign.
            Some(Value::U32(n)) => *n == u32::MAX,
            _ => false,
        };
        if negative { Ok(None) } else { self.count(key) }
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.pairs.get(key) {
            None => Ok(None),
            Some(Value::F32(x)) => Ok(Some(f64::from(*x))),
            Some(Value::F64(x)) => Ok(Some(*x)),
            Some(_) => Err(self.wrong(key, "a number")),
        }
    }

    /// A number that has to be above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.number(key)? {
            Some(found) if !(found.is_finite() && found > 0.0) => {
                Err(GgufError::invalid(self.path, format!("`{key}` is {found}, it must be positive")))
            }
            found => Ok(found),
        }
    }

    fn list<T>(
        &self,
        key: &str,
        what: &str,
        item: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, GgufError> {
        match self.pairs.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                items.iter().map(item).collect::<Option<Vec<T>>>().map(Some).ok_or_else(|| self.wrong(key, what))
            }
            Some(_) => Err(self.wrong(key, what)),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, GgufError> {
        self.list(key, "a list of texts", |v| match v {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f32>>, GgufError> {
        self.list(key, "a list of numbers", |v| match v {
            Value::F32(x) => Some(*x),
            _ => None,
        })
    }

    pub(crate) fn counts(&self, key: &str) -> Result<Option<Vec<usize>>, GgufError> {
        self.list(key, "a list of whole numbers", whole)
    }
}

fn whole(value: &Value) -> Option<usize> {
    match *value {
        Value::U8(n) => Some(usize::from(n)),
        Value::U16(n) => Some(usize::from(n)),
        Value::U32(n) => Some(n as usize),
        Value::U64(n) => usize::try_from(n).ok(),
        Value::I8(n) => usize::try_from(n).ok(),
        Value::I16(n) => usize::try_from(n).ok(),
        Value::I32(n) => usize::try_from(n).ok(),
        Value::I64(n) => usize::try_from(n).ok(),
        _ => None,
    }
}
