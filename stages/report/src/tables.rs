//! The data behind plots and tables, as the page hands it out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value;

use crate::{caps, json};

/// Columns, and rows below them.
pub(crate) struct Data {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Data {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Value>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A table of structs whose fields are plain; the columns are the fields.
    pub(crate) fn of<T: Serialize>(items: impl IntoIterator<Item = T>) -> Self {
        let mut data = Data::new(&[]);
        for item in items {
            if let Ok(Value::Object(fields)) = serde_json::to_value(item) {
                if data.columns.is_empty() {
                    data.columns = fields.keys().cloned().collect();
                }
                data.rows.push(fields.into_iter().map(|(_, value)| value).collect());
            }
        }
        data
    }
}

/// All of a page's, by name. A word stands once: columns of words have places in `words`.
#[derive(Default)]
pub(crate) struct Tables {
    all: Vec<(String, Coded)>,
    words: Vec<String>,
    places: BTreeMap<String, usize>,
    bytes: usize,
    /// Up to where tables may grow for now.
    limit: usize,
}

/// A table with words as places.
#[derive(Serialize)]
struct Coded {
    columns: Vec<String>,
    /// Columns of words.
    text: Vec<usize>,
    rows: Vec<Vec<Value>>,
}

impl Tables {
    /// What follows may take its part of the room that is left of this share of all, among `others` that are to come.
    pub(crate) fn make_room(&mut self, share: f64, others: usize) {
        let left = ((caps::DATA as f64 * share) as usize).saturating_sub(self.bytes);
        self.limit = self.bytes + left / (others + 1);
    }

    /// Puts a table in, as far as there is room; how many of its rows are in it, and how many are not. It leaves a
    /// third of the room to those that come after it.
    pub(crate) fn add(&mut self, name: &str, data: Data) -> (usize, usize) {
        let is_text = |column: &usize| data.rows.iter().any(|row| row.get(*column).is_some_and(Value::is_string));
        let text: Vec<usize> = (0..data.columns.len()).filter(is_text).collect();
        let all = data.rows.len();
        let mut rows = Vec::new();
        let most = self.bytes + (self.limit.saturating_sub(self.bytes)) * 2 / 3;
        for mut row in data.rows {
            for (column, cell) in row.iter_mut().enumerate() {
                if let (true, Value::String(word)) = (text.contains(&column), &cell) {
                    *cell = match word.char_indices().nth(caps::WORD) {
                        Some((end, _)) => self.word(&format!("{}…", &word[..end])).into(),
                        None => self.word(word).into(),
                    };
                } else if let Some(x) = cell.as_f64().filter(|x| x.fract() != 0.0) {
                    // Nine digits: more are noise, and as long again.
                    *cell = format!("{x:.8e}").parse().map_or(Value::Null, |x: f64| x.into());
                }
            }
            self.bytes += serde_json::to_string(&row).map_or(0, |json| json.len() + 1);
            if self.bytes > most {
                break;
            }
            rows.push(row);
        }
        let fits = rows.len();
        self.all.push((name.to_owned(), Coded { columns: data.columns, text, rows }));
        (fits, all - fits)
    }

    fn word(&mut self, word: &str) -> usize {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.words.len();
        self.bytes += json::size(word);
        self.words.push(word.to_owned());
        self.places.insert(word.to_owned(), place);
        place
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }
}

impl Serialize for Tables {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.all.len()))?;
        for (name, data) in &self.all {
            map.serialize_entry(name, data)?;
        }
        map.end()
    }
}

/// A number for [`Data::row`]; what is none has no value.
pub(crate) fn cell(x: Option<f64>) -> Value {
    x.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Variance;

    #[test]
    fn structs_become_columns_and_what_is_no_number_has_no_value() {
        let rows = [Variance { metric: "f1".into(), draws: Some(f64::NAN), items: Some(0.25), ..Variance::default() }];
        let mut tables = Tables::default();
        tables.make_room(1.0, 0);
        tables.add("variance", Data::of(&rows));
        let columns = r#"["metric","not_asked","draws","items","sampling"]"#;
        let json = format!(r#"{{"variance":{{"columns":{columns},"text":[0],"rows":[[0,null,null,0.25,null]]}}}}"#);
        assert_eq!(serde_json::to_string(&tables).unwrap(), json);
        assert_eq!(tables.words(), ["f1"]);
        tables.add("long", Data::of([Variance { metric: "ä".repeat(1000), ..Variance::default() }]));
        assert_eq!(tables.words()[1], "ä".repeat(caps::WORD) + "…");
        assert_eq!(cell(Some(f64::INFINITY)), Value::Null);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut tables = Tables::default();
        tables.make_room(0.5, 1);
        let mut data = Data::new(&["text"]);
        for place in 0..2000 {
            data.row([Value::from(format!("{place:0150}"))]);
        }
        let (fits, left_out) = tables.add("long", data);
        // Two thirds of the half of a half.
        let room = caps::DATA / 4 * 2 / 3;
        assert!(fits + left_out == 2000 && (room / 162..=room / 153).contains(&fits), "{fits} {left_out}");
        assert_eq!(tables.add("empty", Data::new(&["a"])), (0, 0));
    }
}
