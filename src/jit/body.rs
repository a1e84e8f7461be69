//! What the instructions of a nest mean, for any generator of code.
//!
//! Where it is not plain: `max(a, b)` is `a > b ? a : b` and `min(a, b)` is `a < b ? a : b`, with a constant
//! operand always taken as `a`: so a NaN that meets a constant stays a NaN. A reduction with max or min
//! passes over NaNs. A comparison with a NaN is false. A product with no other use that feeds a sum or
//! difference is contracted: one rounding.

use super::loops::{Inst, Loops};
use super::schedule::{Contracted, Reduction, Schedule};
use crate::ir::kernel::{Combine, Scalar};
use crate::kernels::arith::Arith;
use crate::kernels::vecmath;

/// A vector of numbers or of truth values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Val<F, M> {
    /// Numbers.
    Num(F),
    /// Truth values.
    Mask(M),
}

/// The result of an instruction.
#[derive(Clone, Debug)]
pub(super) enum Cell<F, M> {
    /// The same in every lane.
    Shared(Val<F, M>),
    /// One vector for each group of lanes.
    Per(Vec<Val<F, M>>),
}

/// The results so far.
pub(super) type Env<F, M> = Vec<Option<Cell<F, M>>>;

/// A nest whose instructions are being generated.
pub(super) struct Body<'e, F, M> {
    pub loops: &'e Loops,
    pub schedule: &'e Schedule,
    pub env: &'e Env<F, M>,
}

impl<F: Copy, M: Copy> Body<'_, F, M> {
    fn val(&self, inst: usize, group: usize) -> Val<F, M> {
        match &self.env[inst] {
            Some(Cell::Shared(val)) => *val,
            Some(Cell::Per(vals)) => vals[group],
            None => unreachable!("instruction {inst} is used before it is computed"),
        }
    }

    /// The result of an instruction as numbers.
    pub fn operand<A: Arith<F = F, M = M>>(&self, a: &mut A, inst: usize, group: usize) -> F {
        match self.val(inst, group) {
            Val::Num(value) => value,
            Val::Mask(mask) => a.indicator(mask),
        }
    }

    /// The result of an instruction as truth values: what is not 0 is true.
    fn truth<A: Arith<F = F, M = M>>(&self, a: &mut A, inst: usize, group: usize) -> M {
        match self.val(inst, group) {
            Val::Mask(mask) => mask,
            Val::Num(value) => a.nonzero(value),
        }
    }

    /// The result of a function, for one group of lanes.
    pub fn apply<A: Arith<F = F, M = M>>(
        &self,
        a: &mut A,
        at: usize,
        scalar: Scalar,
        args: &[usize],
        group: usize,
    ) -> Val<F, M> {
        if let Some(contracted) = self.schedule.contracted[at] {
            let other = self.operand(a, contracted.other, group);
            return Val::Num(self.contracted(a, contracted, group, other));
        }
        match scalar {
            Scalar::And | Scalar::Or => {
                let (x, y) = (self.truth(a, args[0], group), self.truth(a, args[1], group));
                Val::Mask(if scalar == Scalar::And { a.both(x, y) } else { a.either(x, y) })
            }
            Scalar::Not => {
                let mask = self.truth(a, args[0], group);
                Val::Mask(a.not(mask))
            }
            Scalar::Select => {
                let mask = self.truth(a, args[0], group);
                let (then, other) = (self.operand(a, args[1], group), self.operand(a, args[2], group));
                Val::Num(a.select(mask, then, other))
            }
            Scalar::Lt | Scalar::Le | Scalar::Eq => {
                let (x, y) = (self.operand(a, args[0], group), self.operand(a, args[1], group));
                Val::Mask(match scalar {
                    Scalar::Lt => a.lt(x, y),
                    Scalar::Le => a.le(x, y),
                    _ => a.eq(x, y),
                })
            }
            Scalar::Max | Scalar::Min => {
                let constant = |inst: usize| matches!(self.loops.body[inst], Inst::Const(_));
                let (first, second) = if constant(args[1]) { (args[1], args[0]) } else { (args[0], args[1]) };
                let (x, y) = (self.operand(a, first, group), self.operand(a, second, group));
                Val::Num(if scalar == Scalar::Max { a.max(x, y) } else { a.min(x, y) })
            }
            Scalar::Add | Scalar::Sub | Scalar::Mul | Scalar::Div | Scalar::Pow => {
                let (x, y) = (self.operand(a, args[0], group), self.operand(a, args[1], group));
                Val::Num(match scalar {
                    Scalar::Add => a.add(x, y),
                    Scalar::Sub => a.sub(x, y),
                    Scalar::Mul => a.mul(x, y),
                    Scalar::Div => a.div(x, y),
                    _ => vecmath::pow_steps(a, x, y),
                })
            }
            Scalar::Neg
            | Scalar::Abs
            | Scalar::Sign
            | Scalar::Floor
            | Scalar::Exp
            | Scalar::Log
            | Scalar::Sqrt
            | Scalar::Rsqrt
            | Scalar::Tanh
            | Scalar::Sigmoid
            | Scalar::Erf
            | Scalar::Sin
            | Scalar::Cos
            | Scalar::Trunc => {
                let x = self.operand(a, args[0], group);
                Val::Num(function(a, scalar, x))
            }
        }
    }

    /// A partial result with what is combined at the current point.
    pub fn more<A: Arith<F = F, M = M>>(&self, a: &mut A, reduction: Reduction, group: usize, sum: F) -> F {
        match self.schedule.contracted[reduction.at] {
            Some(contracted) => self.contracted(a, contracted, group, sum),
            None => {
                let value = self.operand(a, reduction.value, group);
                combined(a, reduction.combine, sum, value)
            }
        }
    }

    /// A sum of a product and another operand, rounded once.
    fn contracted<A: Arith<F = F, M = M>>(
        &self,
        a: &mut A,
        contracted: Contracted,
        group: usize,
        other: F,
    ) -> F {
        let Inst::Apply(_, factors) = &self.loops.body[contracted.product] else {
            unreachable!("only products are contracted");
        };
        let (mut x, y) = (self.operand(a, factors[0], group), self.operand(a, factors[1], group));
        let mut other = other;
        if contracted.minus_product {
            x = a.neg(x);
        }
        if contracted.minus_other {
            other = a.neg(other);
        }
        a.fma(x, y, other)
    }
}

/// Combines partial results pairwise, the upper half with the lower one, until one is left.
pub(super) fn fold<A: Arith>(a: &mut A, combine: Combine, sums: &[A::F]) -> A::F {
    let mut sums = sums.to_vec();
    while sums.len() > 1 {
        let upper = sums.split_off(sums.len() / 2);
        for (sum, other) in sums.iter_mut().zip(upper) {
            *sum = combined(a, combine, *sum, other);
        }
    }
    sums[0]
}

fn function<A: Arith>(a: &mut A, scalar: Scalar, x: A::F) -> A::F {
    match scalar {
        Scalar::Neg => a.neg(x),
        Scalar::Abs => vecmath::abs_steps(a, x),
        Scalar::Floor => a.floor(x),
        Scalar::Trunc => a.trunc(x),
        Scalar::Sqrt => a.sqrt(x),
        Scalar::Rsqrt => vecmath::rsqrt_steps(a, x),
        Scalar::Sign => sign(a, x),
        Scalar::Exp => vecmath::exp_steps(a, x),
        Scalar::Log => vecmath::log_steps(a, x),
        Scalar::Tanh => vecmath::tanh_steps(a, x),
        Scalar::Sigmoid => vecmath::sigmoid_steps(a, x),
        Scalar::Erf => vecmath::erf_steps(a, x),
        Scalar::Sin => vecmath::sin_steps(a, x),
        Scalar::Cos => vecmath::cos_steps(a, x),
        other => unreachable!("{other:?} is not a function of one number"),
    }
}

/// 1 above zero, -1 below, 0 at zero, NaN for a NaN.
fn sign<A: Arith>(a: &mut A, x: A::F) -> A::F {
    let (zero, sign, one) = (a.number(0.0), a.integer(i32::MIN), a.integer(1f32.to_bits() as i32));
    let bits = a.bits(x);
    let bits = a.and(bits, sign);
    let bits = a.xor(bits, one);
    let signed = a.of_bits(bits);
    let none = a.eq(x, zero);
    let result = a.select(none, zero, signed);
    let number = a.eq(x, x);
    a.select(number, result, x)
}

/// A partial result with one more element.
pub(super) fn combined<A: Arith>(a: &mut A, combine: Combine, sum: A::F, value: A::F) -> A::F {
    match combine {
        Combine::Sum => a.add(sum, value),
        Combine::Max => a.max(value, sum),
        Combine::Min => a.min(value, sum),
    }
}

/// What a partial result is before the first element.
pub(super) fn neutral(combine: Combine) -> f32 {
    match combine {
        Combine::Sum => 0.0,
        Combine::Max => f32::NEG_INFINITY,
        Combine::Min => f32::INFINITY,
    }
}
