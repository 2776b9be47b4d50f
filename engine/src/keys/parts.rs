//! Keys and recipes as digests of their components, which are taken from the pipeline without copies.

use pipe_cache::{ArtifactRef, Digest, Hasher};
use serde_json::Value;

use super::{FORMAT, FileSource, KeyRecord, SourceContent, SourceRecord};
use crate::{
    context::{GatheredFrom, Increment, InputArtifact, InputRecord},
    pipeline::{Node, Pipeline, Variant},
};

const KEY_DOMAIN: &str = "pipe.key.v1";
const RECIPE_DOMAIN: &str = "pipe.recipe.v1";

/// A part of a key that a recipe may leave out.
#[derive(Clone, Copy)]
enum Component<'a> {
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

    fn hash(&self, domain: &str, version: u32, leaves_out: &dyn Fn(Component<'_>) -> bool) -> Digest {
        let mut h = Hasher::new(domain);
        h.str(self.node.kind.name()).u64(u64::from(version));
        match &*self.node.semantic {
            Value::Object(params) if params.keys().any(|name| leaves_out(Component::Param(name))) => {
                let kept = params.iter().filter(|(name, _)| !leaves_out(Component::Param(name)));
                h.json(&Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()));
            }
            params => {
                h.json(params);
            }
        }
        let kept = self.node.inputs.iter().filter(|i| !leaves_out(Component::Input(&i.port))).count();
        h.u64(kept as u64);
        for i in self.sorted_inputs() {
            let input = &self.node.inputs[i];
            if leaves_out(Component::Input(&input.port)) {
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
        self.hash(KEY_DOMAIN, self.node.kind.version(), &|_| false)
    }

    /// The recipe: what the memo is filed under and randomness is drawn from.
    pub fn recipe(&self) -> Digest {
        let (increment, afterwards) = (self.node.kind.increment(&self.node.params), self.node.kind.afterwards());
        self.hash(RECIPE_DOMAIN, self.node.kind.recipe_version(), &|component| match (component, increment) {
            (Component::Input(name), Increment::RowWise { primary: own })
            | (Component::Param(name), Increment::Stream { extent: own }) => name == own || afterwards.contains(&name),
            (Component::Input(name) | Component::Param(name), _) => afterwards.contains(&name),
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
