//! The plan: buffers, kernels, their order and places. What is planned is what runs.
//!
//! A step is a list of phases with a barrier after each. A phase over tiles runs its kernels for every tile
//! of the batch; tiles are cut from the batch alone, never from the number of threads. Consecutive tiles
//! form a slot, which one worker works off in order; sums over the batch are kept per slot and added over
//! the slots in order, so no bit depends on how many workers there are. A once-phase runs whole-batch
//! kernels; large ones are cut over their outermost loop.

use super::computation::VariableId;
use super::kernel::{Combine, Conv, ConvPool, Leaf, Scalar};
use super::{Level, NodeId};
use crate::base::Span;
use crate::ty::Type;

/// A buffer of a plan, an index into [`Plan::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A kernel of a plan, an index into [`Plan::kernels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(pub u32);

/// Memory of one lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Arena {
    /// The variables of the experiment, shared by all programs of a run.
    Variables = 0,
    /// The fields of the batch, one region per input: `[batch, ..]`.
    Inputs = 1,
    /// `Once` values.
    Once = 2,
    /// `Each` values that live inside one phase: one region per worker, for one tile.
    Tile = 3,
    /// `Each` values that outlive a phase: `[batch, ..]`.
    Batch = 4,
    /// Partial sums over the batch: one region per slot.
    Slots = 5,
}

/// Number of arenas.
pub const ARENAS: usize = 6;

/// Where a value lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// The type of one example's value (or of the one value).
    pub ty: Type,
    /// How many there are.
    pub level: Level,
    /// In which arena.
    pub arena: Arena,
    /// Bytes from the arena's (region's) start; a multiple of 64.
    pub offset: usize,
    /// Bytes from one example to the next (0 for `Once`). For `Slots`, the slot's region start is added by
    /// the executor.
    pub stride: usize,
    /// Bytes from one iteration of the loop around it to the next.
    pub step: i64,
    /// A part of another buffer, from this byte of it on: it has no memory of its own.
    pub within: Option<(BufferId, i64)>,
    /// For people: the node and its scope.
    pub name: String,
}

/// The extent of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Known.
    Const(usize),
    /// The number of examples in the tile, times a factor.
    Examples(usize),
}

/// A fused loop nest: what the JIT compiles.
///
/// For every point of the output dimensions, runs the inner instructions over all points of the reduced
/// dimensions, then the outer instructions once, then stores. Instructions before the first
/// [`Instr::Reduced`] are inner (if nothing is reduced, all run once per point); from the first `Reduced` on
/// they are outer, and use only `Reduced` results, constants, coordinates of output dimensions, loads that
/// do not move with the reduced dimensions, and other outer instructions. All numbers are f32; index
/// elements are converted at loads and stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Nest {
    /// Loop extents, outermost first: output dimensions, then reduced ones. `Examples` stands at most once.
    pub dims: Vec<Extent>,
    /// How many of the last dimensions are reduced.
    pub reduced: usize,
    /// What is read.
    pub loads: Vec<Load>,
    /// What is computed; instructions refer to earlier ones by position.
    pub body: Vec<Instr>,
    /// What is written.
    pub stores: Vec<Store>,
}

/// A read of one element per point.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// From where.
    pub access: Access,
    /// The buffer is in [`Arena::Slots`] and the value is the sum over the slots, in order.
    pub sum_slots: bool,
}

/// An affine address: elements (of 4 bytes) from the buffer's start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Which buffer.
    pub buffer: BufferId,
    /// Constant part.
    pub offset: i64,
    /// For each loop dimension, the step of one iteration. A step over examples is the buffer's own.
    pub strides: Vec<i64>,
}

/// One scalar instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Instr {
    /// The element read by this load.
    Load(usize),
    /// A number.
    Const(f32),
    /// The index of the loop over this dimension, as a number.
    Coordinate(usize),
    /// A function of earlier results.
    Apply(Scalar, Vec<usize>),
    /// An earlier inner result combined over the reduced dimensions.
    Reduced(Combine, usize),
}

/// A write of one element per point of the output dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// Which instruction's result.
    pub value: usize,
    /// To where; strides of reduced dimensions are 0.
    pub access: Access,
    /// Overwrite or add.
    pub mode: WriteMode,
}

/// A number of the step that the executor provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostScalar {
    /// The step's number, from 1.
    Step,
    /// The number of examples in the batch.
    BatchSize,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Replaces what was there.
    Overwrite,
    /// Into a slot's partial sum: replaces at the slot's first tile, adds at the following ones.
    Slot,
}

/// A strided matrix product `c = a b` over a batch of matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Outer loops: extent and the step of `a`, `b`, `c` in elements. A loop whose step of `c` is 0 sums:
    /// its first iteration writes by `mode`, the others add.
    pub outer: Vec<(Extent, [i64; 3])>,
    /// Rows of `a` and `c`.
    pub m: Extent,
    /// Columns of `b` and `c`.
    pub n: Extent,
    /// Columns of `a`, rows of `b`.
    pub k: Extent,
    /// Left factor.
    pub a: Matrix,
    /// Right factor.
    pub b: Matrix,
    /// Result.
    pub c: Matrix,
    /// Overwrite or add.
    pub mode: WriteMode,
    /// Examples are those of the whole batch, not of a tile: the product stands in a once-phase, and is dealt out
    /// to the workers in this way.
    pub cut: Option<Cut>,
    /// `a` may be mostly zeros, which are then left out.
    pub sparse: bool,
}

/// What of a product over the whole batch each worker makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Some of its rows.
    Rows,
    /// Some of its columns.
    Columns,
    /// Some iterations of its first outer loop, each of which makes results of its own.
    Outer,
}

/// A strided matrix in a buffer; in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Which buffer.
    pub buffer: BufferId,
    /// From the buffer's start.
    pub offset: i64,
    /// From one row to the next.
    pub row: i64,
    /// From one column to the next.
    pub column: i64,
}

/// What a hand-written kernel computes: an op's leaf, or a part of several.
#[derive(Clone, Debug, PartialEq)]
pub enum Routine {
    /// The leaf of one op, with its inputs and its result.
    Leaf(Leaf),
    /// `(x, weights, bias) -> (pooled, taps)`: a `ConvPool` that keeps which tap of each window was the
    /// maximum, one byte each. The weights are as they are, or in Winograd's form where that is on.
    ConvPoolForward {
        /// What is computed.
        spec: ConvPool,
        /// In Winograd's form.
        winograd: bool,
    },
    /// `(g, taps, turned weights) -> dx`
    ConvPoolInputGradient(ConvPool),
    /// `(x, g, taps) -> (dw, dbias)`
    ConvPoolWeightGradient(ConvPool),
    /// `(x, weights, bias) -> y`: a convolution with a bias, and ReLU or not. The weights are as they are, or in Winograd's
    /// form where that is on.
    BiasedConv {
        /// The convolution.
        conv: Conv,
        /// In Winograd's form.
        winograd: bool,
        /// Results below 0 become 0.
        relu: bool,
    },
    /// `(x, weights) -> y`: a convolution with weights in Winograd's form.
    Winograd(Conv),
    /// `w -> weights` in Winograd's form.
    WinogradWeights {
        /// The convolution that they are for.
        conv: Conv,
        /// They are `[kh, kw, cout, cin]`, used from the last tap to the first.
        turned: bool,
    },
    /// `(g, w, images) -> dx`, as [`Leaf::ConvInput`], but gradients of pixels that come of windows over nothing but zeros
    /// in the images of a layer are given as their sum, at the first of these pixels.
    LumpedConvInput {
        /// The convolution of whose input it is the gradient.
        conv: Conv,
        /// The layer; its windows are the pixels.
        layer: Conv,
    },
    /// `w -> turned weights` for `ConvPoolInputGradient`.
    TurnedWeights(ConvPool),
}

/// A call of a hand-written kernel, once per example (or once, where the result is `Once`).
#[derive(Clone, Debug, PartialEq)]
pub struct LeafCall {
    /// Which.
    pub routine: Routine,
    /// Its inputs, contiguous.
    pub inputs: Vec<BufferId>,
    /// Its results, contiguous.
    pub outputs: Vec<BufferId>,
    /// `Slot`: adds the examples' results into a slot's partial sum (gradients of weights and `ScatterAdd`
    /// only).
    pub mode: WriteMode,
}

/// A loop over the steps of sequences: its kernels run in order in each iteration, at the places that their
/// buffers have there.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// How many iterations.
    pub count: usize,
    /// From the last to the first.
    pub reverse: bool,
    /// What an iteration does.
    pub kernels: Vec<PlannedKernel>,
    /// Buffers from outside that it reads, in whole or in part, and its carries, which have their first values.
    pub reads: Vec<BufferId>,
    /// Buffers that it writes: its result, its carries, and what lives inside of an iteration.
    pub writes: Vec<BufferId>,
}

/// What a kernel does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Compiled by the JIT.
    Nest(Nest),
    /// A matrix product.
    Gemm(Gemm),
    /// A hand-written kernel.
    Leaf(LeafCall),
    /// A loop of kernels.
    Loop(Loop),
}

/// A unit of work.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedKernel {
    /// What it does.
    pub work: Work,
    /// The nodes it computes, the result last.
    pub nodes: Vec<NodeId>,
    /// The text it comes from.
    pub span: Span,
    /// For people: `relu`, `conv2d + bias`.
    pub name: String,
    /// Floating-point operations, for one example (tile phases) or in all (once-phases).
    pub flops: u64,
    /// Those that the network defines, where some need not be done.
    pub dense: u64,
    /// For people: the way of computing that was chosen, and why. Empty where there is but one.
    pub choice: String,
}

/// What runs between two barriers.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// For every tile, in this order.
    Tiles(Vec<KernelId>),
    /// Groups of kernels with a barrier after each group; the kernels of a group do not depend on one
    /// another. A kernel marked `true` is cut over its outermost loop.
    Once(Vec<Vec<(KernelId, bool)>>),
}

/// A complete plan of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Most examples in a batch.
    pub batch: usize,
    /// Examples in a tile; the last tile of a batch may have fewer.
    pub tile: usize,
    /// Tiles in a slot; the last slot of a batch may have fewer.
    pub tiles_per_slot: usize,
    /// Slots of a full batch.
    pub slots: usize,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All kernels.
    pub kernels: Vec<PlannedKernel>,
    /// The order.
    pub phases: Vec<Phase>,
    /// Size in bytes of each arena, or of one region of it (one input set, one worker's tile, one slot).
    pub arena_bytes: [usize; ARENAS],
    /// The input regions: `(buffer, index of the input)`.
    pub inputs: Vec<(BufferId, usize)>,
    /// Where each variable lives.
    pub variables: Vec<(VariableId, BufferId)>,
    /// One-element `Once` buffers that the executor fills before each step.
    pub scalars: Vec<(BufferId, HostScalar)>,
    /// Where the host reads each output after the step.
    pub outputs: Vec<(String, BufferId)>,
    /// Updates that could not be written in place: copied after the last phase, `(from, to)`.
    pub copies: Vec<(BufferId, BufferId)>,
}

/// The byte offset of each variable in [`Arena::Variables`], and the size of the arena.
pub fn variable_layout(types: &[Type]) -> (Vec<usize>, usize) {
    let mut end = 0;
    let offsets = types
        .iter()
        .map(|ty| {
            let start = end;
            end = (start + ty.shape.elements() * 4).next_multiple_of(64);
            start
        })
        .collect();
    (offsets, end)
}

impl PlannedKernel {
    /// The loop nests of this kernel, in order.
    pub fn nests(&self) -> Vec<&Nest> {
        match &self.work {
            Work::Nest(nest) => vec![nest],
            Work::Gemm(_) | Work::Leaf(_) => Vec::new(),
            Work::Loop(work) => work.kernels.iter().flat_map(PlannedKernel::nests).collect(),
        }
    }
}
