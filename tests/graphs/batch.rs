//! `batch` and `example`: examples that see one another, through gradients, the interpreter and compiled code.

use nnc::ir::computation::VariableId;
use nnc::ir::{Builder, Computation, NodeId};
use nnc::ops;
use nnc::passes::autodiff::gradients;
use nnc::ty::{Shape, Type};

use super::compiled::{Way, assert_near, interpreted, moved, run_compiled};
use super::harness::{Sample, assert_same};

/// For each example the scaled products of its features with those of all examples, weighted by a part of a whole
/// that is told apart by example: a loss per example, and the leaves.
fn similarities(b: &mut Builder, examples: usize) -> (NodeId, Vec<NodeId>) {
    let x = ops::input(b, 0, &Type::f32(Shape::of(&[3])));
    let w = ops::variable(b, VariableId(0), &Shape::of(&[3, 4]));
    let rows = ops::variable(b, VariableId(1), &Shape::of(&[examples, 2]));
    let x_row = ops::reshape(b, x, &Shape::of(&[1, 3]));
    let own = ops::matmul(b, x_row, w);
    let own = ops::reshape(b, own, &Shape::of(&[4]));
    let own = ops::tanh(b, own);
    let all = ops::batch(b, own, examples);
    let column = ops::reshape(b, own, &Shape::of(&[4, 1]));
    let products = ops::matmul(b, all, column);
    let products = ops::reshape(b, products, &Shape::of(&[examples]));
    let powers = ops::exp(b, products);
    let total = ops::sum(b, powers, &[0]);
    let part = ops::example(b, rows);
    let square = ops::mul(b, part, part);
    let scale = ops::sum(b, square, &[0]);
    // What all see of all: the same for every example.
    let norms = ops::mul(b, all, all);
    let norms = ops::sum(b, norms, &[1]);
    let norm = ops::example(b, norms);
    let loss = ops::mul(b, total, scale);
    let loss = ops::add(b, loss, norm);
    (loss, vec![x, w, rows])
}

#[test]
fn gradients_through_the_batch_agree_with_differences() {
    for examples in [1, 2, 5] {
        let mut b = Builder::default();
        let (loss, leaves) = similarities(&mut b, examples);
        let slopes = gradients(&mut b, loss, &leaves);
        let sample = Sample::draw(&b.graph, examples, 7 + examples as u64);
        for (leaf, slope) in leaves.iter().zip(slopes) {
            sample.check_gradient(&b.graph, loss, *leaf, slope, &format!("{examples} examples"));
        }
    }
}

#[test]
fn second_derivatives_through_the_batch_agree_with_differences() {
    let mut b = Builder::default();
    let (loss, leaves) = similarities(&mut b, 3);
    let first = gradients(&mut b, loss, &leaves[..1])[0];
    let square = ops::mul(&mut b, first, first);
    let steep = ops::sum(&mut b, square, &[0]);
    let slopes = gradients(&mut b, steep, &leaves);
    let sample = Sample::draw(&b.graph, 3, 5);
    for (leaf, slope) in leaves.iter().zip(slopes) {
        sample.check_gradient(&b.graph, steep, *leaf, slope, "second");
    }
}

#[test]
fn compiled_code_brings_examples_together_as_the_interpreter_does() {
    for examples in [1, 2, 7, 16, 33] {
        let mut b = Builder::default();
        let (loss, leaves) = similarities(&mut b, examples);
        let slopes = gradients(&mut b, loss, &leaves);
        let mean = ops::batch_sum(&mut b, loss);
        let outputs = [("loss".to_string(), loss), ("mean".to_string(), mean)];
        let slopes = slopes.into_iter().enumerate().map(|(i, node)| (format!("slope {i}"), node));
        let outputs = outputs.into_iter().chain(slopes).collect();
        let c = Computation { graph: b.graph, outputs, updates: Vec::new() };
        let sample = Sample::draw(&c.graph, examples, examples as u64);
        let exact = interpreted(&c, &sample);
        let shaken: Vec<_> = (0..3).map(|seed| interpreted(&c, &moved(&sample, seed))).collect();
        let mut first: Option<Vec<Vec<f32>>> = None;
        for (bare, threads, tile) in
            [(false, 1, None), (false, 3, None), (false, 2, Some(2)), (true, 1, None), (true, 2, Some(3))]
        {
            let found = run_compiled(&c, &sample, Way { bare, threads, tile }).expect("it compiles");
            for (i, (exact, found)) in exact.iter().zip(&found).enumerate() {
                let shaken: Vec<Vec<f64>> = shaken.iter().map(|s| s[i].clone()).collect();
                assert_near(exact, &shaken, found, &format!("{examples} examples, result {i}"));
            }
            if !bare && tile.is_none() {
                let first = first.get_or_insert_with(|| found.clone());
                assert_eq!(*first, found, "{examples} examples with {threads} threads");
            }
        }
    }
}

#[test]
fn a_batch_taken_apart_is_what_it_was() {
    let whole = |apart: bool| {
        let mut b = Builder::default();
        let x = ops::input(&mut b, 0, &Type::f32(Shape::of(&[2, 3])));
        let all = ops::batch(&mut b, x, 4);
        let again = if apart { ops::example(&mut b, all) } else { x };
        let outputs = vec![("x".to_string(), again)];
        Computation { graph: b.graph, outputs, updates: Vec::new() }
    };
    let sample = Sample::draw(&whole(true).graph, 4, 3);
    assert_same(&whole(true), &whole(false), &sample, 0.0, "example(batch(x))");
}
