//! Sums of parts that stand beside each other in zeros: what gradients of slices and of `split` are.

use super::Site;
use crate::ir::NodeId;
use crate::ir::kernel::{Kernel, Scalar};
use crate::ops;

/// The most parts that are put together: a sum of more is left as it is.
const PARTS: usize = 64;

/// A tensor that stands in zeros, moved along one axis.
struct Part {
    node: NodeId,
    /// Its first place along the axis.
    start: usize,
    /// The place behind its last one.
    end: usize,
}

/// `pad(x) + pad(y)` is a concatenation where `y` begins along an axis where `x` ends, padded if zeros are left.
pub fn beside(site: &mut Site, id: NodeId) -> Option<NodeId> {
    site.arguments::<2>(id, Scalar::Add)?;
    let (mut parts, mut along) = (Vec::new(), None);
    collect(site, id, &mut parts, &mut along)?;
    let axis = along?;
    parts.sort_by_key(|part| part.start);
    if parts.windows(2).any(|pair| pair[0].end != pair[1].start) {
        return None;
    }
    let shape = site.b.shape(id).clone();
    let (mut low, mut high) = (vec![0; shape.rank()], vec![0; shape.rank()]);
    low[axis] = parts.first()?.start;
    high[axis] = shape[axis] - parts.last()?.end;
    let nodes: Vec<NodeId> = parts.iter().map(|part| part.node).collect();
    let joined = ops::concat(site.b, &nodes, axis);
    Some(ops::pad(site.b, joined, &low, &high, 0.0))
}

/// The parts that a sum consists of, if all its terms are such along one axis.
fn collect(site: &Site, id: NodeId, parts: &mut Vec<Part>, along: &mut Option<usize>) -> Option<()> {
    if let Some(terms) = site.arguments::<2>(id, Scalar::Add) {
        return terms.into_iter().try_for_each(|term| collect(site, term, parts, along));
    }
    let Some(Kernel::Pad { low, fill }) = site.facts.kernel(id) else { return None };
    let inner = site.b.graph[id].inputs[0];
    let (from, to) = (site.b.shape(inner), site.b.shape(id));
    let mut grown = (0..to.rank()).filter(|axis| from[*axis] != to[*axis]);
    let (Some(axis), None) = (grown.next(), grown.next()) else { return None };
    if *fill != 0.0 || *along.get_or_insert(axis) != axis || parts.len() >= PARTS {
        return None;
    }
    let start = low[axis];
    // What was put together before is taken apart, so that there is one concatenation.
    let pieces = match site.facts.kernel(inner) {
        Some(Kernel::Concat(joined)) if *joined == axis => site.b.graph[inner].inputs.clone(),
        _ => vec![inner],
    };
    let mut end = start;
    for node in pieces {
        let first = end;
        end += site.b.shape(node)[axis];
        parts.push(Part { node, start: first, end });
    }
    Some(())
}
