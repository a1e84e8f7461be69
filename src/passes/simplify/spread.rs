//! Sums of squared distances from a mean that has to wait for the whole batch.

use super::Site;
use super::reductions::{narrowed, still};
use crate::ir::kernel::{Combine, Kernel, Scalar};
use crate::ir::{Level, NodeId};
use crate::ops;

/// Sums of fewer elements are not worth a second term.
const LEAST: usize = 8;

/// `sum of (x - m)^2 = sum of (x - mean)^2 + n (mean - m)^2` with the mean of the `n` elements that are added, where
/// `m` needs more sums over the batch than `x`. The first sum is taken while `x` is in the cache; only numbers of the
/// second's size wait. Every term is a square, so nothing cancels.
///
/// Source: Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
pub fn spread(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::Reduce(Combine::Sum, axes)) = site.facts.kernel(id).cloned() else { return None };
    let [distance, other] = site.arguments(site.b.graph[id].inputs[0], Scalar::Mul)?;
    let [x, m] = site.arguments(distance, Scalar::Sub)?;
    let shape = site.b.shape(x).clone();
    let count: usize = axes.iter().map(|axis| shape[*axis]).product();
    let levels = (site.b.graph[x].level, site.b.graph[m].level);
    let waits = levels == (Level::Each, Level::Once) && site.facts.sums_before(x) < site.facts.sums_before(m);
    if distance != other || !waits || count < LEAST || !still(site, m, &axes) {
        return None;
    }
    let m = narrowed(site, m, &axes)?;
    let b = &mut *site.b;
    let sum = ops::sum(b, x, &axes);
    let mean = ops::scale(b, sum, 1.0 / count as f64);
    let wide = ops::expand(b, mean, &axes, &shape);
    let own = ops::sub(b, x, wide);
    let own = ops::square(b, own);
    let own = ops::sum(b, own, &axes);
    let off = ops::sub(b, mean, m);
    let off = ops::square(b, off);
    let off = ops::scale(b, off, count as f64);
    Some(ops::add(b, own, off))
}
