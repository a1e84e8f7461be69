//! Steps of small networks as one call into compiled code.
//!
//! Where a step is some microseconds long, going from kernel to kernel is a good part of it. Then the code
//! generator writes out the whole step, with its loops over tiles and its nests, for a full batch; the other
//! kernels are called from there. A last batch of fewer examples is run kernel by kernel.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::engine::Step;
use super::kernel::{Facts, Kernel, Scratch, WHOLE};
use super::places::{Frame, Place};
use super::schedule::{Stretch, stretches};
use crate::base::Diagnostic;
use crate::ir::plan::{ARENAS, Access, Arena, KernelId, Phase, Plan, Work};
use crate::jit::{self, Call, Part, State, StepCode};

/// The step of a plan as one function.
pub struct Whole {
    code: StepCode,
}

/// What the host needs to run a kernel for the code.
struct Context<'a> {
    kernels: &'a [Kernel],
    facts: Facts,
    scratch: &'a mut Scratch,
    panic: Option<Box<dyn Any + Send>>,
}

/// More kernels than this are not written out in one function: a tenth of a second of compiling.
const KERNELS: usize = 512;

/// With more floating-point operations than this a step takes some ten microseconds, and going from kernel to
/// kernel hardly shows.
const WORK: u64 = 1 << 19;

/// The step of a plan for the code generator, if it runs in one call: where no part of it is worth a second
/// worker, whatever the machine has, and the way from kernel to kernel counts.
pub fn in_one_call(plan: &Plan) -> Option<jit::Step<'_>> {
    if !is_small(plan) {
        return None;
    }
    let kernels = |list: &[KernelId]| list.iter().map(|k| call(plan, k.0 as usize)).collect();
    let parts = plan.phases.iter().map(|phase| match phase {
        Phase::Tiles(list) => Part { tiles: true, calls: kernels(list) },
        Phase::Once(groups) => {
            let list: Vec<KernelId> = groups.iter().flatten().map(|(k, _)| *k).collect();
            Part { tiles: false, calls: kernels(&list) }
        }
    });
    Some(jit::Step {
        batch: plan.batch,
        tile: plan.tile,
        tiles_per_slot: plan.tiles_per_slot,
        slot_bytes: plan.arena_bytes[Arena::Slots as usize].next_multiple_of(64),
        parts: parts.collect(),
    })
}

fn is_small(plan: &Plan) -> bool {
    let flops = |k: &KernelId| plan.kernels[k.0 as usize].flops;
    let work = |phase: &Phase| match phase {
        Phase::Tiles(kernels) => kernels.iter().map(flops).sum::<u64>() * plan.batch as u64,
        Phase::Once(groups) => groups.iter().flatten().map(|(k, _)| flops(k)).sum(),
    };
    let shared = |stretch: &Stretch| match stretch {
        Stretch::Tiles { parallel, .. } => *parallel,
        Stretch::Alone(_) => false,
        Stretch::Together(_) => true,
    };
    plan.kernels.len() <= KERNELS
        && plan.phases.iter().map(work).sum::<u64>() <= WORK
        && !stretches(plan, 2).iter().any(shared)
}

fn call(plan: &Plan, kernel: usize) -> Call<'_> {
    match &plan.kernels[kernel].work {
        Work::Nest(nest) => {
            let accesses = nest.loads.iter().map(|l| &l.access).chain(nest.stores.iter().map(|s| &s.access));
            let place = |a: &Access| jit::Address::from(&Place::new(&plan.buffers, a.buffer, a.offset));
            Call::Nest(nest, accesses.map(place).collect())
        }
        Work::Gemm(_) | Work::Leaf(_) | Work::Loop(_) => Call::Host(kernel),
    }
}

impl Whole {
    /// Compiles the step of a plan, if it runs in one call.
    ///
    /// # Errors
    /// Internal errors: a plan that breaks its own rules, or a fault of the code generator.
    pub fn compile(plan: &Plan) -> Result<Option<Whole>, Diagnostic> {
        let step = in_one_call(plan);
        let code = step.map(|step| StepCode::compile(&step, &plan.buffers)).transpose()?;
        Ok(code.map(|code| Whole { code }))
    }

    /// Runs a step of a full batch; gives back what a kernel said when it panicked.
    ///
    /// # Safety
    /// The step's arenas and the kernels are those of the plan.
    pub unsafe fn run(
        &self,
        kernels: &[Kernel],
        step: &Step,
        scratch: &mut Scratch,
    ) -> Result<(), Box<dyn Any + Send>> {
        let mut context = Context { kernels, facts: step.facts, scratch, panic: None };
        let mut state = State {
            bases: step.bases,
            slot: std::ptr::null_mut(),
            first: 0,
            examples: 0,
            adds: 0,
            host,
            context: (&raw mut context).cast(),
        };
        // SAFETY: the code was generated for this plan: the caller says that the arenas are its own, and the
        // plan keeps every access within them.
        unsafe { (self.code.function())(&mut state) };
        context.panic.map_or(Ok(()), Err)
    }
}

/// Runs a kernel that is not a nest. A panic must not go through compiled code.
unsafe extern "C" fn host(state: *mut State, kernel: usize) -> i64 {
    // SAFETY: the code hands on what `run` gave it, and nobody else uses it during the call.
    let (state, context) = unsafe { (&*state, &mut *(*state).context.cast::<Context>()) };
    let mut bases: [*mut u8; ARENAS] = state.bases;
    bases[Arena::Slots as usize] = state.slot;
    let frame = Frame {
        bases,
        first: state.first as usize,
        examples: state.examples as usize,
        adds: state.adds != 0,
        iteration: 0,
    };
    let (facts, scratch) = (context.facts, &mut *context.scratch);
    let work = || context.kernels[kernel].run(&frame, &facts, WHOLE, scratch);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(()) => 0,
        Err(panic) => {
            context.panic = Some(panic);
            1
        }
    }
}
