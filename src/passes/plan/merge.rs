//! Joins neighbouring loop nests over the same loops into one: what one writes the next reads in a register,
//! and what both read is read once. An optimizer's updates of a parameter and its moments become one pass.

use super::nest::prune;
use crate::ir::Level;
use crate::ir::plan::{Buffer, BufferId, Instr, Load, Nest, PlannedKernel, Store, Work, WriteMode};

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
    }
}

/// The buffers a kernel writes.
pub fn writes(kernel: &PlannedKernel) -> Vec<BufferId> {
    match &kernel.work {
        Work::Nest(nest) => nest.stores.iter().map(|store| store.access.buffer).collect(),
        Work::Gemm(gemm) => vec![gemm.c.buffer],
        Work::Leaf(call) => call.outputs.clone(),
    }
}

/// Whether a kernel runs for every tile: it loops over examples or adds into slots.
pub fn in_tiles(kernel: &PlannedKernel, buffers: &[Buffer]) -> bool {
    let per_example = |b: &BufferId| buffers[b.0 as usize].level == Level::Each;
    let slot = match &kernel.work {
        Work::Nest(nest) => nest.stores.iter().any(|s| s.mode == WriteMode::Slot),
        Work::Gemm(gemm) => gemm.mode == WriteMode::Slot,
        Work::Leaf(call) => call.mode == WriteMode::Slot,
    };
    slot || reads(kernel).iter().any(per_example) || writes(kernel).iter().any(per_example)
}

/// Joins what can be joined.
pub fn merge(kernels: Vec<PlannedKernel>, buffers: &[Buffer]) -> Vec<PlannedKernel> {
    let mut out: Vec<PlannedKernel> = Vec::new();
    for kernel in kernels {
        match partner(&out, &kernel, buffers) {
            Some((position, nest)) => {
                let target = &mut out[position];
                target.work = Work::Nest(nest);
                target.flops += kernel.flops;
                target.dense += kernel.dense;
                if target.name != kernel.name {
                    target.name = format!("{}; {}", target.name, kernel.name);
                }
                target.nodes.extend(kernel.nodes);
            }
            None => out.push(kernel),
        }
    }
    out
}

/// The latest earlier kernel that this one can be joined to, with the joined nest.
fn partner(earlier: &[PlannedKernel], kernel: &PlannedKernel, buffers: &[Buffer]) -> Option<(usize, Nest)> {
    let Work::Nest(nest) = &kernel.work else { return None };
    if nest.reduced > 0 || nest.dims.is_empty() {
        return None;
    }
    let (needs, own) = (reads(kernel), writes(kernel));
    for position in (earlier.len().saturating_sub(WINDOW)..earlier.len()).rev() {
        let candidate = &earlier[position];
        if let Work::Nest(first) = &candidate.work
            && in_tiles(candidate, buffers) == in_tiles(kernel, buffers)
            && let Some(joined) = join(first, nest)
        {
            return Some((position, joined));
        }
        // Moving up past a kernel whose result is needed, or overwritten in part, is not possible.
        if writes(candidate).iter().any(|b| needs.contains(b) || own.contains(b)) {
            return None;
        }
    }
    None
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
