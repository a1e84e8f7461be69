//! Floor 5: loop nests to machine code, by Cranelift and, for wide vectors, without it.
//!
//! A [`Nest`](crate::ir::plan::Nest) becomes one function over a range of its outermost loop. Its addresses are arguments, so
//! nests that differ in buffers and offsets alone share a function. `loops` brings a nest into a normal
//! form, `schedule` decides the order of loops and what goes into vector lanes, `body` says what instructions mean.
//! `emit`, `lanes`, `memory` and `math` generate Cranelift's code for vectors of four lanes, `function` makes a
//! function of it; `wide` generates instructions of AVX-512 and AVX2. `module` makes either executable. `step` makes
//! one function of a whole step.

mod body;
mod emit;
mod function;
mod lanes;
mod loops;
mod math;
mod memory;
mod module;
mod schedule;
mod step;
mod wide;

pub use module::{Code, Stage, StepCode, dump, dump_step, dump_wide};
pub use step::{Address, Call, Host, Part, State, Step, StepFunction};

use crate::ir::plan::Extent;
use emit::CUT;
use loops::Loops;
use schedule::{Lanes, Schedule};

/// What a compiled nest reads besides memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// How many examples the loops over examples run over.
    pub examples: i64,
    /// How many slots hold partial sums.
    pub slots_used: i64,
    /// Bytes from one slot's region to the next.
    pub slot_stride: i64,
    /// 0 at the first tile of a slot, whose partial sums replace what was there; -1 after that.
    pub keep: i32,
}

/// A compiled nest: context, the address of the first element of each access (loads, then stores), and
/// the range of the outermost loop.
pub type Function = unsafe extern "C" fn(*const Context, *const *mut u8, i64, i64);

/// A nest ready to be called.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code; lives as long as the [`Code`] it is from.
    pub function: Function,
    /// The outermost loop; `None` where the function must be called once, with any range.
    pub range: Option<Range>,
}

/// The outermost loop of a compiled nest, which a caller may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// How many iterations.
    pub extent: Extent,
    /// Cuts lie at multiples of this.
    pub grain: usize,
}

/// The range that the function of a nest takes: its outermost output dimension. A short one that lies in the
/// lanes is written out instead.
fn ranged(loops: &Loops, schedule: &Schedule) -> Option<Range> {
    let short = |extent: Extent| matches!(extent, Extent::Const(n) if n < 256);
    let extent = *loops.dims.first().filter(|_| loops.outputs() > 0)?;
    match schedule.lanes == Lanes::Output(0) {
        true if short(extent) => None,
        true => Some(Range { extent, grain: CUT }),
        false => Some(Range { extent, grain: 1 }),
    }
}
