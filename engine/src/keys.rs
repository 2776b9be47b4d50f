//! Keys: when is a stage's result reusable? (I4 to I8)
//!
//! A key is the digest of what the result depends on, and of nothing else. [`KeyRecord`] is the whole list, version 1:
//!
//! | field | hashed as |
//! |---|---|
//! | `kind`, `version` | text, number |
//! | `params` | canonical JSON: defaults filled in, operational parameters left out |
//! | `inputs`, sorted by port | port, then the logical digest of each input; for gathered inputs with variant, arm and factors, which become columns |
//! | `sources`, in the kind's order | label, then content digest, or the value |
//!
//! The hash of another list, or of the same fields in another encoding, needs another [`FORMAT`]. The *recipe* is the same
//! digest without what the engine can extend row by row (the primary input of a row-wise kind, the extent of a stream kind), and without
//! what a kind applies to the rows afterwards ([`StageKind::AFTERWARDS`](crate::kind::StageKind::AFTERWARDS)).

use std::collections::BTreeMap;

use pipe_cache::{ArtifactRef, Digest, Hasher};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    kind::Increment,
    pipeline::{Node, Pipeline, Variant},
};

/// Version of the key's encoding; part of the domain that is hashed first.
pub const FORMAT: u32 = 1;
const KEY_DOMAIN: &str = "pipe.key.v1";
const RECIPE_DOMAIN: &str = "pipe.recipe.v1";

/// Every component of a key, readable. Kept in the manifest, so that `why` can compare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The kind's name.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// Semantic parameters, defaults filled in.
    pub params: Value,
    /// Connected inputs, sorted by port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputRecord>,
    /// Content outside the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRecord>,
}

/// One connected input port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The port.
    pub port: String,
    /// One artifact; for a gathered input one per variant, in the order of the variants.
    pub artifacts: Vec<InputArtifact>,
}

/// One artifact of an input. Only `artifact.digest` and `gathered` are part of the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputArtifact {
    /// The artifact. Its object is kept so that the rows of two runs can be compared.
    #[serde(flatten)]
    pub artifact: ArtifactRef,
    /// Which variant it came from, for a gathered input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathered: Option<GatheredFrom>,
}

/// The variant that a gathered artifact came from; becomes columns of the gathered table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatheredFrom {
    /// The variant's name.
    pub variant: String,
    /// Its arm: the name without replicate factors.
    pub arm: String,
    /// All its factors, by name.
    pub factors: BTreeMap<String, Value>,
}

/// Something outside the store that the result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The name that the kind gave it.
    pub label: String,
    /// What it is.
    #[serde(flatten)]
    pub content: SourceContent,
}

/// The content of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceContent {
    /// Digest of a file or directory.
    Content(Digest),
    /// The files that a pattern matched, in the order of their names.
    Files(Vec<FileSource>),
    /// A value that stands for itself.
    Value(Value),
    /// An environment variable, `None` when it is not set.
    Env(Option<String>),
}

/// One of the files that a pattern matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// Its content.
    pub digest: Digest,
    /// Its name, where the kind says that the name matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A part of a key that a recipe may leave out.
#[derive(Clone, Copy)]
enum Part<'a> {
    Input(&'a str),
    Param(&'a str),
}

/// The key's components as they lie in the pipeline, without copies: what the hot path hashes.
pub struct KeyParts<'a> {
    pipeline: &'a Pipeline,
    node: &'a Node,
    sources: &'a [SourceRecord],
    /// `artifacts[input][edge]`, in the order of `node.inputs` and their edges.
    artifact: &'a dyn Fn(usize, usize) -> ArtifactRef,
}

impl<'a> KeyParts<'a> {
    /// The parts of `node`'s key; `artifact(i, e)` is what edge `e` of input `i` delivers.
    pub fn new(
        pipeline: &'a Pipeline,
        node: &'a Node,
        sources: &'a [SourceRecord],
        artifact: &'a dyn Fn(usize, usize) -> ArtifactRef,
    ) -> Self {
        Self { pipeline, node, sources, artifact }
    }

    /// Inputs in the order in which they are hashed: by port, whatever order the file has.
    fn sorted_inputs(&self) -> impl Iterator<Item = usize> {
        let inputs = &self.node.inputs;
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by(|&a, &b| inputs[a].port.cmp(&inputs[b].port));
        order.into_iter()
    }

    /// The artifacts of one input: `(edge, variant)`, gathered ones in the order of the variants.
    pub fn artifacts(&self, input: usize) -> Vec<(ArtifactRef, Option<&'a Variant>)> {
        let input_ref = &self.node.inputs[input];
        if !input_ref.gather {
            return (0..input_ref.edges.len()).map(|edge| ((self.artifact)(input, edge), None)).collect();
        }
        let mut all: Vec<(usize, usize)> = (input_ref.edges.iter().enumerate())
            .flat_map(|(edge, e)| e.variants.iter().map(move |&variant| (variant, edge)))
            .collect();
        all.sort_unstable();
        let variants: &'a [Variant] = &self.pipeline.variants;
        all.into_iter().map(|(v, edge)| ((self.artifact)(input, edge), Some(&variants[v]))).collect()
    }

    /// The record of a key of which some inputs are not known yet; those ports are left out.
    pub fn partial_record(
        pipeline: &Pipeline,
        node: &Node,
        sources: &[SourceRecord],
        artifact: &dyn Fn(usize, usize) -> Option<ArtifactRef>,
    ) -> KeyRecord {
        let complete = |i: usize| (0..node.inputs[i].edges.len()).all(|e| artifact(i, e).is_some());
        let known = |i: usize, e: usize| artifact(i, e).expect("only complete inputs are asked");
        let parts = KeyParts::new(pipeline, node, sources, &known);
        parts.record_of(parts.sorted_inputs().filter(|&i| complete(i)))
    }

    fn hash(&self, domain: &str, leaves_out: &dyn Fn(Part<'_>) -> bool) -> Digest {
        let mut h = Hasher::new(domain);
        h.str(self.node.kind.name()).u64(u64::from(self.node.kind.version()));
        match &*self.node.semantic {
            Value::Object(params) if params.keys().any(|name| leaves_out(Part::Param(name))) => {
                let kept = params.iter().filter(|(name, _)| !leaves_out(Part::Param(name)));
                h.json(&Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()));
            }
            params => {
                h.json(params);
            }
        }
        let kept = self.node.inputs.iter().filter(|i| !leaves_out(Part::Input(&i.port))).count();
        h.u64(kept as u64);
        for i in self.sorted_inputs() {
            let input = &self.node.inputs[i];
            if leaves_out(Part::Input(&input.port)) {
                continue;
            }
            let artifacts = self.artifacts(i);
            h.str(&input.port).u64(artifacts.len() as u64);
            for (artifact, variant) in artifacts {
                h.digest(&artifact.digest).u64(u64::from(variant.is_some()));
                if let Some(variant) = variant {
                    h.str(&variant.name).str(&variant.arm).u64(variant.factors.len() as u64);
                    let mut factors: Vec<_> = variant.factors.iter().collect();
                    factors.sort_by_key(|(name, _)| *name);
                    for (name, value) in factors {
                        h.str(name).json(value);
                    }
                }
            }
        }
        h.u64(self.sources.len() as u64);
        for source in self.sources {
            h.str(&source.label);
            match &source.content {
                SourceContent::Content(digest) => h.str("content").digest(digest),
                SourceContent::Files(files) => {
                    h.str("files").u64(files.len() as u64);
                    for FileSource { digest, name } in files {
                        h.digest(digest).u64(u64::from(name.is_some())).str(name.as_deref().unwrap_or_default());
                    }
                    &mut h
                }
                SourceContent::Value(value) => h.str("value").json(value),
                SourceContent::Env(Some(value)) => h.str("env").str(value),
                SourceContent::Env(None) => h.str("unset"),
            };
        }
        h.finish()
    }

    /// The key.
    pub fn key(&self) -> Digest {
        self.hash(KEY_DOMAIN, &|_| false)
    }

    /// The recipe: what the memo is filed under and randomness is drawn from.
    pub fn recipe(&self) -> Digest {
        let (increment, afterwards) = (self.node.kind.increment(), self.node.kind.afterwards());
        self.hash(RECIPE_DOMAIN, &|part| match (part, increment) {
            (Part::Input(name), Increment::RowWise { primary: own })
            | (Part::Param(name), Increment::Stream { extent: own }) => name == own || afterwards.contains(&name),
            (Part::Input(name) | Part::Param(name), _) => afterwards.contains(&name),
        })
    }

    /// The readable record.
    pub fn record(&self) -> KeyRecord {
        self.record_of(self.sorted_inputs())
    }

    fn record_of(&self, inputs: impl Iterator<Item = usize>) -> KeyRecord {
        let inputs = inputs.map(|i| InputRecord {
            port: self.node.inputs[i].port.clone(),
            artifacts: (self.artifacts(i).into_iter())
                .map(|(artifact, variant)| InputArtifact {
                    artifact,
                    gathered: variant.map(|v| GatheredFrom {
                        variant: v.name.clone(),
                        arm: v.arm.clone(),
                        factors: v.factors.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
                    }),
                })
                .collect(),
        });
        KeyRecord {
            format: FORMAT,
            kind: self.node.kind.name().to_owned(),
            version: self.node.kind.version(),
            params: (*self.node.semantic).clone(),
            inputs: inputs.collect(),
            sources: self.sources.to_vec(),
        }
    }
}
