//! How a nest is run: which dimension goes into vector lanes, the order of the loops, and at which loop
//! each instruction is computed.
//!
//! The choice depends on the normal form of the nest alone, so the order of every sum is fixed by sizes.

use super::loops::{Inst, Loops};
use crate::ir::kernel::{Combine, Scalar};
use crate::ir::plan::Extent;

/// Lanes of a vector.
pub const LANES: usize = 4;

/// Partial results of a reduction along the lanes, in vectors of [`LANES`]: as many as one of the widest vectors
/// holds, so that sums have the same order in all instruction sets.
const LEAST_PARTIAL: usize = 4;

/// Where the lanes of a vector lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// Along an output dimension: a vector is several results.
    Output(usize),
    /// Along a reduced dimension: a vector is several contributions to one result.
    Reduced(usize),
    /// Nowhere: the nest has no loops.
    None,
}

/// The order of a nest's loops.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Which dimension is vectorised.
    pub lanes: Lanes,
    /// Loops over output dimensions outside the block of lanes, outermost first.
    pub outer: Vec<usize>,
    /// Loops over reduced dimensions inside the block, outermost first, without the dimension of the lanes.
    pub inner: Vec<usize>,
    /// For each instruction, how many loops stand around it.
    pub level: Vec<usize>,
    /// Whether an instruction uses the result of a reduction.
    pub follows: Vec<bool>,
    /// Whether an instruction differs from lane to lane.
    pub varies: Vec<bool>,
    /// What is needed inside the reduced loops, and what after them (or at all, if nothing is reduced).
    pub needed: [Vec<bool>; 2],
    /// Products that are contracted into the sum that uses them.
    pub contracted: Vec<Option<Contracted>>,
    /// Vectors in a block, for a loop that is not unrolled entirely.
    pub unroll: usize,
}

/// A sum of a product, rounded once: `±(a b) ± c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracted {
    /// The product's instruction.
    pub product: usize,
    /// The other operand.
    pub other: usize,
    /// The product is subtracted.
    pub minus_product: bool,
    /// The other operand is subtracted.
    pub minus_other: bool,
}

/// What a nest combines over its reduced dimensions.
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// The instruction with the result.
    pub at: usize,
    /// How.
    pub combine: Combine,
    /// The instruction whose results are combined.
    pub value: usize,
}

impl Schedule {
    /// The schedule of a nest.
    pub fn new(loops: &Loops) -> Schedule {
        let outputs = loops.outputs();
        let (contracted, swallowed) = contract(loops);
        let needed = needed(loops, &contracted, &swallowed);
        let lanes = choose(loops, &needed);
        let outer: Vec<usize> = (0..outputs).filter(|dim| lanes != Lanes::Output(*dim)).collect();
        let inner: Vec<usize> =
            (outputs..loops.dims.len()).filter(|dim| lanes != Lanes::Reduced(*dim)).collect();
        let mut order = outer.clone();
        if let Lanes::Output(dim) = lanes {
            order.push(dim);
        }
        let block = order.len();
        order.extend(&inner);
        if let Lanes::Reduced(dim) = lanes {
            order.push(dim);
        }
        let moves = moves(loops);
        let mut level = vec![0; loops.body.len()];
        let mut varies = vec![false; loops.body.len()];
        let follows = follows(loops);
        for i in 0..loops.body.len() {
            let own = order.iter().rposition(|dim| moves[i] & (1 << dim) != 0).map_or(0, |at| at + 1);
            // What follows a reduction stands behind it, even where it is the same for every output point.
            level[i] = own.max(if follows[i] { block } else { 0 });
            varies[i] = match lanes {
                Lanes::Output(dim) | Lanes::Reduced(dim) => moves[i] & (1 << dim) != 0,
                Lanes::None => false,
            };
        }
        if let (Lanes::Output(_), true) = (lanes, loops.reduced > 0) {
            // Partial results have the lanes of the block even where every lane is the same.
            for (i, inst) in loops.body.iter().enumerate() {
                varies[i] |= match inst {
                    Inst::Reduced(..) => true,
                    Inst::Apply(_, args) => args.iter().any(|arg| varies[*arg]),
                    _ => false,
                };
            }
        }
        let unroll = unroll(loops, &needed, lanes);
        Schedule { lanes, outer, inner, level, follows, varies, needed, contracted, unroll }
    }

    /// What is combined over the reduced dimensions, as far as it is needed.
    pub fn reductions(&self, loops: &Loops) -> Vec<Reduction> {
        let body = loops.body.iter().enumerate();
        body.filter_map(|(at, inst)| match inst {
            Inst::Reduced(combine, value) if self.needed[1][at] => {
                Some(Reduction { at, combine: *combine, value: *value })
            }
            _ => None,
        })
        .collect()
    }

    /// Partial results of each reduction along lanes of this extent, in vectors of [`LANES`]: a power of two, and the
    /// same for vectors of any width.
    pub fn partials(&self, extent: Extent) -> usize {
        match extent {
            Extent::Const(n) => n.div_ceil(LANES).min(self.unroll).next_power_of_two(),
            Extent::Examples(_) => self.unroll,
        }
    }

    /// How many loops stand around the block of lanes, its own included.
    pub fn block_level(&self) -> usize {
        self.outer.len() + usize::from(matches!(self.lanes, Lanes::Output(_)))
    }
}

/// Which instructions use the result of a reduction.
fn follows(loops: &Loops) -> Vec<bool> {
    let mut follows = vec![false; loops.body.len()];
    for (i, inst) in loops.body.iter().enumerate() {
        follows[i] = match inst {
            Inst::Reduced(..) => true,
            Inst::Apply(_, args) => args.iter().any(|arg| follows[*arg]),
            Inst::Load(_) | Inst::Const(_) | Inst::Coordinate(_) => false,
        };
    }
    follows
}

/// For each instruction, the set of dimensions that it moves with.
fn moves(loops: &Loops) -> Vec<u64> {
    let outputs = (1u64 << loops.outputs()) - 1;
    let mut moves = vec![0u64; loops.body.len()];
    for (i, inst) in loops.body.iter().enumerate() {
        moves[i] = match inst {
            Inst::Load(load) => {
                let strides = loops.loads[*load].strides.iter().enumerate();
                strides.filter(|(_, stride)| **stride != 0).map(|(dim, _)| 1 << dim).sum()
            }
            Inst::Const(_) => 0,
            Inst::Coordinate(dim) => 1 << dim,
            Inst::Apply(_, args) => args.iter().map(|arg| moves[*arg]).fold(0, |a, b| a | b),
            Inst::Reduced(_, value) => moves[*value] & outputs,
        };
    }
    moves
}

/// Sums of products that are rounded once: the product has no other use. Returns, for each instruction, what
/// it contracts, and whether it is itself contracted into its user.
fn contract(loops: &Loops) -> (Vec<Option<Contracted>>, Vec<bool>) {
    let mut uses = vec![0usize; loops.body.len()];
    for inst in &loops.body {
        match inst {
            Inst::Apply(_, args) => args.iter().for_each(|arg| uses[*arg] += 1),
            Inst::Reduced(_, value) => uses[*value] += 1,
            Inst::Load(_) | Inst::Const(_) | Inst::Coordinate(_) => {}
        }
    }
    loops.stores.iter().for_each(|store| uses[store.value] += 1);
    let product = |at: usize| uses[at] == 1 && matches!(loops.body[at], Inst::Apply(Scalar::Mul, _));
    let mut contracted = vec![None; loops.body.len()];
    let mut swallowed = vec![false; loops.body.len()];
    for (i, inst) in loops.body.iter().enumerate() {
        let found = match inst {
            Inst::Apply(sum @ (Scalar::Add | Scalar::Sub), args) => {
                let minus = *sum == Scalar::Sub;
                if product(args[0]) {
                    Some(Contracted {
                        product: args[0],
                        other: args[1],
                        minus_product: false,
                        minus_other: minus,
                    })
                } else if product(args[1]) {
                    Some(Contracted {
                        product: args[1],
                        other: args[0],
                        minus_product: minus,
                        minus_other: false,
                    })
                } else {
                    None
                }
            }
            Inst::Reduced(Combine::Sum, value) if product(*value) => {
                Some(Contracted { product: *value, other: i, minus_product: false, minus_other: false })
            }
            _ => None,
        };
        if let Some(found) = found {
            swallowed[found.product] = true;
        }
        contracted[i] = found;
    }
    (contracted, swallowed)
}

/// What is computed inside the reduced loops and what after them.
fn needed(loops: &Loops, contracted: &[Option<Contracted>], swallowed: &[bool]) -> [Vec<bool>; 2] {
    let mut inner = vec![false; loops.body.len()];
    let mut outer = vec![false; loops.body.len()];
    loops.stores.iter().for_each(|store| outer[store.value] = true);
    for i in (0..loops.body.len()).rev() {
        for needed in [&mut inner, &mut outer] {
            if !needed[i] {
                continue;
            }
            if let Inst::Apply(_, args) = &loops.body[i] {
                args.iter().for_each(|arg| needed[*arg] = true);
            }
        }
        if let (Inst::Reduced(_, value), true) = (&loops.body[i], outer[i]) {
            inner[*value] = true;
        }
    }
    // A contracted product is computed by its user, which reads the factors itself.
    for needed in [&mut inner, &mut outer] {
        needed.iter_mut().zip(swallowed).for_each(|(needed, swallowed)| *needed &= !swallowed);
    }
    debug_assert!(contracted.iter().flatten().all(|c| !inner[c.product] && !outer[c.product]));
    [inner, outer]
}

/// A rough number of machine instructions.
fn weight(scalar: Scalar) -> usize {
    match scalar {
        Scalar::Exp | Scalar::Sigmoid | Scalar::Tanh | Scalar::Log => 20,
        Scalar::Erf | Scalar::Sin | Scalar::Cos | Scalar::Pow => 40,
        Scalar::Div | Scalar::Sqrt | Scalar::Rsqrt | Scalar::Sign | Scalar::Select => 3,
        _ => 1,
    }
}

fn arithmetic(loops: &Loops, needed: &[bool]) -> usize {
    let weights = loops.body.iter().zip(needed).filter(|(_, needed)| **needed);
    weights
        .map(|(inst, _)| match inst {
            Inst::Apply(scalar, _) => weight(*scalar),
            _ => 0,
        })
        .sum()
}

/// The dimension for the lanes: where memory is contiguous and the extent fills the vectors.
fn choose(loops: &Loops, needed: &[Vec<bool>; 2]) -> Lanes {
    let outputs = loops.outputs();
    let hot = if loops.reduced > 0 { &needed[0] } else { &needed[1] };
    let work = arithmetic(loops, hot) as f64;
    let extent = |dim: usize| match loops.dims[dim] {
        Extent::Const(n) => n as f64,
        Extent::Examples(n) => n as f64 * 16.0,
    };
    let step = |stride: i64| match stride {
        0 => 0.4,
        1 => 1.0,
        _ => 5.0,
    };
    let reads = |dim: usize| -> f64 {
        let loads = loops.body.iter().zip(hot).filter(|(_, needed)| **needed);
        loads
            .map(|(inst, _)| match inst {
                Inst::Load(load) => step(loops.loads[*load].strides[dim]),
                _ => 0.0,
            })
            .sum()
    };
    let share: f64 = (outputs..loops.dims.len()).map(extent).product();
    let cost = |dim: usize| -> f64 {
        let vectors = (extent(dim) / LANES as f64).ceil() / extent(dim);
        let writes: f64 = loops.stores.iter().map(|store| step(store.strides[dim])).sum();
        if dim < outputs {
            (reads(dim) + work + 0.5) * vectors + writes * vectors / share
        } else {
            let reductions = loops.body.iter().filter(|inst| matches!(inst, Inst::Reduced(..))).count();
            (reads(dim) + work + 0.5) * vectors + (8.0 * reductions as f64 + 1.0) / share
        }
    };
    // Innermost first, so that it wins a tie; output dimensions before reduced ones.
    let candidates = (0..outputs).rev().chain((outputs..loops.dims.len()).rev());
    let mut best: Option<(usize, f64)> = None;
    for dim in candidates {
        let cost = cost(dim);
        if best.is_none_or(|(_, least)| cost < least * 0.999) {
            best = Some((dim, cost));
        }
    }
    match best {
        Some((dim, _)) if dim < outputs => Lanes::Output(dim),
        Some((dim, _)) => Lanes::Reduced(dim),
        None => Lanes::None,
    }
}

fn unroll(loops: &Loops, needed: &[Vec<bool>; 2], lanes: Lanes) -> usize {
    let reductions = loops.body.iter().filter(|inst| matches!(inst, Inst::Reduced(..))).count();
    let hot = if loops.reduced > 0 { &needed[0] } else { &needed[1] };
    let loads = loops.body.iter().zip(hot).filter(|(inst, n)| **n && matches!(inst, Inst::Load(_))).count();
    let fit = 48 / (arithmetic(loops, hot) + loads + 1);
    let most = 8usize.checked_div(reductions).unwrap_or(4);
    let least = if matches!(lanes, Lanes::Reduced(_)) { LEAST_PARTIAL } else { 1 };
    let fit = fit.min(most).max(least);
    // A power of two, so that blocks divide the usual extents.
    1 << fit.ilog2()
}
