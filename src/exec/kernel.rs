//! The kernels of a plan, ready to run at a tile or over the whole batch.

use super::leaf::LeafWork;
use super::places::{Frame, Place};
use super::product::{Part, Product};
use crate::base::Diagnostic;
use crate::ir::op::Moment;
use crate::ir::plan::{Buffer, Plan, PlannedKernel, Work};
use crate::jit::{Code, Context, Entry};
use crate::kernels;
use crate::kernels::isa::Isa;

/// One kernel.
pub enum Kernel {
    /// Machine code.
    Nest(Entry, Vec<Place>),
    /// A matrix product.
    Product(Product),
    /// A hand-written kernel.
    Leaf(LeafWork),
    /// Kernels that run in each iteration.
    Loop {
        /// How many iterations.
        count: usize,
        /// From the last to the first.
        reverse: bool,
        /// In this order.
        kernels: Vec<Kernel>,
    },
}

/// What a kernel needs besides its frame; lives as long as its worker, so that steps allocate nothing.
#[derive(Default)]
pub struct Scratch {
    addresses: Vec<*mut u8>,
    /// Room for hand-written kernels.
    pub kernels: kernels::Scratch,
}

/// Facts of the running step.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Seed, step and batch.
    pub moment: Moment,
    /// How many slots hold partial sums.
    pub slots: usize,
    /// Bytes from one slot's region to the next.
    pub slot_bytes: usize,
}

/// All of it.
pub const WHOLE: Part = Part { worker: 0, workers: 1 };

impl Kernel {
    /// Makes the kernels of a plan and the code of its nests, for an instruction set.
    ///
    /// # Errors
    /// Internal errors: a plan that breaks its own rules, or a fault of the code generator.
    pub fn all(plan: &Plan, isa: Isa) -> Result<(Vec<Kernel>, Code), Diagnostic> {
        let nests: Vec<_> = plan.kernels.iter().flat_map(PlannedKernel::nests).collect();
        let code = Code::compile(&nests, &plan.buffers, isa)?;
        let mut entries = code.entries().iter();
        let made = plan.kernels.iter().map(|kernel| Kernel::new(kernel, &plan.buffers, &mut entries));
        let kernels = made.collect::<Result<Vec<_>, _>>()?;
        Ok((kernels, code))
    }

    /// One kernel; `entries` is the code of the nests that follow.
    fn new<'e>(
        kernel: &PlannedKernel,
        buffers: &[Buffer],
        entries: &mut impl Iterator<Item = &'e Entry>,
    ) -> Result<Kernel, Diagnostic> {
        let fault = |text: &str| {
            Diagnostic::internal("exec", format!("{}: {text}", kernel.name)).label(kernel.span, "this")
        };
        Ok(match &kernel.work {
            Work::Nest(nest) => {
                let entry = entries.next().ok_or_else(|| fault("a loop nest without code"))?;
                let accesses =
                    nest.loads.iter().map(|l| &l.access).chain(nest.stores.iter().map(|s| &s.access));
                let places = accesses.map(|a| Place::new(buffers, a.buffer, a.offset)).collect();
                Kernel::Nest(*entry, places)
            }
            Work::Gemm(gemm) => {
                let product = Product::new(gemm, buffers);
                Kernel::Product(product.ok_or_else(|| fault("too many loops around a product"))?)
            }
            Work::Leaf(call) => Kernel::Leaf(LeafWork::new(call, buffers).map_err(|e| fault(&e))?),
            Work::Loop(work) => {
                let mut kernels = Vec::with_capacity(work.kernels.len());
                for kernel in &work.kernels {
                    kernels.push(Kernel::new(kernel, buffers, &mut *entries)?);
                }
                Kernel::Loop { count: work.count, reverse: work.reverse, kernels }
            }
        })
    }

    /// Runs the kernel, or one worker's part of it.
    pub fn run(&self, frame: &Frame, facts: &Facts, part: Part, scratch: &mut Scratch) {
        match self {
            Kernel::Nest(entry, places) => {
                let Some((from, to)) = range(entry, frame, part) else { return };
                scratch.addresses.clear();
                scratch.addresses.extend(places.iter().map(|place| frame.address(place)));
                let context = Context {
                    examples: frame.examples as i64,
                    slots_used: facts.slots as i64,
                    slot_stride: facts.slot_bytes as i64,
                    keep: if frame.adds { -1 } else { 0 },
                };
                // SAFETY: the code was generated for this nest, and the addresses are those of its accesses:
                // the plan keeps every loop within their buffers. The code outlives the kernels.
                unsafe { (entry.function)(&context, scratch.addresses.as_ptr(), from as i64, to as i64) }
            }
            Kernel::Product(product) => product.run(frame, part, &mut scratch.kernels),
            Kernel::Leaf(leaf) => {
                if part.worker == 0 {
                    leaf.run(frame, facts, scratch);
                }
            }
            Kernel::Loop { count, reverse, kernels } => {
                if part.worker > 0 {
                    return;
                }
                for turn in 0..*count {
                    let iteration = if *reverse { count - 1 - turn } else { turn };
                    let frame = Frame { iteration, ..*frame };
                    kernels.iter().for_each(|kernel| kernel.run(&frame, facts, WHOLE, scratch));
                }
            }
        }
    }
}

/// The worker's range of the outermost loop; `None` if there is nothing left for it.
fn range(entry: &Entry, frame: &Frame, part: Part) -> Option<(usize, usize)> {
    let Some(range) = entry.range else { return (part.worker == 0).then_some((0, 1)) };
    let share = part.of(frame.count(range.extent), range.grain);
    (!share.is_empty()).then_some((share.start, share.end))
}

/// Elements of a buffer's one value.
pub fn elements(buffers: &[Buffer], id: crate::ir::plan::BufferId) -> usize {
    buffers[id.0 as usize].ty.shape.elements()
}
