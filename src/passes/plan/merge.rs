//! Joins neighbouring loop nests over the same loops into one: what one writes the next reads in a register,
//! and what both read is read once. An optimizer's updates of a parameter and its moments become one pass.

use std::collections::{HashMap, HashSet};

use super::nest::prune;
use crate::ir::Level;
use crate::ir::plan::{Buffer, BufferId, Extent, Instr, Load, Nest, PlannedKernel, Store, Work, WriteMode};

/// How many kernels back a partner is looked for.
const WINDOW: usize = 8;
/// The largest joined nest, so that its values stay in registers.
const INSTRUCTIONS: usize = 64;
const STREAMS: usize = 16;

/// The buffers a kernel reads.
pub fn reads(kernel: &PlannedKernel) -> Vec<BufferId> {
    match &kernel.work {
        Work::Nest(nest) => nest.loads.iter().map(|load| load.access.buffer).collect(),
        Work::Gemm(gemm) => vec![gemm.a.buffer, gemm.b.buffer],
        Work::Leaf(call) => call.inputs.clone(),
        Work::Loop(work) => work.reads.clone(),
    }
}

/// The buffers a kernel writes.
pub fn writes(kernel: &PlannedKernel) -> Vec<BufferId> {
    match &kernel.work {
        Work::Nest(nest) => nest.stores.iter().map(|store| store.access.buffer).collect(),
        Work::Gemm(gemm) => vec![gemm.c.buffer],
        Work::Leaf(call) => call.outputs.clone(),
        Work::Loop(work) => work.writes.clone(),
    }
}

/// Whether a kernel runs for every tile: it loops over examples of a tile or adds into slots. A nest that touches
/// the values of all examples, by a loop of known extent, does not.
pub fn in_tiles(kernel: &PlannedKernel, buffers: &[Buffer]) -> bool {
    let per_example = |b: &BufferId| buffers[b.0 as usize].level == Level::Each;
    if matches!(&kernel.work, Work::Gemm(gemm) if gemm.cut.is_some()) {
        return false;
    }
    let slot = match &kernel.work {
        Work::Nest(nest) => nest.stores.iter().any(|s| s.mode == WriteMode::Slot),
        Work::Gemm(gemm) => gemm.mode == WriteMode::Slot,
        Work::Leaf(call) => call.mode == WriteMode::Slot,
        Work::Loop(_) => false,
    };
    if let Work::Nest(nest) = &kernel.work {
        return slot || nest.dims.iter().any(|dim| matches!(dim, Extent::Examples(_)));
    }
    slot || reads(kernel).iter().any(per_example) || writes(kernel).iter().any(per_example)
}

/// Joins what can be joined, then drops what nobody reads; `kept` are the buffers that are read after the step.
pub fn merge(kernels: Vec<PlannedKernel>, buffers: &[Buffer], kept: &[BufferId]) -> Vec<PlannedKernel> {
    let mut list = List { kernels: Vec::new(), read: HashMap::new(), written: HashMap::new() };
    for kernel in kernels {
        if let Some((at, nest)) = list.up(&kernel, buffers) {
            list.join(at, at, kernel, nest);
        } else if let Some((at, nest)) = list.down(&kernel, buffers) {
            list.join(at, list.kernels.len(), kernel, nest);
        } else {
            list.note(list.kernels.len(), &kernel);
            list.kernels.push(Some(kernel));
        }
    }
    let mut kernels: Vec<PlannedKernel> = list.kernels.into_iter().flatten().collect();
    drop_unread(&mut kernels, kept);
    kernels
}

/// The kernels so far. A kernel that has moved leaves a gap.
struct List {
    kernels: Vec<Option<PlannedKernel>>,
    /// The last kernel that reads a buffer, and the last that writes it.
    read: HashMap<BufferId, usize>,
    written: HashMap<BufferId, usize>,
}

impl List {
    /// The latest earlier kernel that this one can be moved up to, with the joined nest.
    fn up(&self, kernel: &PlannedKernel, buffers: &[Buffer]) -> Option<(usize, Nest)> {
        let nest = plain(kernel)?;
        let (needs, own) = (reads(kernel), writes(kernel));
        let near = self.kernels.iter().enumerate().rev().filter_map(|(at, k)| Some((at, k.as_ref()?)));
        for (at, candidate) in near.take(WINDOW) {
            if let Work::Nest(first) = &candidate.work
                && in_tiles(candidate, buffers) == in_tiles(kernel, buffers)
                && shares(first, nest)
                && let Some(joined) = join(first, nest)
            {
                return Some((at, joined));
            }
            // Moving up past a kernel whose result is needed, or overwritten in part, is not possible.
            if writes(candidate).iter().any(|b| needs.contains(b) || own.contains(b)) {
                return None;
            }
        }
        None
    }

    /// A kernel, however far back, that makes what this one reads and that can be moved down to it: nothing in
    /// between reads what it writes, or writes what it touches.
    fn down(&self, kernel: &PlannedKernel, buffers: &[Buffer]) -> Option<(usize, Nest)> {
        let nest = plain(kernel)?;
        let needs = reads(kernel);
        let makers = needs.iter().filter_map(|b| self.written.get(b).copied());
        makers.into_iter().find_map(|at| {
            let candidate = self.kernels[at].as_ref()?;
            let (from, to) = (reads(candidate), writes(candidate));
            let last = |b: &BufferId| self.written.get(b).is_none_or(|written| *written <= at);
            let free = to.iter().all(|b| self.read.get(b).is_none_or(|read| *read <= at));
            let Work::Nest(first) = &candidate.work else { return None };
            if !free || !from.iter().chain(&to).all(last) {
                return None;
            }
            let same = in_tiles(candidate, buffers) == in_tiles(kernel, buffers);
            same.then(|| join(first, nest)).flatten().map(|joined| (at, joined))
        })
    }

    /// Puts the join of a kernel with the one at `from` to the place `to`.
    fn join(&mut self, from: usize, to: usize, kernel: PlannedKernel, nest: Nest) {
        let Some(mut target) = self.kernels[from].take() else { return };
        target.work = Work::Nest(nest);
        target.flops += kernel.flops;
        target.dense += kernel.dense;
        if target.name != kernel.name {
            target.name = format!("{}; {}", target.name, kernel.name);
        }
        target.nodes.extend(kernel.nodes);
        self.note(to, &target);
        if to == self.kernels.len() {
            self.kernels.push(Some(target));
        } else {
            self.kernels[to] = Some(target);
        }
    }

    fn note(&mut self, at: usize, kernel: &PlannedKernel) {
        for buffer in reads(kernel) {
            let last = self.read.entry(buffer).or_insert(at);
            *last = at.max(*last);
        }
        for buffer in writes(kernel) {
            let last = self.written.entry(buffer).or_insert(at);
            *last = at.max(*last);
        }
    }
}

/// The nest of a kernel that may be joined.
fn plain(kernel: &PlannedKernel) -> Option<&Nest> {
    match &kernel.work {
        Work::Nest(nest) if nest.reduced == 0 && !nest.dims.is_empty() => Some(nest),
        Work::Nest(_) | Work::Gemm(_) | Work::Leaf(_) | Work::Loop(_) => None,
    }
}

/// Whether two nests touch a value in common. Without one there is nothing to save, and a join of the updates of two
/// parameters keeps the rest of each update from joining.
fn shares(first: &Nest, second: &Nest) -> bool {
    let touched = |nest: &Nest| -> HashSet<BufferId> {
        let accesses = nest.loads.iter().map(|load| &load.access);
        let accesses = accesses.chain(nest.stores.iter().map(|store| &store.access));
        // A number that stays the same costs nothing to read again.
        accesses.filter(|access| access.strides.iter().any(|s| *s != 0)).map(|access| access.buffer).collect()
    };
    !touched(first).is_disjoint(&touched(second))
}

/// Drops the stores of loop nests that no kernel and nobody after the step reads.
fn drop_unread(kernels: &mut [PlannedKernel], kept: &[BufferId]) {
    let read: HashSet<BufferId> = kernels.iter().flat_map(reads).chain(kept.iter().copied()).collect();
    for kernel in kernels {
        if let Work::Nest(nest) = &mut kernel.work
            && nest.stores.iter().any(|store| read.contains(&store.access.buffer))
        {
            nest.stores.retain(|store| read.contains(&store.access.buffer));
            prune(nest);
        }
    }
}

fn join(first: &Nest, second: &Nest) -> Option<Nest> {
    if first.dims != second.dims || first.reduced > 0 || first.body.len() + second.body.len() > INSTRUCTIONS {
        return None;
    }
    let written = |load: &Load| first.stores.iter().find(|s| s.access.buffer == load.access.buffer);
    for load in &second.loads {
        if let Some(store) = written(load)
            && (store.access != load.access || store.mode != WriteMode::Overwrite || load.sum_slots)
        {
            return None;
        }
    }
    let mut joined = first.clone();
    let mut at = Vec::with_capacity(second.body.len());
    for instr in &second.body {
        let instr = match instr {
            Instr::Load(i) => {
                let load = &second.loads[*i];
                if let Some(store) = written(load) {
                    at.push(store.value);
                    continue;
                }
                let position = joined.loads.iter().position(|l| l == load).unwrap_or_else(|| {
                    joined.loads.push(load.clone());
                    joined.loads.len() - 1
                });
                Instr::Load(position)
            }
            Instr::Apply(scalar, args) => Instr::Apply(*scalar, args.iter().map(|a| at[*a]).collect()),
            Instr::Const(_) | Instr::Coordinate(_) => instr.clone(),
            Instr::Reduced(..) => return None,
        };
        match joined.body.iter().position(|i| same_instr(i, &instr)) {
            Some(position) => at.push(position),
            None => {
                joined.body.push(instr);
                at.push(joined.body.len() - 1);
            }
        }
    }
    joined.stores.extend(second.stores.iter().map(|s| Store { value: at[s.value], ..s.clone() }));
    prune(&mut joined);
    (joined.loads.len() + joined.stores.len() <= STREAMS).then_some(joined)
}

/// Equality that does not take two NaN constants for different ones.
fn same_instr(a: &Instr, b: &Instr) -> bool {
    match (a, b) {
        (Instr::Const(x), Instr::Const(y)) => x.to_bits() == y.to_bits(),
        _ => a == b,
    }
}
