//! Where rows come from: ids carry it, and nothing is guessed.
//!
//! A row that a model wrote has the ids of its demonstrations in the column `demonstrations`, and its passages in
//! `passages`; what they are stands in the tables that its stage was given. A row keeps its `id` from stage to stage.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use pipe_cache::{ArtifactKind, ArtifactRef, Digest, StoreError};
use pipe_engine::pipeline::NodeId;
use serde_json::{Map, Value};

use pipe_report::Comparison;

use super::{Looked, read};

/// A table whose rows have ids.
pub(super) struct Keyed {
    pub rows: RecordBatch,
    pub places: HashMap<String, usize>,
    pub digest: Digest,
}

impl Keyed {
    /// A table with a column `id`.
    pub(super) fn new(rows: RecordBatch, digest: Digest) -> Self {
        let mut keyed = Self { rows, places: HashMap::new(), digest };
        let ids = keyed.texts("id").unwrap_or_default();
        keyed.places = ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        keyed
    }

    /// One row; without what is null.
    pub(super) fn row(&self, place: usize) -> Map<String, Value> {
        let rows = read::objects(&self.rows.slice(place, 1));
        // A type that JSON has no word for is said in the row's place.
        let problem = |why: String| Map::from_iter([("not shown".to_owned(), Value::from(why))]);
        rows.map_or_else(problem, |rows| rows.into_iter().next().unwrap_or_default())
    }

    /// A column as texts.
    pub(super) fn texts(&self, column: &str) -> Option<Vec<String>> {
        let texts = cast(self.rows.column_by_name(column)?, &DataType::Utf8).ok()?;
        Some(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    }
}

/// A row in a table that a stage has made.
#[derive(Clone)]
pub(super) struct Found {
    pub node: NodeId,
    pub table: Rc<Keyed>,
    pub place: usize,
}

/// What a row comes from.
pub(super) struct Origin {
    /// `demonstration of instructions`, `passage`.
    pub how: String,
    pub id: String,
    /// The row; `None` where no table has it.
    pub found: Option<Found>,
    /// Its text, where that is carried along.
    pub text: Option<String>,
}

/// Follows rows through the results of a pipeline. Tables are read once.
pub(super) struct Lineage<'a, 'b> {
    pub looked: &'b Looked<'a>,
    tables: RefCell<BTreeMap<Digest, Option<Rc<Keyed>>>>,
}

impl<'a, 'b> Lineage<'a, 'b> {
    pub(super) fn new(looked: &'b Looked<'a>) -> Self {
        Self { looked, tables: RefCell::default() }
    }

    /// A table whose rows have ids; `None` for any other artifact.
    pub(super) fn keyed(&self, artifact: &ArtifactRef) -> Result<Option<Rc<Keyed>>, StoreError> {
        if artifact.kind != ArtifactKind::Table {
            return Ok(None);
        }
        if let Some(known) = self.tables.borrow().get(&artifact.digest) {
            return Ok(known.clone());
        }
        let has_id = self.looked.schema(artifact)?.field_with_name("id").is_ok();
        let read = has_id.then(|| self.looked.table(artifact)).transpose()?;
        let read = read.map(|rows| Rc::new(Keyed::new(rows, artifact.digest)));
        self.tables.borrow_mut().insert(artifact.digest, read.clone());
        Ok(read)
    }

    /// The tables with ids that a node has made.
    pub(super) fn made(&self, node: NodeId) -> Result<Vec<Rc<Keyed>>, StoreError> {
        let Some(entry) = self.looked.entry(node) else { return Ok(Vec::new()) };
        let tables = entry.outputs.iter().map(|(_, artifact)| self.keyed(artifact));
        Ok(tables.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The items of a node: the first table with ids and any of the metrics.
    pub(super) fn scored(&self, node: NodeId, comparison: &Comparison) -> Result<Option<Rc<Keyed>>, StoreError> {
        let has_metric = |table: &Rc<Keyed>| {
            comparison.metrics.iter().any(|metric| table.rows.column_by_name(&metric.name).is_some())
        };
        Ok(self.made(node)?.into_iter().find(has_metric))
    }

    /// The tables with ids that a node was given, and who made them.
    pub(super) fn given(&self, node: NodeId) -> Result<Vec<(NodeId, Rc<Keyed>)>, StoreError> {
        let mut given = Vec::new();
        for edge in self.looked.pipeline.graph[node].inputs.iter().flat_map(|input| &input.edges) {
            let artifact = self.looked.entry(edge.node).map(|entry| entry.outputs[edge.output].1);
            if let Some(table) = artifact.map(|artifact| self.keyed(&artifact)).transpose()?.flatten() {
                given.push((edge.node, table));
            }
        }
        Ok(given)
    }

    /// What the model behind an adapter was trained on: who made the rows, and the rows. `None` where a node has no
    /// adapter.
    pub(super) fn trained_on(&self, node: NodeId) -> Result<Option<(NodeId, Rc<Keyed>)>, StoreError> {
        let graph = &self.looked.pipeline.graph;
        let input = |node: NodeId, port: &str| {
            graph[node].inputs.iter().find(|input| input.port == port).and_then(|input| input.edges.first())
        };
        let Some(adapter) = input(node, "adapter") else { return Ok(None) };
        let Some(examples) = input(adapter.node, "examples") else { return Ok(None) };
        let artifact = self.looked.entry(examples.node).map(|entry| entry.outputs[examples.output].1);
        let table = artifact.map(|artifact| self.keyed(&artifact)).transpose()?.flatten();
        Ok(table.map(|table| (examples.node, table)))
    }

    /// What a row comes from, of everything that a node stands on: demonstrations of each stage that the row went
    /// through, then passages.
    pub(super) fn origins(&self, node: NodeId, id: &str) -> Result<Vec<Origin>, StoreError> {
        let upstream = self.looked.pipeline.upstream([node]);
        let (mut origins, mut passages): (Vec<Origin>, Vec<Origin>) = (Vec::new(), Vec::new());
        for of in (0..upstream.len()).filter(|&of| upstream[of]).map(NodeId::new) {
            for table in self.made(of)? {
                let Some(&place) = table.places.get(id) else { continue };
                self.origins_in(of, &table.row(place), &mut origins, &mut passages)?;
            }
        }
        origins.extend(passages);
        Ok(origins)
    }

    fn origins_in(
        &self,
        node: NodeId,
        row: &Map<String, Value>,
        origins: &mut Vec<Origin>,
        passages: &mut Vec<Origin>,
    ) -> Result<(), StoreError> {
        let list = |name: &str| row.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let (demonstrations, shown) = (list("demonstrations"), list("passages"));
        if demonstrations.is_empty() && shown.is_empty() {
            return Ok(());
        }
        let given = self.given(node)?;
        let find = |id: &str| {
            given.iter().find_map(|(node, table)| {
                Some(Found { node: *node, table: Rc::clone(table), place: *table.places.get(id)? })
            })
        };
        let stage = &self.looked.pipeline.stages[self.looked.stage_of(node)].name;
        for id in demonstrations.iter().filter_map(Value::as_str) {
            // A stage that only carries the column along was not given what it names.
            let Some(found) = find(id) else { continue };
            let how = format!("demonstration of {stage}");
            if !origins.iter().any(|origin| origin.how == how && origin.id == id) {
                origins.push(Origin { how, id: id.to_owned(), found: Some(found), text: None });
            }
        }
        for passage in &shown {
            let text = |name: &str| passage.get(name).and_then(Value::as_str).map(str::to_owned);
            let Some(id) = text("id").filter(|id| !passages.iter().any(|known| known.id == *id)) else { continue };
            passages.push(Origin { how: "passage".to_owned(), found: find(&id), text: text("text"), id });
        }
        Ok(())
    }
}
