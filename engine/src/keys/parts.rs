//! Keys and recipes as digests of their components, which are taken from the pipeline without copies.

use pipe_cache::{ArtifactRef, Digest, Hasher};
use serde_json::Value;

use super::{FORMAT, FileSource, KeyRecord, SourceContent, SourceRecord};
use crate::{
    context::{Increment, InputArtifact, InputRecord, MissingFrom},
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
    /// `artifacts[input][edge]`, in the order of `node.inputs` and their edges; `None` where its stage failed.
    artifact: &'a dyn Fn(usize, usize) -> Option<ArtifactRef>,
}

impl<'a> KeyParts<'a> {
    /// The parts of `node`'s key; `artifact(i, e)` is what edge `e` of input `i` delivers.
    pub fn new(
        pipeline: &'a Pipeline,
        node: &'a Node,
        sources: &'a [SourceRecord],
        artifact: &'a dyn Fn(usize, usize) -> Option<ArtifactRef>,
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

    /// The artifacts of one input: gathered ones with their variants, and in their order.
    pub fn artifacts(&self, input: usize) -> Vec<(ArtifactRef, Option<&'a Variant>)> {
        let there = |(edge, variant): (usize, Option<&'a Variant>)| Some(((self.artifact)(input, edge)?, variant));
        self.edges(input).into_iter().filter_map(there).collect()
    }

    /// The variants that give nothing to a gathered input, and how many stand before each.
    fn missing(&self, input: usize) -> Vec<(usize, &'a Variant)> {
        let edges = self.edges(input).into_iter().enumerate();
        let gone = edges.filter(|(_, (edge, _))| (self.artifact)(input, *edge).is_none());
        gone.filter_map(|(place, (_, variant))| Some((place, variant?))).collect()
    }

    /// The edges of one input; of a gathered one with each variant, in the order of these.
    fn edges(&self, input: usize) -> Vec<(usize, Option<&'a Variant>)> {
        let input = &self.node.inputs[input];
        if !input.gather {
            return (0..input.edges.len()).map(|edge| (edge, None)).collect();
        }
        let mut all: Vec<(usize, usize)> = (input.edges.iter().enumerate())
            .flat_map(|(edge, e)| e.variants.iter().map(move |&variant| (variant, edge)))
            .collect();
        all.sort_unstable();
        let variants: &'a [Variant] = &self.pipeline.variants;
        all.into_iter().map(|(variant, edge)| (edge, Some(&variants[variant]))).collect()
    }

    /// The record of a key of which some inputs are not known yet; those ports are left out.
    pub fn partial_record(
        pipeline: &Pipeline,
        node: &Node,
        sources: &[SourceRecord],
        artifact: &dyn Fn(usize, usize) -> Option<ArtifactRef>,
    ) -> KeyRecord {
        let complete = |i: usize| (0..node.inputs[i].edges.len()).all(|e| artifact(i, e).is_some());
        let parts = KeyParts::new(pipeline, node, sources, artifact);
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
                    hash_variant(&mut h, variant);
                }
            }
            let missing = self.missing(i);
            if !missing.is_empty() {
                h.str("missing").u64(missing.len() as u64);
                for (_, variant) in missing {
                    hash_variant(&mut h, variant);
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
                .map(|(artifact, variant)| InputArtifact { artifact, gathered: variant.map(Variant::gathered) })
                .collect(),
            missing: (self.missing(i).into_iter())
                .map(|(place, variant)| MissingFrom { place, variant: variant.gathered() })
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

fn hash_variant(h: &mut Hasher, variant: &Variant) {
    h.str(&variant.name).str(&variant.arm).u64(variant.factors.len() as u64);
    let mut factors: Vec<_> = variant.factors.iter().collect();
    factors.sort_by_key(|(name, _)| *name);
    for (name, value) in factors {
        h.str(name).json(value);
    }
}
