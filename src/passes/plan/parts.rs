//! Products over the whole batch that are summed in parts, each over some rows of the weights.
//!
//! The gradient and the update of a layer's weights are dealt out to the workers by rows, which are contiguous. If
//! each worker also reads those rows in the forward pass, and no others, then weights never go from core to core,
//! and neither do the inputs of a first layer that belong to other rows. (By columns would serve as well, but a core
//! that walks through its half of every row fetches the other half ahead, again and again.) What the parts add up to
//! is summed where it is read, in their order: how many there are depends on sizes alone, never on the machine.

use super::lowered::Lowered;
use super::roots::{self, Storage};
use super::{PlanOptions, whole};
use crate::base::Diagnostic;
use crate::ir::kernel::{Kernel, Source};
use crate::ir::{Builder, Computation, Node, NodeId};
use crate::ops::{add, contract, reshape, slice_axis};
use crate::passes::rewrite;
use crate::ty::Shape;

/// No more parts than this.
const MOST: usize = 16;
/// Rows of weights in a part, at least.
const ROWS: usize = 64;

/// The computation with such products in parts; `None` if there are none.
///
/// # Errors
/// As planning.
pub fn in_parts(computation: &Computation, options: &PlanOptions) -> Result<Option<Computation>, Diagnostic> {
    let lowered = Lowered::new(computation)?;
    let roots = roots::decide(&lowered, options.fuse);
    let whole = whole::decide(&lowered, &roots, options.batch);
    let chosen = |id: NodeId| {
        let product = whole[id.index()] && roots.of(id) == Storage::Stored;
        product.then(|| parts(&lowered, id, options.batch)).flatten()
    };
    let chosen: Vec<Option<usize>> = computation.graph.ids().map(chosen).collect();
    if chosen.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut chosen = chosen.into_iter();
    Ok(Some(rewrite::rebuild(computation.clone(), |b, node| match chosen.next().flatten() {
        Some(parts) => product(b, &node, parts),
        None => rewrite::copy(b, node),
    })))
}

/// In how many parts the product `id` of a row for each example and trained weights is worth it.
fn parts(lowered: &Lowered, id: NodeId, batch: usize) -> Option<usize> {
    let Kernel::Contract(spec) = lowered.kernel(id) else { return None };
    let &[row, weights] = lowered.inputs(id) else { return None };
    let [k, n] = lowered.shape(weights)[..] else { return None };
    let rows_are_summed = spec.a[..] == spec.b[..1] && spec.out[..] == spec.b[1..];
    let Kernel::Source(Source::Variable(variable)) = lowered.kernel(weights) else { return None };
    let updated = lowered.computation.updates.iter().any(|update| update.variable == *variable);
    if !rows_are_summed || !updated || !lowered.each(row) {
        return None;
    }
    // Their sums are written and read: at most half as much memory as the weights.
    let pays = |parts: &usize| k % parts == 0 && 2 * parts * batch <= k && parts * ROWS <= k;
    let halved = std::iter::successors(Some(MOST), |parts| Some(parts / 2));
    halved.take_while(|parts| *parts > 1).find(pays).filter(|_| n > 1)
}

/// The sum of the products of parts.
fn product(b: &mut Builder, node: &Node, parts: usize) -> NodeId {
    let &[row, weights] = &node.inputs[..] else { unreachable!("a product of two") };
    let [k, n] = b.shape(weights)[..] else { unreachable!("a matrix of weights") };
    let row = reshape(b, row, &Shape::of(&[parts, k / parts]));
    let weights = reshape(b, weights, &Shape::of(&[parts, k / parts, n]));
    let sums = contract(b, row, weights, "p k, p k n -> p n");
    let part = |b: &mut Builder, i: usize| {
        let sum = slice_axis(b, sums, 0, i, 1);
        reshape(b, sum, &Shape::of(&[n]))
    };
    let first = part(b, 0);
    (1..parts).fold(first, |sum, i| {
        let next = part(b, i);
        add(b, sum, next)
    })
}
