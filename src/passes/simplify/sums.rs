//! Sums over the batch of linear combinations.

use super::Site;
use super::reductions::{narrowed, still};
use crate::ir::kernel::{Combine, Kernel, Scalar};
use crate::ir::{Level, NodeId};
use crate::ops;
use crate::ty::DType;

/// How deep a combination is looked into.
const DEPTH: usize = 8;

/// A summed value, as a combination of others with factors that are the same for all that is added.
enum Term {
    Sum(NodeId, NodeId),
    Difference(NodeId, NodeId),
    Negated(NodeId),
    Scaled(NodeId, NodeId),
    Same,
    Other,
}

/// `sum of (c x + y) = c (sum of x) + (sum of y)` over the batch, where the sums on the right need fewer sums over
/// the batch before them than the one on the left. Each such sum is a pass over the batch and a barrier: the
/// gradient of a batch normalization loses one.
pub fn apart(site: &mut Site, id: NodeId) -> Option<NodeId> {
    if site.facts.kernel(id) != Some(&Kernel::BatchSum) || site.b.ty(id).dtype != DType::F32 {
        return None;
    }
    let summed = site.b.graph[id].inputs[0];
    let (whole, axes) = match site.facts.kernel(summed) {
        Some(Kernel::Reduce(Combine::Sum, axes)) => (site.b.graph[summed].inputs[0], axes.clone()),
        _ => (summed, Vec::new()),
    };
    let earlier = after(site, whole, &axes, DEPTH) < site.facts.sums_before(whole);
    if earlier { total(site, whole, &axes, DEPTH) } else { None }
}

fn term(site: &Site, id: NodeId, axes: &[usize], depth: usize) -> Term {
    let same = |id: NodeId| site.b.graph[id].level == Level::Once && still(site, id, axes);
    if depth == 0 {
        return Term::Other;
    }
    if same(id) {
        return Term::Same;
    }
    if let Some([x, y]) = site.arguments(id, Scalar::Add) {
        return Term::Sum(x, y);
    }
    if let Some([x, y]) = site.arguments(id, Scalar::Sub) {
        return Term::Difference(x, y);
    }
    if let Some([x]) = site.arguments(id, Scalar::Neg) {
        return Term::Negated(x);
    }
    match site.arguments(id, Scalar::Mul) {
        Some([x, y]) if same(y) => Term::Scaled(x, y),
        Some([x, y]) if same(x) => Term::Scaled(y, x),
        _ => Term::Other,
    }
}

/// After how many sums over the batch in a row all parts of a combination are known.
fn after(site: &Site, id: NodeId, axes: &[usize], depth: usize) -> usize {
    let of = |part: NodeId| after(site, part, axes, depth - 1);
    match term(site, id, axes, depth) {
        Term::Sum(x, y) | Term::Difference(x, y) => of(x).max(of(y)),
        Term::Negated(x) | Term::Scaled(x, _) => of(x),
        Term::Same => 0,
        Term::Other => site.facts.sums_before(id),
    }
}

/// The sum of a combination over these axes and the batch, part by part.
fn total(site: &mut Site, id: NodeId, axes: &[usize], depth: usize) -> Option<NodeId> {
    Some(match term(site, id, axes, depth) {
        Term::Sum(x, y) => {
            let (x, y) = (total(site, x, axes, depth - 1)?, total(site, y, axes, depth - 1)?);
            ops::add(site.b, x, y)
        }
        Term::Difference(x, y) => {
            let (x, y) = (total(site, x, axes, depth - 1)?, total(site, y, axes, depth - 1)?);
            ops::sub(site.b, x, y)
        }
        Term::Negated(x) => {
            let x = total(site, x, axes, depth - 1)?;
            ops::neg(site.b, x)
        }
        Term::Scaled(x, factor) => {
            let x = total(site, x, axes, depth - 1)?;
            let factor = narrowed(site, factor, axes)?;
            ops::mul(site.b, x, factor)
        }
        Term::Same => {
            let count: usize = axes.iter().map(|axis| site.b.shape(id)[*axis]).product();
            let one = narrowed(site, id, axes)?;
            let all = ops::scale(site.b, one, count as f64);
            let examples = ops::batch_size(site.b);
            let shape = site.b.shape(all).clone();
            let examples = ops::broadcast(site.b, examples, &shape);
            ops::mul(site.b, all, examples)
        }
        Term::Other if axes.is_empty() => ops::batch_sum(site.b, id),
        Term::Other => {
            let sum = ops::sum(site.b, id, axes);
            ops::batch_sum(site.b, sum)
        }
    })
}
