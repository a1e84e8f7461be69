//! Random graphs through the text form, the verifier, each pass, and differentiation.

use nnc::ir::Level;
use nnc::ir::text::{parse, print};
use nnc::ir::verify::verify;
use nnc::passes::{self, PIPELINE, autodiff::gradients};
use nnc::{
    ir::{Builder, Grad},
    ops,
};

use super::harness::{Sample, assert_same};
use super::random::{Kind, draw};

/// A different batch for every graph, of an awkward size.
fn batch(seed: u64) -> usize {
    [1, 2, 3, 5, 7, 8, 9][seed as usize % 7]
}

#[test]
fn random_graphs_keep_the_law_and_are_read_back() {
    for seed in 0..200 {
        let graph = draw(seed, Kind::Any, 24).computation;
        verify(&graph).unwrap_or_else(|fault| panic!("graph {seed}: {fault}"));
        let text = print(&graph, None);
        let back = parse(&text, ops::find).unwrap_or_else(|why| panic!("graph {seed}: {why}\n{text}"));
        assert_eq!(print(&back, None), text, "graph {seed}");
    }
}

#[test]
fn random_graphs_use_every_op() {
    let mut seen: Vec<&str> = Vec::new();
    for seed in 0..200 {
        let random = draw(seed, Kind::Any, 24);
        seen.extend(random.computation.graph.iter().map(|(_, node)| node.op.name));
        let mut b = Builder::on(random.computation.graph);
        gradients(&mut b, random.loss, &random.leaves);
        seen.extend(b.graph.iter().map(|(_, node)| node.op.name));
    }
    let drawn = ops::ALL.iter().filter(|op| !matches!(op.grad, Grad::Late)).map(|op| op.name);
    let missing: Vec<&str> = drawn.filter(|name| !seen.contains(name)).collect();
    // `batch` and `example` are for one size of batch: `graphs::batch` draws them. An order of nearly equal numbers
    // differs between f32 and f64.
    assert_eq!(
        missing,
        ["argmin", "argsort", "argument", "batch", "example", "floor", "max_pool2d_pick", "trunc"],
        "ops that no random graph has"
    );
}

#[test]
fn each_pass_keeps_the_values_of_random_graphs() {
    for seed in 0..200 {
        let random = draw(seed, Kind::Any, 24);
        let mut before = random.computation;
        let mut b = Builder::on(std::mem::take(&mut before.graph));
        let found = gradients(&mut b, random.loss, &random.leaves);
        before.graph = b.graph;
        let slopes = found.into_iter().enumerate().map(|(i, node)| (format!("slope {i}"), node));
        before.outputs.extend(slopes);
        let sample = Sample::draw(&before.graph, batch(seed), seed);
        for pass in PIPELINE {
            let note = format!("graph {seed} after {}", pass.name);
            let after = passes::run_pass(pass, before.clone())
                .unwrap_or_else(|fault| panic!("{note}: {}", fault.title));
            assert_same(&before, &after, &sample, 1e-9, &note);
            before = after;
        }
    }
}

#[test]
fn gradients_of_random_smooth_graphs_are_the_differences() {
    for seed in 0..60 {
        let random = draw(seed, Kind::Smooth, 10);
        let mut b = Builder::on(random.computation.graph);
        let found = gradients(&mut b, random.loss, &random.leaves);
        let sample = Sample::draw(&b.graph, 1 + seed as usize % 3, seed);
        for (leaf, gradient) in random.leaves.iter().zip(found) {
            let note = format!("graph {seed}");
            sample.check_gradient(&b.graph, random.loss, *leaf, gradient, &note);
        }
    }
}

#[test]
fn gradients_of_gradients_of_random_smooth_graphs_are_the_differences() {
    for seed in 100..125 {
        let random = draw(seed, Kind::Smooth, 5);
        let mut b = Builder::on(random.computation.graph);
        let first = gradients(&mut b, random.loss, &random.leaves);
        // The squared norm of all gradients; what is per example makes the whole sum per example.
        let mut norm = ops::constant(&mut b, 0.0);
        for slope in first {
            let axes: Vec<usize> = (0..b.shape(slope).rank()).collect();
            let square = ops::square(&mut b, slope);
            let mut term = ops::sum(&mut b, square, &axes);
            if b.graph[slope].level == Level::Each {
                term = ops::batch_sum(&mut b, term);
            }
            norm = ops::add(&mut b, norm, term);
        }
        let second = gradients(&mut b, norm, &random.leaves);
        let sample = Sample::draw(&b.graph, 2, seed);
        for (leaf, gradient) in random.leaves.iter().zip(second) {
            sample.check_gradient(&b.graph, norm, *leaf, gradient, &format!("graph {seed}"));
        }
    }
}
