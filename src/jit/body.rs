//! The instructions of a nest as Cranelift code, for some groups of lanes at a time.
//!
//! What the numbers mean where it is not plain: `max(a, b)` is `a > b ? a : b` and `min(a, b)` is
//! `a < b ? a : b`, with a constant operand always taken as `a`: so a NaN that meets a constant stays a NaN.
//! A reduction with max or min passes over NaNs. A comparison with a NaN is false. A product with no other
//! use that feeds a sum or difference is contracted: one rounding.

use cranelift::codegen::ir::{ConstantData, Endianness};
use cranelift::prelude::*;

use super::emit::{Cell, Emitter, Val};
use super::loops::Inst;
use super::math;
use super::schedule::{Contracted, LANES, Schedule};
use crate::ir::kernel::{Combine, Scalar};

/// A mask as the number that stands for truth.
const TRUE: f32 = 1.0;

impl Emitter<'_> {
    /// A number in every lane.
    pub(super) fn constant(&mut self, value: f32) -> Value {
        self.lanes_of([value.to_bits(); LANES], types::F32X4)
    }

    fn lanes_of(&mut self, bits: [u32; LANES], ty: Type) -> Value {
        math::splat_bits(&mut self.b, ty, bits)
    }

    /// The same bits as another type of vector.
    pub(super) fn cast(&mut self, ty: Type, value: Value) -> Value {
        cast(&mut self.b, ty, value)
    }

    /// Computes the instructions of one level that are wanted and not there yet.
    pub(super) fn compute(&mut self, level: usize, wanted: impl Fn(&Schedule, usize) -> bool) {
        let schedule = self.schedule;
        for i in 0..self.loops.body.len() {
            if schedule.level[i] == level && self.env[i].is_none() && wanted(schedule, i) {
                self.env[i] = self.instruction(i);
            }
        }
    }

    fn instruction(&mut self, i: usize) -> Option<Cell> {
        let loops = self.loops;
        let varies = self.schedule.varies[i];
        match &loops.body[i] {
            Inst::Load(load) => Some(self.load(*load, varies)),
            Inst::Const(bits) => {
                let value = self.constant(f32::from_bits(*bits));
                Some(Cell::Shared(Val::Num(value)))
            }
            Inst::Coordinate(dim) => Some(self.coordinate(*dim, varies)),
            Inst::Apply(scalar, args) if varies => {
                let groups = 0..self.groups.len();
                Some(Cell::Per(groups.map(|g| self.apply(i, *scalar, args, g)).collect()))
            }
            Inst::Apply(scalar, args) => Some(Cell::Shared(self.apply(i, *scalar, args, 0))),
            // Set where the reduced loops end.
            Inst::Reduced(..) => None,
        }
    }

    fn val(&mut self, inst: usize, group: usize) -> Val {
        match &self.env[inst] {
            Some(Cell::Shared(val)) => *val,
            Some(Cell::Per(vals)) => vals[group],
            None => unreachable!("instruction {inst} is used before it is computed"),
        }
    }

    /// The result of an instruction as numbers.
    pub(super) fn operand(&mut self, inst: usize, group: usize) -> Value {
        match self.val(inst, group) {
            Val::Num(value) => value,
            Val::Mask(mask) => {
                let truth = self.lanes_of([TRUE.to_bits(); LANES], types::I32X4);
                let bits = self.b.ins().band(mask, truth);
                self.cast(types::F32X4, bits)
            }
        }
    }

    /// The result of an instruction as truth values: what is not 0 is true.
    fn truth(&mut self, inst: usize, group: usize) -> Value {
        match self.val(inst, group) {
            Val::Mask(mask) => mask,
            Val::Num(value) => {
                let zero = self.constant(0.0);
                self.b.ins().fcmp(FloatCC::NotEqual, value, zero)
            }
        }
    }

    fn coordinate(&mut self, dim: usize, varies: bool) -> Cell {
        let index = match self.indices[dim] {
            Some(index) => index,
            None => self.b.ins().iconst(types::I64, 0),
        };
        let index = self.b.ins().ireduce(types::I32, index);
        let base = self.b.ins().splat(types::I32X4, index);
        let offsets: Vec<i64> = self.groups.iter().map(|group| group.offset).collect();
        let mut at = |offset: i64, step: u32| {
            let steps = std::array::from_fn(|lane| (offset as u32).wrapping_add(step * lane as u32));
            let steps = self.lanes_of(steps, types::I32X4);
            let sum = self.b.ins().iadd(base, steps);
            Val::Num(self.b.ins().fcvt_from_sint(types::F32X4, sum))
        };
        if varies {
            Cell::Per(offsets.into_iter().map(|offset| at(offset, 1)).collect())
        } else {
            Cell::Shared(at(0, 0))
        }
    }

    fn apply(&mut self, at: usize, scalar: Scalar, args: &[usize], group: usize) -> Val {
        if let Some(contracted) = self.schedule.contracted[at] {
            let other = self.operand(contracted.other, group);
            return Val::Num(self.contracted(contracted, group, other));
        }
        match scalar {
            Scalar::And | Scalar::Or => {
                let (a, b) = (self.truth(args[0], group), self.truth(args[1], group));
                let mask = match scalar {
                    Scalar::And => self.b.ins().band(a, b),
                    _ => self.b.ins().bor(a, b),
                };
                Val::Mask(mask)
            }
            Scalar::Not => {
                let mask = self.truth(args[0], group);
                Val::Mask(self.b.ins().bnot(mask))
            }
            Scalar::Select => {
                let mask = self.truth(args[0], group);
                let mask = self.cast(types::F32X4, mask);
                let (then, other) = (self.operand(args[1], group), self.operand(args[2], group));
                Val::Num(self.b.ins().bitselect(mask, then, other))
            }
            Scalar::Lt | Scalar::Le | Scalar::Eq => {
                let (a, b) = (self.operand(args[0], group), self.operand(args[1], group));
                let condition = match scalar {
                    Scalar::Lt => FloatCC::LessThan,
                    Scalar::Le => FloatCC::LessThanOrEqual,
                    _ => FloatCC::Equal,
                };
                Val::Mask(self.b.ins().fcmp(condition, a, b))
            }
            Scalar::Max | Scalar::Min => {
                let constant = |inst: usize| matches!(self.loops.body[inst], Inst::Const(_));
                let (first, second) = if constant(args[1]) { (args[1], args[0]) } else { (args[0], args[1]) };
                let (a, b) = (self.operand(first, group), self.operand(second, group));
                Val::Num(self.extreme(scalar == Scalar::Max, a, b))
            }
            Scalar::Add | Scalar::Sub | Scalar::Mul | Scalar::Div | Scalar::Pow => {
                let (a, b) = (self.operand(args[0], group), self.operand(args[1], group));
                Val::Num(match scalar {
                    Scalar::Add => self.b.ins().fadd(a, b),
                    Scalar::Sub => self.b.ins().fsub(a, b),
                    Scalar::Mul => self.b.ins().fmul(a, b),
                    Scalar::Div => self.b.ins().fdiv(a, b),
                    _ => math::pow(&mut self.b, a, b),
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
                let x = self.operand(args[0], group);
                Val::Num(self.function(scalar, x))
            }
        }
    }

    fn function(&mut self, scalar: Scalar, x: Value) -> Value {
        match scalar {
            Scalar::Neg => self.b.ins().fneg(x),
            Scalar::Abs => self.b.ins().fabs(x),
            Scalar::Floor => self.b.ins().floor(x),
            Scalar::Trunc => self.b.ins().trunc(x),
            Scalar::Sqrt => self.b.ins().sqrt(x),
            Scalar::Rsqrt => {
                let root = self.b.ins().sqrt(x);
                let one = self.constant(1.0);
                self.b.ins().fdiv(one, root)
            }
            Scalar::Sign => self.sign(x),
            _ => math::function(&mut self.b, scalar, x),
        }
    }

    /// 1 above zero, -1 below, 0 at zero, NaN for a NaN.
    fn sign(&mut self, x: Value) -> Value {
        let zero = self.constant(0.0);
        let (sign, one) = (self.constant(-0.0), self.constant(1.0));
        let signed = self.b.ins().band(x, sign);
        let signed = self.b.ins().bor(signed, one);
        let none = self.b.ins().fcmp(FloatCC::Equal, x, zero);
        let none = self.cast(types::F32X4, none);
        let result = self.b.ins().bitselect(none, zero, signed);
        let number = self.b.ins().fcmp(FloatCC::Equal, x, x);
        let number = self.cast(types::F32X4, number);
        self.b.ins().bitselect(number, result, x)
    }

    /// `a > b ? a : b`, or `a < b ? a : b`: one machine instruction.
    fn extreme(&mut self, max: bool, a: Value, b: Value) -> Value {
        let (x, y) = if max { (b, a) } else { (a, b) };
        let mask = self.b.ins().fcmp(FloatCC::LessThan, x, y);
        let mask = self.cast(types::F32X4, mask);
        self.b.ins().bitselect(mask, a, b)
    }

    /// A sum of a product and another operand, rounded once.
    pub(super) fn contracted(&mut self, contracted: Contracted, group: usize, other: Value) -> Value {
        let loops = self.loops;
        let Inst::Apply(_, factors) = &loops.body[contracted.product] else {
            unreachable!("only products are contracted");
        };
        let (mut a, b) = (self.operand(factors[0], group), self.operand(factors[1], group));
        let mut other = other;
        if contracted.minus_product {
            a = self.b.ins().fneg(a);
        }
        if contracted.minus_other {
            other = self.b.ins().fneg(other);
        }
        self.b.ins().fma(a, b, other)
    }

    /// A partial result with one more element.
    pub(super) fn combined(&mut self, combine: Combine, sum: Value, value: Value) -> Value {
        match combine {
            Combine::Sum => self.b.ins().fadd(sum, value),
            Combine::Max => self.extreme(true, value, sum),
            Combine::Min => self.extreme(false, value, sum),
        }
    }

    /// `new` in the first `width` lanes, `old` in the others.
    pub(super) fn lower_lanes(&mut self, width: usize, new: Value, old: Value) -> Value {
        let bits = std::array::from_fn(|lane| if lane < width { u32::MAX } else { 0 });
        let mask = self.lanes_of(bits, types::F32X4);
        self.b.ins().bitselect(mask, new, old)
    }

    /// Combines partial results pairwise, then their lanes; the result stands in every lane.
    pub(super) fn horizontal(&mut self, combine: Combine, sums: &[Value]) -> Value {
        let mut sums = sums.to_vec();
        while sums.len() > 1 {
            let half = sums.len().div_ceil(2);
            let upper = sums.split_off(half);
            for (sum, other) in sums.iter_mut().zip(upper) {
                *sum = self.combined(combine, *sum, other);
            }
        }
        let mut sum = sums[0];
        for order in [[2, 3, 0, 1], [1, 0, 3, 2]] {
            let other = self.permuted(sum, order);
            sum = self.combined(combine, sum, other);
        }
        sum
    }

    fn permuted(&mut self, value: Value, order: [u8; LANES]) -> Value {
        let bytes: Vec<u8> = order.iter().flat_map(|lane| (0..4).map(move |byte| 4 * lane + byte)).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(bytes));
        let value = self.cast(types::I8X16, value);
        let value = self.b.ins().shuffle(value, value, mask);
        self.cast(types::F32X4, value)
    }
}

/// The same bits as another type of vector.
pub(super) fn cast(b: &mut FunctionBuilder, ty: Type, value: Value) -> Value {
    let flags = MemFlagsData::new().with_endianness(Endianness::Little);
    b.ins().bitcast(ty, flags, value)
}
