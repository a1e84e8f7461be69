//! From a computation to a plan: which values are stored, in which loops they are computed, in which order,
//! and where in memory.
//!
//! `lowered` names the kernel kind of each node; `roots` decides what is stored; `kernels` makes a loop nest
//! (`nest`), a matrix product (`gemm`) or a leaf call for each stored value, `whole` which products run for all
//! examples at once, `parts` which of these are summed in parts; `epilogue` has convolutions add their bias; `merge` joins
//! neighbours; `again` has values made
//! again instead of kept;
//! `schedule` orders them in phases; `updates` writes variables in place; `memory` gives offsets.

mod again;
mod batch;
mod buffers;
mod choice;
mod conv_pool;
pub mod cost;
mod epilogue;
mod gemm;
mod index;
mod kernels;
mod lowered;
mod lumps;
mod memory;
mod merge;
mod nest;
mod parts;
mod roots;
mod scan;
mod schedule;
pub mod show;
mod tiles;
mod updates;
mod whole;
mod zeros;

use crate::base::Diagnostic;
use crate::ir::Computation;
use crate::ir::computation::VariableId;
use crate::ir::kernel::{Gradient, Leaf};
use crate::ir::plan::{Arena, BufferId, Plan, variable_layout};
use crate::ty::Type;

/// What a plan depends on besides the computation. Never the number of threads.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Most examples in a batch.
    pub batch: usize,
    /// Examples in a tile, if not chosen by the planner.
    pub tile: Option<usize>,
    /// Whether kernels are fused and memory is shared; off for comparisons.
    pub fuse: bool,
}

/// Plans a step.
///
/// # Errors
/// An internal error where an op has not been decomposed.
pub fn plan(
    computation: &Computation,
    variables: &[Type],
    options: &PlanOptions,
) -> Result<Plan, Diagnostic> {
    let in_parts = if options.fuse { parts::in_parts(computation, options)? } else { None };
    let computation = in_parts.as_ref().unwrap_or(computation);
    let lowered = lowered::Lowered::new(computation)?;
    let roots = roots::decide(&lowered, options.fuse);
    let mut built = kernels::build(&lowered, &roots, options);
    choice::tell(&lowered, &mut built.kernels);
    let value = |built: &kernels::Kernels, node| built.buffers.value(node).0;
    let outputs: Vec<(String, BufferId)> =
        computation.outputs.iter().map(|(name, node)| (name.clone(), value(&built, *node))).collect();
    let output_buffers: Vec<BufferId> = outputs.iter().map(|(_, b)| *b).collect();
    let mut updates: Vec<(VariableId, BufferId, BufferId)> = Vec::new();
    for update in &computation.updates {
        let from = value(&built, update.value);
        let to = built.variable(update.variable, &variables[update.variable.0 as usize]);
        updates.push((update.variable, to, from));
    }
    let kernels::Kernels { buffers, kernels, inputs, variables: bound, scalars, .. } = built;
    let mut buffers = buffers.all;
    let kept: Vec<BufferId> =
        updates.iter().map(|(.., from)| *from).chain(output_buffers.iter().copied()).collect();
    let (mut kernels, least) = if options.fuse {
        let mut joined = epilogue::join(kernels, &buffers, &kept);
        lumps::find(&mut joined, &buffers, &kept);
        let merged = merge::merge(joined, &buffers, &kept);
        again::make(merged, &mut buffers, &kept, options.batch)
    } else {
        (kernels, Vec::new())
    };
    let schedule = schedule::schedule(&kernels, &mut buffers, &output_buffers, &least);
    scan::settle(&kernels, &mut buffers);
    let copies = updates::in_place(&mut kernels, &mut buffers, &schedule, &updates, &output_buffers);

    let host: Vec<BufferId> = (inputs.iter().map(|(b, _)| *b))
        .chain(scalars.iter().map(|(b, _)| *b))
        .chain(output_buffers)
        .chain(copies.iter().map(|(from, _)| *from))
        .collect();
    let sizes = memory::Sizes { batch: options.batch, tile: 1 };
    let one = memory::place(&kernels, &schedule.phases, &mut buffers, &sizes, options.fuse, &host);
    let partial = one[Arena::Slots as usize];
    let example_bytes = one[Arena::Tile as usize] + memory::kept(&kernels, &schedule.phases, &buffers);
    let cuts = tiles::choose(&kernels, &schedule.phases, example_bytes, partial, options);
    let sizes = memory::Sizes { batch: options.batch, tile: cuts.tile };
    let mut arena_bytes =
        memory::place(&kernels, &schedule.phases, &mut buffers, &sizes, options.fuse, &host);
    let (offsets, end) = variable_layout(variables);
    arena_bytes[Arena::Variables as usize] = end;
    for (variable, buffer) in &bound {
        buffers[buffer.0 as usize].offset = offsets[variable.0 as usize];
    }
    scan::locate(&mut buffers);
    Ok(Plan {
        batch: options.batch,
        tile: cuts.tile,
        tiles_per_slot: cuts.tiles_per_slot,
        slots: cuts.slots,
        buffers,
        kernels,
        phases: schedule.phases,
        arena_bytes,
        inputs,
        variables: bound,
        scalars,
        outputs,
        copies,
    })
}

/// Whether a leaf can add its examples' results into a slot itself.
fn leaf_adds(leaf: &Leaf) -> bool {
    match leaf {
        Leaf::ConvWeight(_)
        | Leaf::WinogradWeight(_)
        | Leaf::ConvPoolGradient(_, Gradient::Weight | Gradient::Bias)
        | Leaf::ScatterAdd { .. } => true,
        Leaf::Conv(_)
        | Leaf::ConvInput(_)
        | Leaf::ConvPool { .. }
        | Leaf::ConvPoolGradient(_, Gradient::Input)
        | Leaf::Winograd { .. }
        | Leaf::MaxPool(_)
        | Leaf::MaxPoolInput(_)
        | Leaf::MaxPoolPick(_)
        | Leaf::SumPool(_)
        | Leaf::SumPoolInput(_)
        | Leaf::ArgMax { .. }
        | Leaf::ArgSort { .. }
        | Leaf::CumSum { .. }
        | Leaf::Gather { .. }
        | Leaf::Random { .. } => false,
    }
}
