//! Nodes and edges.

use crate::support::{nodes, resolved};

const TEXT: &str = "\
pipeline: p
vars: { n: 5, model: m }
ablate: { n: [10, 20], model: [x] }
stages:
  report: { kind: report, inputs: { all: \"scores[*]\", first: comparison, second: pool } }
  comparison: { kind: compare, inputs: { scores: \"scores[*]\" } }
  pool: { kind: table, params: { path: a } }
  seeds: { kind: sample, inputs: { pool: pool }, params: { count: 3 } }
  made: { kind: generate, inputs: { seeds: seeds }, params: { model: fixed, count: \"${n}\" } }
  scores: { kind: evaluate, inputs: { items: made.yield }, params: { model: \"${model}\" } }
";

#[test]
fn equal_stages_of_different_variants_are_one_node() {
    let pipeline = resolved(TEXT);
    let names: Vec<&str> = pipeline.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["baseline", "n=10", "n=20", "model=x"]);
    let distinct = |stage: &str| {
        let index = pipeline.stages.iter().position(|s| s.name == stage).unwrap();
        (0..4).map(|v| pipeline.node(v, index).unwrap().index()).collect::<Vec<_>>()
    };
    assert_eq!(distinct("pool"), [0, 0, 0, 0]);
    assert_eq!(distinct("seeds"), [1, 1, 1, 1]);
    assert_eq!(distinct("made"), [2, 3, 4, 2], "the model is not what `made` uses");
    assert_eq!(distinct("scores"), [5, 6, 7, 8]);
    assert_eq!(distinct("comparison"), [9, 9, 9, 9], "gathering makes one of all variants");
    assert_eq!(distinct("report"), [10, 10, 10, 10]);
    assert_eq!(pipeline.graph.node_count(), 11);
    for (id, node) in pipeline.graph.node_indices().zip(pipeline.graph.node_weights()) {
        assert!(!node.placements.is_empty());
        for &(variant, stage) in &node.placements {
            assert_eq!(pipeline.node(variant as usize, stage as usize), Some(id));
        }
    }
}

#[test]
fn edges_go_from_lower_to_higher_nodes_whatever_the_order_of_the_file() {
    let rising = |text: &str| {
        let pipeline = resolved(text);
        assert!(pipeline.graph.edge_count() > 0);
        for (from, to) in pipeline.graph.edge_indices().filter_map(|edge| pipeline.graph.edge_endpoints(edge)) {
            assert!(from < to, "{from:?} -> {to:?} in {text}");
        }
        for (id, node) in pipeline.graph.node_indices().zip(pipeline.graph.node_weights()) {
            let mut producers: Vec<_> = node.inputs.iter().flat_map(|i| &i.edges).map(|e| e.node).collect();
            producers.sort_unstable();
            producers.dedup();
            let mut edges: Vec<_> = pipeline.graph.neighbors_directed(id, petgraph::Direction::Incoming).collect();
            edges.sort_unstable();
            assert_eq!(producers, edges, "inputs and edges agree");
        }
    };
    rising(TEXT);
    let chain = |order: &mut dyn Iterator<Item = usize>| {
        let stage = |i: usize| match i {
            0 => "  s0: { kind: table, params: { path: a } }\n".to_owned(),
            i => {
                format!("  s{i}: {{ kind: sample, inputs: {{ pool: s{} }}, params: {{ count: \"${{n}}\" }} }}\n", i - 1)
            }
        };
        "pipeline: p\nvars: { n: 1 }\nablate: { n: [2, 3] }\nstages:\n".to_owned()
            + &order.map(stage).collect::<String>()
    };
    rising(&chain(&mut (0..9)));
    rising(&chain(&mut (0..9).rev()));
    rising(&chain(&mut [4, 8, 0, 6, 2, 1, 7, 3, 5].into_iter()));
}

#[test]
fn upstream_and_downstream_hold_the_node_itself() {
    let pipeline = resolved(TEXT);
    let marked = |marks: Vec<bool>| (0..marks.len()).filter(|&n| marks[n]).collect::<Vec<_>>();
    let node = |n: usize| pipe_engine::pipeline::NodeId::new(n);
    assert_eq!(marked(pipeline.upstream([node(6)])), [0, 1, 3, 6]);
    assert_eq!(marked(pipeline.downstream([node(6)])), [6, 9, 10]);
    assert_eq!(marked(pipeline.upstream([node(3), node(4)])), [0, 1, 3, 4]);
    assert_eq!(marked(pipeline.downstream([node(0)])), (0..11).collect::<Vec<_>>());
    assert_eq!(marked(pipeline.upstream([])), [0_usize; 0]);
}

#[test]
fn gathered_inputs_name_their_variants() {
    let pipeline = resolved(TEXT);
    let input = &nodes(&pipeline, "report")[0].inputs[0];
    assert!(input.gather);
    assert_eq!(input.port, "all");
    let edges: Vec<_> = input.edges.iter().map(|e| (e.node.index(), e.variants.clone())).collect();
    assert_eq!(edges, [(5, vec![0]), (6, vec![1]), (7, vec![2]), (8, vec![3])]);
    let shared = resolved(&TEXT.replace("scores[*]", "made[*]"));
    let input = &nodes(&shared, "comparison")[0].inputs[0];
    let edges: Vec<_> = input.edges.iter().map(|e| e.variants.clone()).collect();
    assert_eq!(edges, [vec![0, 3], vec![1], vec![2]]);
}

#[test]
fn outputs_and_ports() {
    let pipeline = resolved(TEXT);
    assert_eq!(nodes(&pipeline, "scores")[0].inputs[0].edges[0].output, 1, "`yield` is the second output");
    let report = nodes(&pipeline, "report")[0];
    assert_eq!(report.inputs.iter().map(|i| i.port.as_str()).collect::<Vec<_>>(), ["all", "first", "second"]);
    let text = "pipeline: p\nstages:\n  t: { kind: table, params: { path: a } }\n  \
                g: { kind: generate, inputs: { passages: t, seeds: t }, params: { model: m, count: 1 } }\n";
    let pipeline = resolved(text);
    let ports: Vec<&str> = nodes(&pipeline, "g")[0].inputs.iter().map(|i| i.port.as_str()).collect();
    assert_eq!(ports, ["seeds", "passages"], "in the kind's order");
    assert_eq!(pipeline.graph.edge_count(), 1, "one edge for each pair of nodes");
}

#[test]
fn different_values_with_the_same_effect_are_one_node() {
    let pipeline = resolved(
        "pipeline: p\nvars: { t: 1, q: expert }\nablate: { t: [1.0, 2], q: [noisy] }\nstages:\n  \
         pool: { kind: table, params: { path: a } }\n  \
         g: { kind: generate, inputs: { seeds: pool }, params: { model: '${q}', count: 1, temperature: \"${t}\" } }\n",
    );
    assert_eq!(nodes(&pipeline, "g").len(), 3);
    assert_eq!(pipeline.graph.node_count(), 4);
}

#[test]
fn operational_parameters_are_not_semantic() {
    let pipeline = resolved(
        "pipeline: p\nstages:\n  pool: { kind: table, params: { path: a } }\n  \
         g: { kind: generate, inputs: { seeds: pool }, params: { model: m, count: 1, batch_size: 8 }, \
         resources: { cpu: 2, gpu: 1, memory: 4GB }, retries: 2, backoff: 5s, timeout: 1h30m }\n",
    );
    let node = nodes(&pipeline, "g")[0];
    assert_eq!(node.params_json["batch_size"], 8);
    assert!(node.semantic.get("batch_size").is_none());
    assert_eq!(node.semantic["stop"], serde_json::json!([]), "defaults are filled in");
    assert_eq!((node.resources.cpu, node.resources.gpu, node.resources.memory), (2, 1, 4_000_000_000));
    assert_eq!((node.retry.retries, node.retry.backoff.as_secs()), (2, 5));
    assert_eq!(node.timeout.map(|t| t.as_secs()), Some(5400));
}
