//! Short forms for gradient rules, lowerings and passes: a few nodes each, no ops of their own.

use super::{add, broadcast, constant_like, mul, reshape, sub, sum};
use crate::ir::{Builder, NodeId};
use crate::ty::Shape;

/// `x` times a number.
pub fn scale(b: &mut Builder, x: NodeId, factor: f64) -> NodeId {
    let factor = constant_like(b, x, factor);
    mul(b, x, factor)
}

/// `x` plus a number.
pub fn offset(b: &mut Builder, x: NodeId, addend: f64) -> NodeId {
    let addend = constant_like(b, x, addend);
    add(b, x, addend)
}

/// `1 - x`.
pub fn one_minus(b: &mut Builder, x: NodeId) -> NodeId {
    let one = constant_like(b, x, 1.0);
    sub(b, one, x)
}

/// `x * x`.
pub fn square(b: &mut Builder, x: NodeId) -> NodeId {
    mul(b, x, x)
}

/// Zeros in the shape of another node.
pub fn zeros_like(b: &mut Builder, like: NodeId) -> NodeId {
    constant_like(b, like, 0.0)
}

/// `x` broadcast to the shape of another node.
pub fn broadcast_like(b: &mut Builder, x: NodeId, like: NodeId) -> NodeId {
    let shape = b.shape(like).clone();
    broadcast(b, x, &shape)
}

/// Puts back, by repetition, axes (ascending) that a reduction took from `shape`.
pub fn expand(b: &mut Builder, x: NodeId, axes: &[usize], shape: &Shape) -> NodeId {
    let kept = reshape(b, x, &super::common::with_ones(shape, axes));
    broadcast(b, kept, shape)
}

/// The reverse of broadcasting: sums `x` over the axes along which `shape` was repeated.
pub fn sum_to(b: &mut Builder, x: NodeId, shape: &Shape) -> NodeId {
    let from = b.shape(x).clone();
    let lead = from.rank() - shape.rank();
    let repeated: Vec<usize> =
        (0..from.rank()).filter(|i| *i < lead || shape[i - lead] != from[*i]).collect();
    let total = sum(b, x, &repeated);
    reshape(b, total, shape)
}

/// The shape to which both can be broadcast, axes matched from the last.
pub fn broadcast_shapes(x: &Shape, y: &Shape) -> Option<Shape> {
    let rank = x.rank().max(y.rank());
    let extent = |shape: &Shape, i: usize| (i + shape.rank()).checked_sub(rank).map_or(1, |i| shape[i]);
    let extents: Option<Vec<usize>> = (0..rank)
        .map(|i| match (extent(x, i), extent(y, i)) {
            (1, n) | (n, 1) => Some(n),
            (m, n) => (m == n).then_some(n),
        })
        .collect();
    extents.map(|extents| Shape::of(&extents))
}
