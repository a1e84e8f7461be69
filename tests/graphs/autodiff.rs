//! Differentiation over the two levels, against finite differences of the interpreter.

use nnc::ir::computation::VariableId;
use nnc::ir::{Builder, Level, NodeId};
use nnc::ops;
use nnc::passes::autodiff::gradients;
use nnc::ty::{Shape, Type};

use super::harness::Sample;

fn variable(b: &mut Builder, id: u32, shape: &[usize]) -> NodeId {
    ops::variable(b, VariableId(id), &Shape::of(shape))
}

fn input(b: &mut Builder, index: usize, shape: &[usize]) -> NodeId {
    ops::input(b, index, &Type::f32(Shape::of(shape)))
}

fn check(b: &mut Builder, loss: NodeId, wrt: &[NodeId], note: &str) -> Vec<NodeId> {
    let found = gradients(b, loss, wrt);
    let sample = Sample::draw(&b.graph, 4, 5);
    for (leaf, gradient) in wrt.iter().zip(&found) {
        sample.check_gradient(&b.graph, loss, *leaf, *gradient, note);
    }
    found
}

fn sum_all(b: &mut Builder, x: NodeId) -> NodeId {
    let axes: Vec<usize> = (0..b.shape(x).rank()).collect();
    ops::sum(b, x, &axes)
}

fn names(b: &Builder, op: &str) -> Vec<NodeId> {
    b.graph.iter().filter(|(_, node)| node.op.name == op).map(|(id, _)| id).collect()
}

/// `tanh(x w + bias)` for a matrix `x` per example, so that the bias is repeated.
fn layer(b: &mut Builder) -> (Vec<NodeId>, NodeId) {
    let (x, w, bias) = (input(b, 0, &[3, 5]), variable(b, 0, &[5, 4]), variable(b, 1, &[4]));
    let product = ops::matmul(b, x, w);
    let repeated = ops::broadcast_like(b, bias, product);
    let sum = ops::add(b, product, repeated);
    let y = ops::tanh(b, sum);
    (vec![x, w, bias], y)
}

#[test]
fn a_layer_with_a_loss_per_example() {
    let mut b = Builder::default();
    let (wrt, y) = layer(&mut b);
    let loss = sum_all(&mut b, y);
    let found = check(&mut b, loss, &wrt, "layer");
    assert_eq!(b.graph[found[0]].level, Level::Each);
    // What is summed over the batch is as small as can be: the gradients of the weights and the bias.
    let sums: Vec<&[usize]> = names(&b, "batch_sum").iter().map(|id| &b.graph[*id].ty.shape[..]).collect();
    assert_eq!(sums, [&[4][..], &[5, 4][..]]);
}

#[test]
fn a_mean_over_the_batch_inside_the_loss() {
    // As batch normalisation does: each example's loss depends on all examples.
    let mut b = Builder::default();
    let (wrt, y) = layer(&mut b);
    let total = ops::batch_sum(&mut b, y);
    let count = ops::batch_size(&mut b);
    let count = ops::broadcast_like(&mut b, count, total);
    let mean = ops::div(&mut b, total, count);
    let centred = ops::sub(&mut b, y, mean);
    let square = ops::square(&mut b, centred);
    let scaled = ops::mul(&mut b, square, y);
    let loss = sum_all(&mut b, scaled);
    check(&mut b, loss, &wrt, "centred");
    let whole = ops::batch_sum(&mut b, loss);
    let whole = ops::square(&mut b, whole);
    check(&mut b, whole, &wrt, "centred, a Once loss");
}

#[test]
fn what_is_the_same_for_all_examples_counts_once_per_example() {
    let mut b = Builder::default();
    let (x, w) = (input(&mut b, 0, &[2]), variable(&mut b, 0, &[2]));
    // The gradient of `w` that comes from `x + w` is a constant; so is that from a sum over the batch of it.
    let sum = ops::add(&mut b, x, w);
    let loss = sum_all(&mut b, sum);
    check(&mut b, loss, &[x, w], "x + w");
    let repeated = ops::batch_sum(&mut b, w);
    let loss = sum_all(&mut b, repeated);
    check(&mut b, loss, &[w], "batch_sum of a variable");
}

#[test]
fn gradients_of_gradients() {
    let mut b = Builder::default();
    let (wrt, y) = layer(&mut b);
    let loss = sum_all(&mut b, y);
    let slope = gradients(&mut b, loss, &wrt[..1])[0];
    // A gradient penalty: per example the squared norm of the gradient by the input.
    let square = ops::square(&mut b, slope);
    let penalty = sum_all(&mut b, square);
    check(&mut b, penalty, &wrt, "penalty per example");
    let by_weight = gradients(&mut b, loss, &wrt[1..2])[0];
    let square = ops::square(&mut b, by_weight);
    let penalty = sum_all(&mut b, square);
    check(&mut b, penalty, &wrt, "penalty of the sum over the batch");
}

#[test]
fn no_path_means_zeros() {
    let mut b = Builder::default();
    let (x, w, v) = (input(&mut b, 0, &[2]), variable(&mut b, 0, &[2]), variable(&mut b, 1, &[3]));
    let stopped = ops::stop_gradient(&mut b, w);
    let product = ops::mul(&mut b, x, stopped);
    let loss = sum_all(&mut b, product);
    let found = gradients(&mut b, loss, &[w, v, loss]);
    let sample = Sample::draw(&b.graph, 3, 1);
    let values = sample.evaluate(&b.graph, &found);
    assert_eq!(values[0].of(0).data, [0.0; 2]);
    assert_eq!(values[1].of(0).data, [0.0; 3]);
    assert_eq!(values[2].of(0).data, [1.0]);
}

#[test]
fn new_nodes_name_the_layer_they_differentiate() {
    let mut b = Builder { scope: "Net.first".into(), ..Builder::default() };
    let (wrt, y) = layer(&mut b);
    b.scope = "loss".into();
    let loss = sum_all(&mut b, y);
    let forward = b.graph.len();
    gradients(&mut b, loss, &wrt);
    assert_eq!(b.scope, "loss");
    let scopes: Vec<&str> = b.graph.iter().skip(forward).map(|(_, node)| node.scope.as_str()).collect();
    assert!(scopes.contains(&"Net.first") && scopes.contains(&"loss"), "{scopes:?}");
}
