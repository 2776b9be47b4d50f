//! From configured stages to nodes: edges checked, cycles reported, equal (variant, stage) pairs made one.

use std::collections::HashMap;

use petgraph::graph::{DiGraph, NodeIndex};

use super::{
    inputs::{Reference, connect},
    order,
    stage::{Configured, Stage},
};
use crate::{
    diag::{Diagnostic, SHOWN_OF_CIRCLE, circle},
    pipeline::{InputEdge, Node, NodeId, NodeInput},
};

/// Most edges of one pipeline: a gathering stage has one for each producer.
const MAX_EDGES: usize = 5_000_000;
/// Stands for a node that cannot be made, which has been reported.
const BROKEN: u32 = u32::MAX;

/// The graph, and `node_of[variant * stages + stage]`.
pub(crate) struct Linked {
    /// Nodes and edges.
    pub graph: DiGraph<Node, (), u32>,
    /// Which node a (variant, stage) pair is.
    pub node_of: Vec<Option<NodeId>>,
}

/// A node before its time: a configuration with its producers.
struct Proto {
    stage: u32,
    config: u32,
    /// One per input of the configuration.
    producers: Vec<Producers>,
    placements: Vec<(u32, u32)>,
}

#[derive(Clone)]
enum Producers {
    /// Proto and output.
    One(u32, usize),
    /// Index into the gathered lists.
    Gathered(usize),
}

/// One producer of a gathered input: proto, output, variants.
type GatheredEdge = (u32, usize, Vec<usize>);

/// Links the stages. `None` when anything was wrong.
pub(crate) fn link(
    stages: &[Stage<'_>],
    configured: &[Configured<'_>],
    variants: usize,
    problems: &mut Vec<Diagnostic>,
) -> Option<Linked> {
    let before = problems.len();
    let (order, in_cycle) = stage_order(stages, configured, problems);
    let mut linker = Linker {
        stages,
        configured,
        variants,
        protos: Vec::new(),
        proto_of: vec![BROKEN; variants * stages.len()],
        gathered: Vec::new(),
        gathered_of: HashMap::new(),
        problems,
    };
    for stage in order {
        linker.stage(stage, &in_cycle);
    }
    if linker.problems.len() > before || linker.proto_of.contains(&BROKEN) {
        return None;
    }
    linker.finish()
}

/// An order of the stages that suits all variants. An input may differ between variants, but the order may not.
fn stage_order(
    stages: &[Stage<'_>],
    configured: &[Configured<'_>],
    problems: &mut Vec<Diagnostic>,
) -> (Vec<usize>, Vec<bool>) {
    let mut edges: Vec<(u32, u32)> = Vec::new();
    for (consumer, stage) in configured.iter().enumerate() {
        for reference in stage.configs.iter().flat_map(|c| &c.inputs) {
            edges.push((reference.stage as u32, consumer as u32));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    let sorted = order::sort(stages.len(), &edges);
    for cycle in &sorted.cycles {
        let reads = |consumer: usize, producer: usize| -> Option<&Reference<'_>> {
            configured[consumer].configs.iter().flat_map(|c| &c.inputs).find(|r| r.stage == producer)
        };
        let name = |i: usize| stages[i].name;
        let path: Vec<&str> = cycle.iter().map(|&i| name(i)).collect();
        let message = if cycle.len() == 1 {
            format!("the stage `{}` reads its own output", path[0])
        } else {
            "stages read each other's outputs in a circle".to_owned()
        };
        let mut problem = Diagnostic::error("graph::cycle", message);
        let mut gathers = false;
        for (i, &producer) in cycle.iter().enumerate() {
            let consumer = cycle[(i + 1) % cycle.len()];
            let Some(reference) = reads(consumer, producer) else { continue };
            gathers |= reference.gather;
            if i < SHOWN_OF_CIRCLE {
                problem = problem.at(reference.span, format!("`{}` reads `{}`", name(consumer), name(producer)));
            }
        }
        let mut help = format!("the circle: {}", circle(&path));
        if gathers {
            help += "; `[*]` reads every variant, so a stage that it gathers cannot depend on the gathering one";
        }
        problems.push(problem.help(help));
    }
    (sorted.order, sorted.in_cycle)
}

struct Linker<'a> {
    stages: &'a [Stage<'a>],
    configured: &'a [Configured<'a>],
    variants: usize,
    protos: Vec<Proto>,
    proto_of: Vec<u32>,
    gathered: Vec<Vec<GatheredEdge>>,
    /// Gathered lists by stage and output name; `None` when broken.
    gathered_of: HashMap<(usize, Option<String>), Option<usize>>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Linker<'_> {
    fn proto(&self, variant: usize, stage: usize) -> u32 {
        self.proto_of[variant * self.stages.len() + stage]
    }

    /// Makes the stage's nodes; those of every stage it reads exist already, unless they are in a cycle.
    fn stage(&mut self, stage: usize, in_cycle: &[bool]) {
        let configured = &self.configured[stage];
        // Configuration and producers to proto. Producers that are gathered are the same for all variants.
        let mut known: HashMap<Box<[u32]>, u32> = HashMap::new();
        let mut key: Vec<u32> = Vec::new();
        for variant in 0..self.variants {
            let number = configured.number(variant);
            let config = &configured.configs[number];
            key.clear();
            key.push(number as u32);
            for input in config.inputs.iter().filter(|i| !i.gather) {
                let proto = self.proto(variant, input.stage);
                // Broken producers still differ by their configuration, against which the edge is checked.
                key.push(proto);
                if proto == BROKEN {
                    key.push(self.configured[input.stage].number(variant) as u32);
                }
            }
            let proto = if self.variants == 1 {
                self.make(stage, number, variant, in_cycle)
            } else if let Some(&proto) = known.get(key.as_slice()) {
                proto
            } else {
                let proto = self.make(stage, number, variant, in_cycle);
                known.insert(key.as_slice().into(), proto);
                proto
            };
            if proto != BROKEN {
                self.protos[proto as usize].placements.push((variant as u32, stage as u32));
            }
            self.proto_of[variant * self.stages.len() + stage] = proto;
        }
    }

    fn make(&mut self, stage: usize, number: usize, variant: usize, in_cycle: &[bool]) -> u32 {
        let configured = self.configured;
        let config = &configured[stage].configs[number];
        let Some(parsed) = &config.parsed else { return BROKEN };
        let mut producers = Vec::with_capacity(config.inputs.len());
        let mut broken = false;
        for input in &config.inputs {
            let producer = if input.gather {
                self.gather(input, &parsed.ports, in_cycle)
            } else {
                let producer = &configured[input.stage].configs[configured[input.stage].number(variant)];
                let output = producer.parsed.as_ref().and_then(|p| {
                    connect(input, &parsed.ports, (self.stages[input.stage].name, &p.ports), self.problems)
                });
                let proto = self.proto(variant, input.stage);
                output.filter(|_| proto != BROKEN).map(|output| Producers::One(proto, output))
            };
            match producer {
                Some(producer) => producers.push(producer),
                None => broken = true,
            }
        }
        if broken {
            return BROKEN;
        }
        self.protos.push(Proto { stage: stage as u32, config: number as u32, producers, placements: Vec::new() });
        self.protos.len() as u32 - 1
    }

    /// The producers of `stage[*]`, worked out once.
    fn gather(&mut self, input: &Reference<'_>, consumer: &crate::kind::Ports, in_cycle: &[bool]) -> Option<Producers> {
        let name = self.stages[input.stage].name;
        let mut outputs = Vec::new();
        for config in &self.configured[input.stage].configs {
            let before = self.problems.len();
            let parsed = config.parsed.as_ref();
            outputs.push(parsed.and_then(|p| connect(input, consumer, (name, &p.ports), self.problems)));
            if self.problems.len() > before {
                return None;
            }
        }
        if in_cycle[input.stage] {
            return None;
        }
        let key = (input.stage, input.output.clone());
        if let Some(known) = self.gathered_of.get(&key) {
            return known.map(Producers::Gathered);
        }
        let mut edges: Vec<GatheredEdge> = Vec::new();
        let mut index: HashMap<u32, usize> = HashMap::new();
        let mut complete = true;
        for variant in 0..self.variants {
            let proto = self.proto(variant, input.stage);
            let Some(output) = outputs[self.configured[input.stage].number(variant)].filter(|_| proto != BROKEN) else {
                complete = false;
                break;
            };
            let at = *index.entry(proto).or_insert_with(|| {
                edges.push((proto, output, Vec::new()));
                edges.len() - 1
            });
            edges[at].2.push(variant);
        }
        let list = complete.then(|| {
            self.gathered.push(edges);
            self.gathered.len() - 1
        });
        self.gathered_of.insert(key, list);
        list.map(Producers::Gathered)
    }

    fn finish(self) -> Option<Linked> {
        let Self { stages, configured, protos, proto_of, gathered, problems, .. } = self;
        let width = |s: &Producers| if let Producers::Gathered(list) = s { gathered[*list].len() } else { 1 };
        let edge_count: usize = protos.iter().flat_map(|p| &p.producers).map(width).sum();
        if edge_count > MAX_EDGES {
            let widest = protos.iter().max_by_key(|p| p.producers.iter().map(width).sum::<usize>())?;
            problems.push(
                Diagnostic::error("graph::too_large", format!("the pipeline has more than {MAX_EDGES} edges"))
                    .at(
                        stages[widest.stage as usize].spec.span,
                        "this stage gathers all variants, once for each variant",
                    )
                    .help("a stage that gathers should not depend on a factor"),
            );
            return None;
        }
        let mut graph: DiGraph<Node, (), u32> = DiGraph::with_capacity(protos.len(), edge_count);
        for proto in protos {
            let id = NodeIndex::new(graph.node_count());
            let spec = stages[proto.stage as usize].spec;
            let config = &configured[proto.stage as usize].configs[proto.config as usize];
            let parsed = config.parsed.as_ref()?;
            let mut inputs: Vec<NodeInput> = config
                .inputs
                .iter()
                .zip(&proto.producers)
                .map(|(reference, producer)| NodeInput {
                    port: reference.port.to_owned(),
                    gather: reference.gather,
                    edges: match producer {
                        Producers::One(node, output) => {
                            vec![InputEdge { node: NodeIndex::from(*node), output: *output, variants: Vec::new() }]
                        }
                        Producers::Gathered(list) => gathered[*list]
                            .iter()
                            .map(|(node, output, variants)| InputEdge {
                                node: NodeIndex::from(*node),
                                output: *output,
                                variants: variants.clone(),
                            })
                            .collect(),
                    },
                })
                .collect();
            // In the order of the kind's ports; further ones keep the order of the file.
            let rank = |port: &str| parsed.ports.inputs.iter().position(|p| p.name == port).unwrap_or(usize::MAX);
            inputs.sort_by_key(|input| rank(&input.port));
            let mut producers: Vec<NodeId> = inputs.iter().flat_map(|i| i.edges.iter().map(|e| e.node)).collect();
            producers.sort_unstable();
            producers.dedup();
            graph.add_node(Node {
                kind: parsed.kind.clone(),
                params: parsed.params.clone(),
                params_json: parsed.json.clone(),
                semantic: parsed.semantic.clone(),
                inputs,
                outputs: parsed.ports.outputs.clone(),
                folder: parsed.folder.clone(),
                placements: proto.placements,
                resources: spec.running.resources(),
                retry: spec.running.retry(),
                timeout: spec.running.timeout,
            });
            for producer in producers {
                graph.add_edge(producer, id, ());
            }
        }
        let node_of = proto_of.into_iter().map(|p| Some(NodeIndex::from(p))).collect();
        Some(Linked { graph, node_of })
    }
}
