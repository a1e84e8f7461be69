//! Where new values of variables are written: in place where nothing reads the old value afterwards.

use std::collections::HashMap;

use super::merge::{reads, writes};
use super::schedule::Schedule;
use crate::ir::computation::VariableId;
use crate::ir::plan::{Arena, Buffer, BufferId, PlannedKernel, Work, WriteMode};

/// Redirects the stores of updates to the variables themselves where that is safe; the others are copied
/// after the last phase. `updates` are `(variable, its buffer, buffer of the new value)`.
pub fn in_place(
    kernels: &mut [PlannedKernel],
    buffers: &mut [Buffer],
    schedule: &Schedule,
    updates: &[(VariableId, BufferId, BufferId)],
    outputs: &[BufferId],
) -> Vec<(BufferId, BufferId)> {
    let uses = Uses::new(kernels, buffers.len());
    let mut times = vec![0usize; buffers.len()];
    updates.iter().for_each(|(.., value)| times[value.0 as usize] += 1);
    let mut copies = Vec::new();
    let mut redirected: HashMap<BufferId, BufferId> = HashMap::new();
    for (_, variable, value) in updates {
        let shared = times[value.0 as usize] > 1;
        let computed = buffers[value.0 as usize].arena == Arena::Once;
        if value == variable {
            continue;
        }
        if computed
            && !shared
            && !outputs.contains(value)
            && uses.is_safe(kernels, schedule, *variable, *value)
        {
            redirected.insert(*value, *variable);
        } else {
            copies.push((*value, *variable));
        }
    }
    for kernel in kernels.iter_mut() {
        rename(kernel, &redirected);
    }
    for buffer in buffers.iter_mut() {
        if let Some((root, _)) = &mut buffer.within
            && let Some(to) = redirected.get(root)
        {
            *root = *to;
        }
    }
    copies
}

/// Which kernels read and write each buffer.
struct Uses {
    readers: Vec<Vec<usize>>,
    writers: Vec<Vec<usize>>,
}

impl Uses {
    fn new(kernels: &[PlannedKernel], buffers: usize) -> Uses {
        let mut uses = Uses { readers: vec![Vec::new(); buffers], writers: vec![Vec::new(); buffers] };
        for (k, kernel) in kernels.iter().enumerate() {
            reads(kernel).iter().for_each(|b| uses.readers[b.0 as usize].push(k));
            writes(kernel).iter().for_each(|b| uses.writers[b.0 as usize].push(k));
        }
        uses
    }

    /// Whether the one kernel that makes `value` may write it over `variable`: all other readers of the
    /// variable have run, and the kernel itself reads the variable at no other place than where it writes.
    fn is_safe(
        &self,
        kernels: &[PlannedKernel],
        schedule: &Schedule,
        variable: BufferId,
        value: BufferId,
    ) -> bool {
        let [writer] = self.writers[value.0 as usize][..] else { return false };
        let Work::Nest(nest) = &kernels[writer].work else { return false };
        if nest.reduced > 0 {
            return false;
        }
        let Some(store) = nest.stores.iter().find(|s| s.access.buffer == value) else { return false };
        if store.mode != WriteMode::Overwrite {
            return false;
        }
        let same_place = |access: &crate::ir::plan::Access| {
            access.offset == store.access.offset && access.strides == store.access.strides
        };
        let own_reads =
            nest.loads.iter().filter(|l| l.access.buffer == variable).all(|l| same_place(&l.access));
        let mut others = self.readers[variable.0 as usize].iter().filter(|k| **k != writer);
        own_reads && others.all(|k| schedule.when[*k] < schedule.when[writer])
    }
}

/// Gives buffers other names.
pub(super) fn rename(kernel: &mut PlannedKernel, redirected: &HashMap<BufferId, BufferId>) {
    let swap = |buffer: &mut BufferId| {
        if let Some(to) = redirected.get(buffer) {
            *buffer = *to;
        }
    };
    match &mut kernel.work {
        Work::Nest(nest) => {
            nest.loads.iter_mut().for_each(|l| swap(&mut l.access.buffer));
            nest.stores.iter_mut().for_each(|s| swap(&mut s.access.buffer));
        }
        Work::Gemm(gemm) => {
            [&mut gemm.a, &mut gemm.b, &mut gemm.c].into_iter().for_each(|m| swap(&mut m.buffer))
        }
        Work::Leaf(call) => {
            call.inputs.iter_mut().chain(&mut call.outputs).for_each(swap);
        }
        Work::Loop(work) => {
            work.kernels.iter_mut().for_each(|kernel| rename(kernel, redirected));
            work.reads.iter_mut().chain(&mut work.writes).for_each(swap);
        }
    }
}
