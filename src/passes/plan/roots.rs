//! Which nodes get a buffer of their own, and which are computed where they are used.
//!
//! The rules, in the order in which they are asked:
//! 1. Outputs, updates and every compute kernel (reduction, contraction, leaf, ...) are stored.
//! 2. What a leaf kernel or a matrix product reads must stand in memory: maps are stored, views of stored
//!    values are read through strides.
//! 3. A map that several places read is stored, unless it is no more than two cheap operations on stored
//!    values; so is a costly map that a view repeats. But where each reader can make it again from one stored value
//!    in a few cheap operations, it does: that takes less time than writing and reading memory.
//! 4. A whole-batch value that the examples read is computed once: stored.
//! 5. All else is computed inside its reader.
//!
//! A reduction with one reader that is a map of the same shape runs inside that map's loop ("absorbed").

use std::collections::HashMap;

use super::index::reshape_is_affine;
use super::lowered::{Lowered, is_cheap};
use crate::ir::NodeId;
use crate::ir::kernel::{Combine, Kernel};

/// How the value of a node comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Not needed.
    Unused,
    /// There when the step starts.
    Source,
    /// Computed by a kernel of its own.
    Stored,
    /// The same memory as its input: a reshape.
    Alias,
    /// Computed inside its readers.
    Virtual,
    /// A reduction inside the loop of its one reader.
    Absorbed,
    /// A per-example value that goes straight into its reader's sum over the batch.
    Summed,
}

/// The decisions.
pub struct Roots {
    storage: Vec<Storage>,
    /// For each `BatchSum`: whether its readers add the slots themselves (else one kernel does).
    pub slots_read_directly: Vec<bool>,
}

impl Roots {
    /// The decision for a node.
    pub fn of(&self, id: NodeId) -> Storage {
        self.storage[id.index()]
    }
}

/// Decides for every node; with `fuse` off, everything that can be stored is.
pub fn decide(lowered: &Lowered, fuse: bool) -> Roots {
    let graph = &lowered.computation.graph;
    let weights = weights(lowered);
    let mut storage = vec![Storage::Unused; graph.len()];
    let mut must_store = vec![false; graph.len()];
    // In how many loops a node that is not stored would be computed.
    let mut places = vec![0usize; graph.len()];
    let mut reduced_in: HashMap<NodeId, Vec<usize>> = HashMap::new();
    let mut loop_root: Vec<Option<NodeId>> = vec![None; graph.len()];
    let mut slots_read_directly = vec![false; graph.len()];
    // Stored for no other reason than that several loops read it.
    let mut spare = vec![false; graph.len()];

    for id in graph.ids().rev() {
        let i = id.index();
        if !lowered.needed[i] {
            continue;
        }
        let wanted = lowered.wanted[i];
        for user in &lowered.users[i] {
            places[i] +=
                if storage[user.index()] == Storage::Virtual { places[user.index()].max(1) } else { 1 };
        }
        let only_user = match lowered.users[i].as_slice() {
            [user] if !wanted => Some(*user),
            _ => None,
        };
        storage[i] = match lowered.kernel(id) {
            Kernel::Source(_) => {
                let stored = (wanted || must_store[i]) && lowered.constant(id).is_some();
                if stored { Storage::Stored } else { Storage::Source }
            }
            Kernel::Reshape => {
                let input = lowered.inputs(id)[0];
                let in_memory = wanted || must_store[i] || !fuse;
                let affine = reshape_is_affine(lowered.shape(input), lowered.shape(id));
                if lowered.constant(input).is_some() {
                    if in_memory { Storage::Stored } else { Storage::Virtual }
                } else if in_memory || !affine {
                    must_store[input.index()] = true;
                    Storage::Alias
                } else {
                    Storage::Virtual
                }
            }
            Kernel::View(_) | Kernel::Iota(_) => {
                if wanted || must_store[i] || !fuse {
                    Storage::Stored
                } else {
                    Storage::Virtual
                }
            }
            Kernel::Map(_) => {
                let costly_repeat = weights[i] > 1 && read_through_repeat(lowered, id);
                let shared = places[i] > 1 && weights[i] > 2;
                let once_for_each = !lowered.each(id) && read_by_examples(lowered, id);
                let needed = wanted || must_store[i] || !fuse || costly_repeat || once_for_each;
                spare[i] = shared && !needed && lowered.each(id);
                if needed || shared { Storage::Stored } else { Storage::Virtual }
            }
            Kernel::Reduce(combine, axes) => {
                let summed = fuse
                    && *combine == Combine::Sum
                    && only_user.is_some_and(|user| matches!(lowered.kernel(user), Kernel::BatchSum));
                let extents: Vec<usize> =
                    axes.iter().map(|a| lowered.shape(lowered.inputs(id)[0])[*a]).collect();
                let root = only_user
                    .filter(|user| fuse && matches!(lowered.kernel(*user), Kernel::Map(_)))
                    .filter(|user| lowered.shape(*user) == lowered.shape(id))
                    .filter(|user| lowered.each(*user) == lowered.each(id))
                    .and_then(|user| loop_root[user.index()]);
                let same =
                    root.is_some_and(|root| reduced_in.entry(root).or_insert(extents.clone()) == &extents);
                if summed {
                    Storage::Summed
                } else if same && !must_store[i] {
                    Storage::Absorbed
                } else {
                    Storage::Stored
                }
            }
            Kernel::Contract(_) | Kernel::Leaf(_) => {
                let sums = match lowered.kernel(id) {
                    Kernel::Leaf(leaf) => super::leaf_adds(leaf),
                    _ => true,
                };
                let summed = sums
                    && lowered.each(id)
                    && only_user.is_some_and(|user| matches!(lowered.kernel(user), Kernel::BatchSum));
                if summed { Storage::Summed } else { Storage::Stored }
            }
            Kernel::BatchSum => {
                slots_read_directly[i] = fuse && !wanted && !must_store[i] && {
                    let users = &lowered.users[i];
                    users.iter().all(|user| {
                        !lowered.each(*user)
                            && matches!(lowered.kernel(*user), Kernel::Map(_))
                            && storage[user.index()] != Storage::Unused
                    })
                };
                Storage::Stored
            }
            Kernel::Pad { .. } | Kernel::Concat(_) | Kernel::Batch | Kernel::Example | Kernel::Scan(_) => {
                Storage::Stored
            }
        };
        loop_root[i] = match (lowered.kernel(id), storage[i]) {
            (Kernel::Map(_), Storage::Stored) => Some(id),
            (Kernel::Map(_), Storage::Virtual) => only_user
                .filter(|user| {
                    lowered.shape(*user) == lowered.shape(id) && lowered.each(*user) == lowered.each(id)
                })
                .and_then(|user| loop_root[user.index()]),
            _ => None,
        };
        // What this node reads must stand in memory where it is a leaf or a matrix product.
        match lowered.kernel(id) {
            Kernel::Leaf(_) => {
                for input in lowered.inputs(id) {
                    must_store[input.index()] = true;
                }
            }
            Kernel::Contract(_) => {
                for input in lowered.inputs(id) {
                    store_behind_views(lowered, *input, &mut must_store);
                }
            }
            Kernel::Scan(scan) => {
                let carries = scan.sequences..scan.sequences + scan.body.carries.len();
                for (at, input) in lowered.inputs(id).iter().enumerate() {
                    if !carries.contains(&at) {
                        let base = super::scan::within(lowered, *input, at < scan.sequences).base;
                        must_store[base.index()] = true;
                    }
                }
            }
            _ => {}
        }
    }
    for id in graph.ids().filter(|id| spare[id.index()]) {
        let mut again =
            Again { lowered, storage: &storage, full: elements(lowered, id), cost: 0, from: None };
        if again.make(id) {
            storage[id.index()] = Storage::Virtual;
        }
    }
    Roots { storage, slots_read_directly }
}

/// As many cheap operations on an element take less time than writing it to memory and reading it again.
const AGAIN: usize = 4;

/// What it takes to make a value again in each of its readers.
struct Again<'a> {
    lowered: &'a Lowered<'a>,
    storage: &'a [Storage],
    /// Elements of the value.
    full: usize,
    /// Operations so far.
    cost: usize,
    /// The stored value it is made from; smaller ones do not count.
    from: Option<NodeId>,
}

impl Again<'_> {
    /// Adds a node that is computed where it is used; `false` if that costs more than storing the value.
    fn make(&mut self, id: NodeId) -> bool {
        let lowered = self.lowered;
        self.cost += match lowered.kernel(id) {
            Kernel::Map(scalar) if is_cheap(*scalar) => 1,
            Kernel::Map(_) => return false,
            _ => 0,
        };
        self.cost <= AGAIN && lowered.inputs(id).iter().all(|input| self.read(*input))
    }

    fn read(&mut self, id: NodeId) -> bool {
        if self.lowered.constant(id).is_some() {
            return true;
        }
        match self.storage[id.index()] {
            Storage::Virtual => self.make(id),
            Storage::Stored | Storage::Alias | Storage::Source => {
                let small = elements(self.lowered, id) * 4 <= self.full;
                small || *self.from.get_or_insert(id) == id
            }
            // In its reader's own loop.
            Storage::Absorbed | Storage::Summed | Storage::Unused => false,
        }
    }
}

fn elements(lowered: &Lowered, id: NodeId) -> usize {
    lowered.shape(id).iter().product()
}

/// Marks the value that a chain of views reads; the chain itself is read through strides.
fn store_behind_views(lowered: &Lowered, id: NodeId, must_store: &mut [bool]) {
    let mut id = id;
    while let Kernel::View(_) = lowered.kernel(id) {
        id = lowered.inputs(id)[0];
    }
    must_store[id.index()] = true;
}

/// Whether a per-example kernel reads this whole-batch value, directly or through views.
fn read_by_examples(lowered: &Lowered, id: NodeId) -> bool {
    lowered.users[id.index()].iter().any(|user| {
        lowered.each(*user)
            || matches!(lowered.kernel(*user), Kernel::BatchSum)
            || matches!(lowered.kernel(*user), Kernel::View(_) | Kernel::Reshape)
                && read_by_examples(lowered, *user)
    })
}

/// Whether a reader repeats this node's elements (a broadcast, overlapping windows).
fn read_through_repeat(lowered: &Lowered, id: NodeId) -> bool {
    let elements: usize = lowered.shape(id).iter().product();
    lowered.users[id.index()].iter().any(|user| match lowered.kernel(*user) {
        Kernel::View(_) => {
            lowered.shape(*user).iter().product::<usize>() > elements || read_through_repeat(lowered, *user)
        }
        Kernel::Reshape => read_through_repeat(lowered, *user),
        _ => false,
    })
}

/// An upper bound of the operations that a node costs where it is not stored; a costly one counts 10.
fn weights(lowered: &Lowered) -> Vec<usize> {
    let mut weights = vec![0usize; lowered.kernels.len()];
    for id in lowered.computation.graph.ids() {
        weights[id.index()] = match lowered.kernel(id) {
            // Stored in any case.
            Kernel::Map(_) if !lowered.each(id) && read_by_examples(lowered, id) => 0,
            Kernel::Map(scalar) => {
                let own = if is_cheap(*scalar) { 1 } else { 10 };
                lowered.inputs(id).iter().map(|input| weights[input.index()]).fold(own, usize::saturating_add)
            }
            Kernel::View(_) | Kernel::Reshape => weights[lowered.inputs(id)[0].index()],
            Kernel::Source(_)
            | Kernel::Iota(_)
            | Kernel::Reduce(..)
            | Kernel::Pad { .. }
            | Kernel::Concat(_)
            | Kernel::Contract(_)
            | Kernel::BatchSum
            | Kernel::Batch
            | Kernel::Example
            | Kernel::Leaf(_)
            | Kernel::Scan(_) => 0,
        };
    }
    weights
}
