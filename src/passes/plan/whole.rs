//! Which products run once for all examples of a batch, between the phases over tiles.
//!
//! A tile of a few examples reads all weights of a dense layer: a large layer is bound by that. Over the whole
//! batch each core reads its own columns of the weights, once, and finds in its cache what it has updated. For
//! that the phase over tiles is cut in two, and what is made before the cut and read behind it has to be kept
//! for all examples. So a product moves where the weights that are read again and again are more memory than
//! that.

use super::lowered::Lowered;
use super::roots::{Roots, Storage};
use crate::ir::NodeId;
use crate::ir::kernel::{Contraction, Kernel, Source};

/// About as many tiles or slots as a batch has.
const TILES: usize = 8;
/// About as many slots with partial sums.
const SLOTS: usize = 4;
/// Weights with fewer elements stay in the nearest cache from tile to tile.
const WEIGHTS: usize = 1 << 15;

/// For each node whether it is a product over the whole batch; `batch` is the most examples in a batch.
pub fn decide(lowered: &Lowered, roots: &Roots, batch: usize) -> Vec<bool> {
    let graph = &lowered.computation.graph;
    let mut whole = vec![false; graph.len()];
    let mut kept = vec![false; graph.len()];
    for id in graph.ids() {
        if let Kernel::Contract(spec) = lowered.kernel(id)
            && roots.of(id) == Storage::Summed
            && weight_gradient(lowered, id, spec, batch)
        {
            whole[id.index()] = true;
            lowered.inputs(id).iter().for_each(|input| kept[stored(lowered, roots, *input).index()] = true);
        }
    }
    for id in graph.ids() {
        if roots.of(id) != Storage::Stored || !rereads_weights(lowered, id, batch) {
            continue;
        }
        let mut new = crossing(lowered, roots, id);
        new.extend(lowered.inputs(id).iter().map(|input| stored(lowered, roots, *input)));
        new.push(id);
        new.retain(|v| lowered.each(*v) && !kept[v.index()] && !is_input(lowered, *v));
        new.sort_unstable();
        new.dedup();
        let elements: usize = new.iter().map(|v| elements(lowered, *v)).sum();
        let weights = lowered.inputs(id).iter().filter(|input| !lowered.each(**input));
        let read_again = (TILES - 1) * weights.map(|w| self::elements(lowered, *w)).sum::<usize>();
        if read_again > 2 * batch * elements {
            whole[id.index()] = true;
            new.iter().for_each(|v| kept[v.index()] = true);
        }
    }
    whole
}

fn elements(lowered: &Lowered, id: NodeId) -> usize {
    lowered.shape(id).iter().product()
}

/// Whether a product that is summed over the batch is made at once for all examples: where the partial sums of
/// the slots would be more to write and read again than its operands, which then have to be kept.
fn weight_gradient(lowered: &Lowered, id: NodeId, spec: &Contraction, batch: usize) -> bool {
    let [a, b] = [0, 1].map(|i| lowered.inputs(id)[i]);
    // An outer product for each example: rows from one operand, columns from the other.
    let outer = spec.a.iter().all(|label| !spec.b.contains(label) && spec.out.contains(label))
        && spec.b.iter().all(|label| spec.out.contains(label));
    let [m, n] = [a, b].map(|id| elements(lowered, id));
    let matrix = m > 1 && n > 1 && lowered.each(a) && lowered.each(b);
    outer && matrix && SLOTS * elements(lowered, id) > batch * (m + n)
}

/// Whether a product has one row for each example, and large weights.
fn rereads_weights(lowered: &Lowered, id: NodeId, batch: usize) -> bool {
    let Kernel::Contract(spec) = lowered.kernel(id) else { return false };
    let [a, b] = [0, 1].map(|i| lowered.inputs(id)[i]);
    let (row, weights, labels, others) = match (lowered.each(a), lowered.each(b)) {
        (true, false) => (a, b, &spec.a, &spec.b),
        (false, true) => (b, a, &spec.b, &spec.a),
        _ => return false,
    };
    let one_row = labels.iter().all(|label| !spec.out.contains(label) || others.contains(label));
    let weights = elements(lowered, weights);
    let moved = elements(lowered, row) + elements(lowered, id);
    one_row && weights >= WEIGHTS && SLOTS * weights > batch * moved
}

/// The values of examples that are made without `id` and read by what needs it.
fn crossing(lowered: &Lowered, roots: &Roots, id: NodeId) -> Vec<NodeId> {
    let graph = &lowered.computation.graph;
    let mut behind = vec![false; graph.len()];
    for node in graph.ids().skip(id.index()) {
        behind[node.index()] = node == id || lowered.inputs(node).iter().any(|input| behind[input.index()]);
    }
    // What is computed in its readers runs where they run.
    let mut late = behind.clone();
    let mut crossing = Vec::new();
    for node in graph.ids().rev().filter(|node| !behind[node.index()]) {
        let read_late = lowered.users[node.index()].iter().any(|user| late[user.index()]);
        match roots.of(node) {
            Storage::Virtual | Storage::Alias | Storage::Absorbed | Storage::Summed => {
                late[node.index()] = read_late;
            }
            Storage::Stored if read_late && lowered.each(node) => crossing.push(node),
            Storage::Stored | Storage::Source | Storage::Unused => {}
        }
    }
    crossing
}

/// What stands in memory behind views.
fn stored(lowered: &Lowered, roots: &Roots, id: NodeId) -> NodeId {
    match roots.of(id) {
        Storage::Virtual | Storage::Alias => match lowered.inputs(id) {
            [input] => stored(lowered, roots, *input),
            _ => id,
        },
        _ => id,
    }
}

fn is_input(lowered: &Lowered, id: NodeId) -> bool {
    matches!(lowered.kernel(id), Kernel::Source(Source::Input(_)))
}
