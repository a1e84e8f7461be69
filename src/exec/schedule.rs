//! A plan's phases as stretches between barriers: what all workers do together, and what is too small for
//! that and stays with the caller.

use std::collections::HashMap;

use super::kernel::elements;
use crate::ir::plan::{BufferId, Extent, KernelId, Phase, Plan, PlannedKernel, Work};

/// What happens between two barriers.
#[derive(Clone, Debug, PartialEq)]
pub enum Stretch {
    /// The kernels for every tile; slots are dealt out to all workers, or all to the caller.
    Tiles {
        /// In this order.
        kernels: Vec<usize>,
        /// Whether all workers take part.
        parallel: bool,
    },
    /// Whole-batch kernels one after the other, by the caller.
    Alone(Vec<usize>),
    /// Whole-batch kernels that do not depend on one another.
    Together(Vec<Share>),
}

/// Who runs a whole-batch kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All workers, each a part.
    Cut(usize),
    /// One worker, counted around.
    One(usize, usize),
}

/// Below this many operations waking others costs more than they save: some microseconds.
const WORTH: u64 = 40_000;

/// The stretches of a plan for this many workers.
pub fn stretches(plan: &Plan, workers: usize) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for phase in &plan.phases {
        match phase {
            Phase::Tiles(kernels) => {
                let kernels: Vec<usize> = kernels.iter().map(|k| k.0 as usize).collect();
                let work: u64 = kernels.iter().map(|k| work(plan, &plan.kernels[*k], 1)).sum();
                let parallel = workers > 1 && plan.slots > 1 && work * plan.batch as u64 >= WORTH;
                stretches.push(Stretch::Tiles { kernels, parallel });
            }
            Phase::Once(groups) => {
                for group in groups {
                    let size = |k: &KernelId| work(plan, &plan.kernels[k.0 as usize], plan.batch);
                    let gain: u64 = match group.len() {
                        1 if !group[0].1 => 0,
                        _ => group.iter().map(|(k, _)| size(k)).sum(),
                    };
                    if workers > 1 && gain >= WORTH {
                        stretches.push(Stretch::Together(shares(group, workers, size)));
                        continue;
                    }
                    let kernels = group.iter().map(|(kernel, _)| kernel.0 as usize);
                    match stretches.last_mut() {
                        Some(Stretch::Alone(list)) => list.extend(kernels),
                        _ => stretches.push(Stretch::Alone(kernels.collect())),
                    }
                }
            }
        }
    }
    stretches
}

/// Deals out the kernels that are not cut, large ones first, each to the worker with the least work so far.
fn shares(group: &[(KernelId, bool)], workers: usize, size: impl Fn(&KernelId) -> u64) -> Vec<Share> {
    let mut whole: Vec<&KernelId> = group.iter().filter(|(_, cut)| !cut).map(|(k, _)| k).collect();
    whole.sort_by_key(|k| std::cmp::Reverse(size(k)));
    let mut work = vec![0; workers];
    let mut by = HashMap::new();
    for kernel in whole {
        let least = (0..workers).min_by_key(|worker| work[*worker]).unwrap_or(0);
        work[least] += size(kernel).max(1);
        by.insert(*kernel, least);
    }
    let share = |(kernel, _): &(KernelId, bool)| match by.get(kernel) {
        Some(worker) => Share::One(kernel.0 as usize, *worker),
        None => Share::Cut(kernel.0 as usize),
    };
    group.iter().map(share).collect()
}

/// Operations or elements moved, for one example or for `examples` of them.
fn work(plan: &Plan, kernel: &PlannedKernel, examples: usize) -> u64 {
    let moved = match &kernel.work {
        Work::Nest(nest) => {
            let extent = |dim: &Extent| match dim {
                Extent::Const(n) => *n,
                Extent::Examples(factor) => factor * examples,
            };
            let slots = if nest.loads.iter().any(|load| load.sum_slots) { plan.slots } else { 1 };
            nest.dims.iter().map(extent).product::<usize>() * slots
        }
        Work::Gemm(_) | Work::Loop(_) => 0,
        Work::Leaf(call) => {
            let of = |id: &BufferId| elements(&plan.buffers, *id);
            call.inputs.iter().chain(&call.outputs).map(of).sum::<usize>()
        }
    };
    kernel.flops.max(moved as u64)
}

/// How many workers a plan has use for.
pub fn workers(plan: &Plan, threads: usize) -> usize {
    let cut = plan.phases.iter().any(|phase| match phase {
        Phase::Once(groups) => {
            groups.iter().any(|group| group.len() > 1 || group.iter().any(|(_, cut)| *cut))
        }
        Phase::Tiles(_) => false,
    });
    let most = threads.clamp(1, 256);
    let wanted = if cut { most } else { most.min(plan.slots) };
    // All of them only if some stretch is worth it.
    let shared = |stretch: &Stretch| match stretch {
        Stretch::Tiles { parallel, .. } => *parallel,
        Stretch::Alone(_) => false,
        Stretch::Together(_) => true,
    };
    if stretches(plan, wanted).iter().any(shared) { wanted.max(1) } else { 1 }
}
