//! A topological order that follows the file where it can, and the cycles that stand in its way.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use petgraph::{
    Direction::Outgoing,
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};

/// What [`sort`] found.
pub(crate) struct Sorted {
    /// All nodes; each comes after its predecessors, except within a cycle.
    pub order: Vec<usize>,
    /// A shortest cycle of each knot of cycles, along the edges, beginning with its smallest index.
    pub cycles: Vec<Vec<usize>>,
    /// Whether a node is part of a knot.
    pub in_cycle: Vec<bool>,
}

/// Sorts the graph of `count` nodes with these edges, each given once. Not recursive: a chain may be as long as a file
/// can hold.
pub(crate) fn sort(count: usize, edges: &[(u32, u32)]) -> Sorted {
    let mut graph = DiGraph::<(), (), u32>::with_capacity(count, edges.len());
    for _ in 0..count {
        graph.add_node(());
    }
    graph.extend_with_edges(edges);
    let mut knot = vec![usize::MAX; count];
    let mut cycles = Vec::new();
    for (i, nodes) in kosaraju_scc(&graph).iter().enumerate() {
        if nodes.len() > 1 || graph.contains_edge(nodes[0], nodes[0]) {
            for node in nodes {
                knot[node.index()] = i;
            }
            cycles.extend(nodes.iter().min().map(|&start| shortest_cycle(&graph, start, &knot)));
        }
    }
    cycles.sort();
    let same_knot = |a: usize, b: usize| knot[a] == knot[b] && knot[a] != usize::MAX;
    let mut waiting = vec![0_u32; count];
    for edge in graph.edge_references() {
        if !same_knot(edge.source().index(), edge.target().index()) {
            waiting[edge.target().index()] += 1;
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..count).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for next in graph.neighbors_directed(NodeIndex::new(node), Outgoing).map(NodeIndex::index) {
            if !same_knot(node, next) {
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    ready.push(Reverse(next));
                }
            }
        }
    }
    Sorted { order, cycles, in_cycle: knot.iter().map(|&k| k != usize::MAX).collect() }
}

/// Breadth first from `start` back to it, within its knot.
fn shortest_cycle(graph: &DiGraph<(), (), u32>, start: NodeIndex, knot: &[usize]) -> Vec<usize> {
    let mut from = vec![None; graph.node_count()];
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        if graph.contains_edge(node, start) {
            let mut path = vec![node.index()];
            let mut at = node;
            while at != start {
                at = from[at.index()].expect("every node but the start was reached from another");
                path.push(at.index());
            }
            path.reverse();
            return path;
        }
        for next in graph.neighbors_directed(node, Outgoing) {
            if next != start && knot[next.index()] == knot[start.index()] && from[next.index()].is_none() {
                from[next.index()] = Some(node);
                open.push_back(next);
            }
        }
    }
    unreachable!("a node of a knot is on a cycle")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(u32, u32)], order: &[usize], cycles: &[&[usize]]) {
        let last = edges.iter().map(|&(a, b)| a.max(b)).max().unwrap_or(0);
        let sorted = sort(last as usize + 1, edges);
        assert_eq!(sorted.order, order, "{edges:?}");
        assert_eq!(sorted.cycles, cycles, "{edges:?}");
    }

    #[test]
    fn orders_and_cycles() {
        check(&[(2, 0), (0, 1)], &[2, 0, 1], &[]);
        check(&[(0, 3), (1, 3), (2, 3)], &[0, 1, 2, 3], &[]);
        check(&[(0, 0), (0, 1)], &[0, 1], &[&[0]]);
        check(&[(0, 1), (1, 2), (2, 0), (1, 0)], &[0, 1, 2], &[&[0, 1]]);
        check(&[(0, 1), (1, 0), (2, 3), (3, 2)], &[0, 1, 2, 3], &[&[0, 1], &[2, 3]]);
    }

    #[test]
    fn long_chains_are_no_recursion() {
        let edges: Vec<(u32, u32)> = (0..199_999).map(|i| (i, i + 1)).collect();
        assert_eq!(sort(200_000, &edges).order.len(), 200_000);
    }
}
