//! Gradient rules against central finite differences in f64: whole Jacobians, and second derivatives.

use std::collections::HashMap;

use nnc::ir::{Array, Builder, Case, NodeId, Op};
use nnc::ops::{self, Windows};
use nnc::ty::{DType, Shape, Type};

use super::harness::{Noise, all_cases, apply, close, difference, evaluate, gradients};

/// Values for leaves of these types.
fn sample(b: &Builder, leaves: &[NodeId], range: (f64, f64), noise: &mut Noise) -> HashMap<NodeId, Array> {
    leaves.iter().map(|leaf| (*leaf, noise.array(b.ty(*leaf), range))).collect()
}

/// The leaves that can have a gradient.
fn floats(b: &Builder, leaves: &[NodeId]) -> Vec<NodeId> {
    leaves.iter().copied().filter(|leaf| b.ty(*leaf).dtype == DType::F32).collect()
}

/// A fresh leaf of the shape of a node.
fn leaf_like(b: &mut Builder, like: NodeId, number: usize) -> NodeId {
    let shape = b.shape(like).clone();
    ops::input(b, number, &Type::f32(shape))
}

/// The value of `node` when the element of a leaf is moved.
fn moved(
    b: &Builder,
    values: &HashMap<NodeId, Array>,
    leaf: NodeId,
    element: usize,
    by: f64,
    node: NodeId,
) -> Array {
    let mut values = values.clone();
    if let Some(array) = values.get_mut(&leaf) {
        array.data[element] += by;
    }
    evaluate(&b.graph, &values).swap_remove(node.index())
}

fn check_jacobian(op: &'static Op, number: usize, case: &Case) {
    let forward = apply(op, case);
    let mut noise = Noise::new(100 + number as u64);
    let wrt = floats(&forward.builder, &forward.leaves);
    let mut values = sample(&forward.builder, &forward.leaves, case.range, &mut noise);

    let mut with_gradients = apply(op, case);
    let b = &mut with_gradients.builder;
    let seed = leaf_like(b, with_gradients.node, 100);
    let slopes = gradients(b, with_gradients.node, seed, &wrt);

    let shape = b.shape(with_gradients.node).clone();
    let mut rows = Vec::new();
    for j in 0..shape.elements() {
        let mut one = Array::from_fn(&shape, |_| 0.0);
        one.data[j] = 1.0;
        values.insert(seed, one);
        let all = evaluate(&b.graph, &values);
        rows.push(slopes.iter().map(|slope| all[slope.index()].clone()).collect::<Vec<_>>());
    }
    values.remove(&seed);
    for (k, leaf) in wrt.iter().enumerate() {
        for i in 0..b.shape(*leaf).elements() {
            let at = |by: f64| moved(&forward.builder, &values, *leaf, i, by, forward.node);
            let h = 1e-4;
            let [p1, m1, p2, m2] = [at(h), at(-h), at(2.0 * h), at(-2.0 * h)];
            for (j, row) in rows.iter().enumerate() {
                let numeric = (8.0 * (p1.data[j] - m1.data[j]) - (p2.data[j] - m2.data[j])) / (12.0 * h);
                let exact = row[k].data[i];
                assert!(
                    close(numeric, exact, 1e-7),
                    "{} case {number}: d result[{j}] / d input {k}[{i}] is {numeric} by differences, {exact} by rule",
                    op.name
                );
            }
        }
    }
}

#[test]
fn every_gradient_rule_against_a_full_jacobian() {
    for (op, i, case) in all_cases().filter(|(_, _, case)| case.differentiable) {
        check_jacobian(op, i, &case);
    }
}

/// Compares the second derivative along a random direction with differences of the first:
/// `t = sum over leaves of direction * d (seed . op) / d leaf`, differentiated for every leaf and the seed.
fn check_second(name: &str, mut b: Builder, leaves: &[NodeId], node: NodeId, range: (f64, f64)) {
    let mut noise = Noise::new(55);
    let seed = leaf_like(&mut b, node, 100);
    let mut wrt = floats(&b, leaves);
    let first = gradients(&mut b, node, seed, &wrt);
    let mut values = sample(&b, leaves, range, &mut noise);
    values.insert(seed, noise.array(b.ty(seed), (-1.0, 1.0)));
    let mut total = ops::constant(&mut b, 0.0);
    for (k, slope) in first.into_iter().enumerate() {
        let direction = leaf_like(&mut b, slope, 200 + k);
        values.insert(direction, noise.array(b.ty(direction), (-1.0, 1.0)));
        let part = ops::mul(&mut b, slope, direction);
        let axes: Vec<usize> = (0..b.shape(part).rank()).collect();
        let part = ops::sum(&mut b, part, &axes);
        total = ops::add(&mut b, total, part);
    }
    wrt.push(seed);
    let one = ops::constant(&mut b, 1.0);
    let forward = b.graph.clone();
    let second = gradients(&mut b, total, one, &wrt);
    let all = evaluate(&b.graph, &values);
    for (leaf, slope) in wrt.iter().zip(second) {
        for i in 0..b.shape(*leaf).elements() {
            let numeric = difference(|by| {
                let mut values = values.clone();
                values.entry(*leaf).and_modify(|array| array.data[i] += by);
                evaluate(&forward, &values)[total.index()].data[0]
            });
            let exact = all[slope.index()].data[i];
            assert!(
                close(numeric, exact, 1e-6),
                "{name}: the second derivative at {leaf}[{i}] is {numeric} by differences, {exact} by rule"
            );
        }
    }
}

#[test]
fn every_gradient_rule_can_be_differentiated_again() {
    for (op, i, case) in all_cases().filter(|(_, _, case)| case.differentiable) {
        let small = case.inputs.iter().all(|ty| ty.shape.elements() <= 40);
        if small || i % 4 == 0 {
            let applied = apply(op, &case);
            let name = format!("{} case {i}", op.name);
            check_second(&name, applied.builder, &applied.leaves, applied.node, case.range);
        }
    }
}

/// `exp(x - max) / sum(exp(x - max))` along the last axis.
fn softmax(b: &mut Builder, x: NodeId) -> NodeId {
    let shape = b.shape(x).clone();
    let last = [shape.rank() - 1];
    let top = ops::reduce_max(b, x, &last);
    let top = ops::stop_gradient(b, top);
    let top = ops::expand(b, top, &last, &shape);
    let centred = ops::sub(b, x, top);
    let powers = ops::exp(b, centred);
    let total = ops::sum(b, powers, &last);
    let total = ops::expand(b, total, &last, &shape);
    ops::div(b, powers, total)
}

#[test]
fn compositions_can_be_differentiated_twice() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &Type::f32(Shape::of(&[3, 5])));
    let node = softmax(&mut b, x);
    check_second("softmax", b, &[x], node, (-2.0, 2.0));

    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &Type::f32(Shape::of(&[3, 4])));
    let w = ops::input(&mut b, 1, &Type::f32(Shape::of(&[4, 2])));
    let product = ops::matmul(&mut b, x, w);
    let bent = ops::tanh(&mut b, product);
    let node = softmax(&mut b, bent);
    check_second("softmax of a layer", b, &[x, w], node, (-1.0, 1.0));

    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &Type::f32(Shape::of(&[6, 6, 2])));
    let w = ops::input(&mut b, 1, &Type::f32(Shape::of(&[3, 3, 2, 3])));
    let map = ops::conv2d(&mut b, x, w, &Windows::default(), 1);
    let bent = ops::tanh(&mut b, map);
    let pooled = ops::max_pool2d(&mut b, bent, [2, 2], &Windows { stride: [2, 2], ..Windows::default() });
    let row = ops::reshape(&mut b, pooled, &Shape::of(&[12]));
    let node = softmax(&mut b, row);
    check_second("a small convolutional network", b, &[x, w], node, (-1.0, 1.0));
}

#[test]
fn gradients_at_kinks_are_as_documented() {
    let slope = |build: fn(&mut Builder, NodeId) -> NodeId, at: f64| {
        let mut b = Builder::default();
        let x = ops::input(&mut b, 0, &Type::f32(Shape::scalar()));
        let node = build(&mut b, x);
        let one = ops::constant(&mut b, 1.0);
        let slope = gradients(&mut b, node, one, &[x])[0];
        evaluate(&b.graph, &HashMap::from([(x, Array::scalar(at))]))[slope.index()].data[0]
    };
    assert_eq!(slope(ops::relu, 0.0), 0.0);
    assert_eq!(slope(ops::abs, 0.0), 0.0);
    assert_eq!(
        slope(
            |b, x| {
                let zero = ops::zeros_like(b, x);
                ops::maximum(b, x, zero)
            },
            0.0
        ),
        1.0
    );
    assert_eq!(
        slope(
            |b, x| {
                let zero = ops::zeros_like(b, x);
                ops::minimum(b, zero, x)
            },
            0.0
        ),
        0.0
    );
    assert_eq!(
        slope(
            |b, x| {
                let two = ops::constant(b, 2.0);
                ops::pow(b, x, two)
            },
            0.0
        ),
        0.0
    );
    assert_eq!(
        slope(
            |b, x| {
                let zero = ops::constant(b, 0.0);
                ops::pow(b, x, zero)
            },
            0.0
        ),
        0.0
    );
}
