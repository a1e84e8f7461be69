//! Maxima over windows change places with functions that keep the order of numbers: what comes after the
//! maximum is done for one element of a window instead of all.
//!
//! A maximum with a constant (a ReLU) and the addition of one number per channel (a bias) are such functions.
//! The gradient follows: it is masked before it is put back to where the maxima stand, not after.

use super::Site;
use super::views::{clean, make};
use crate::ir::NodeId;
use crate::ir::kernel::{Combine, Kernel, Leaf, Scalar};
use crate::ops;

impl Site<'_> {
    /// `x` and the constant, where the node is `max(x, constant)`.
    fn clipped(&self, id: NodeId) -> Option<(NodeId, f64)> {
        let [x, y] = self.arguments(id, Scalar::Max)?;
        match (self.facts.known(x), self.facts.known(y)) {
            (None, Some(least)) => Some((x, least)),
            (Some(least), None) => Some((y, least)),
            _ => None,
        }
    }

    /// `x` and the other term, where the node is `x` plus a tensor that has one number per channel.
    fn shifted(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        let [x, y] = self.arguments(id, Scalar::Add)?;
        [(x, y), (y, x)].into_iter().find(|(_, shift)| {
            let Some(view) = self.facts.view(*shift) else { return false };
            let view = clean(view, self.b.shape(*shift));
            view.axes.iter().all(|axis| axis.terms.iter().all(|(at, _)| *at == 2))
        })
    }

    /// The pooled and the other tensor, where the node is the gradient of a maximum over windows.
    fn pool_gradient(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        match (self.facts.kernel(id), &self.b.graph[id].inputs[..]) {
            (Some(Kernel::Leaf(Leaf::MaxPoolInput(_))), [x, g]) => Some((*x, *g)),
            _ => None,
        }
    }
}

/// `pool(max(x, c)) = max(pool(x), c)`, `pool(x + bias) = pool(x) + bias`
pub fn forward(site: &mut Site, id: NodeId) -> Option<NodeId> {
    if !matches!(site.facts.kernel(id), Some(Kernel::Leaf(Leaf::MaxPool(_)))) {
        return None;
    }
    let input = site.b.graph[id].inputs[0];
    let (size, windows) = ops::pool_settings(site.b, id);
    if let Some((x, least)) = site.clipped(input) {
        let pooled = ops::max_pool2d(site.b, x, size, &windows);
        let least = ops::constant_like(site.b, pooled, least);
        return Some(ops::maximum(site.b, pooled, least));
    }
    let (x, shift) = site.shifted(input)?;
    let view = site.facts.view(shift)?.clone();
    let source = site.b.graph[shift].inputs[0];
    let to = site.b.shape(id).clone();
    let shift = make(site.b, source, &view, &to)?;
    let pooled = ops::max_pool2d(site.b, x, size, &windows);
    Some(ops::add(site.b, pooled, shift))
}

/// The gradient through `pool(x + bias)` goes to where the maxima of `x` stand.
pub fn backward(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let (input, g) = site.pool_gradient(id)?;
    let (x, _) = site.shifted(input)?;
    let (size, windows) = ops::pool_settings(site.b, id);
    Some(ops::max_pool2d_grad(site.b, x, g, size, &windows))
}

/// The gradient through `pool(max(x, c))`, 0 where `max(x, c)` is not above `c`: masked by the pool's result.
pub fn masked(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [condition, spread, zero] = site.arguments(id, Scalar::Select)?;
    let (input, g) = site.pool_gradient(spread)?;
    let (x, least) = site.clipped(input)?;
    let [low, high] = site.arguments(condition, Scalar::Lt)?;
    if high != input || !site.is(low, least) || !site.is(zero, 0.0) {
        return None;
    }
    let (size, windows) = ops::pool_settings(site.b, spread);
    let pooled = ops::max_pool2d(site.b, x, size, &windows);
    let least = ops::constant_like(site.b, pooled, least);
    let above = ops::lt(site.b, least, pooled);
    let zero = ops::zeros_like(site.b, g);
    let g = ops::select(site.b, above, g, zero);
    Some(ops::max_pool2d_grad(site.b, x, g, size, &windows))
}

/// The sum per channel of what is put back to the maxima is the sum of what there is.
pub fn total(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::Reduce(Combine::Sum, axes)) = site.facts.kernel(id) else { return None };
    let rows_and_columns = *axes == [0, 1];
    let (_, g) = site.pool_gradient(site.b.graph[id].inputs[0])?;
    rows_and_columns.then(|| ops::sum(site.b, g, &[0, 1]))
}
