//! The results of a nest's instructions as Cranelift vectors, and what crosses the lanes of a vector.

use cranelift::codegen::ir::ConstantData;
use cranelift::prelude::*;

use super::body::{Body, Cell, Val, combined, fold};
use super::emit::Emitter;
use super::loops::Inst;
use super::math::{Clif, cast, splat_bits};
use super::schedule::{LANES, Schedule};
use crate::ir::kernel::Combine;
use crate::kernels::arith::Arith;

impl<'a> Emitter<'a> {
    /// The generator of arithmetic, and the instructions with the results so far.
    pub(super) fn parts(&mut self) -> (Clif<'_, 'a>, Body<'_, Value, Value>) {
        let Emitter { b, loops, schedule, env, .. } = self;
        (Clif(b), Body { loops, schedule, env })
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

    fn instruction(&mut self, i: usize) -> Option<Cell<Value, Value>> {
        let varies = self.schedule.varies[i];
        match &self.loops.body[i] {
            Inst::Load(load) => Some(self.load(*load, varies)),
            Inst::Const(bits) => {
                let value = Clif(&mut self.b).number(f32::from_bits(*bits));
                Some(Cell::Shared(Val::Num(value)))
            }
            Inst::Coordinate(dim) => Some(self.coordinate(*dim, varies)),
            Inst::Apply(scalar, args) => {
                let groups = self.groups.len();
                let (mut a, body) = self.parts();
                let mut apply = |group| body.apply(&mut a, i, *scalar, args, group);
                Some(match varies {
                    true => Cell::Per((0..groups).map(apply).collect()),
                    false => Cell::Shared(apply(0)),
                })
            }
            // Set where the reduced loops end.
            Inst::Reduced(..) => None,
        }
    }

    fn coordinate(&mut self, dim: usize, varies: bool) -> Cell<Value, Value> {
        let index = match self.indices[dim] {
            Some(index) => index,
            None => self.b.ins().iconst(types::I64, 0),
        };
        let index = self.b.ins().ireduce(types::I32, index);
        let base = self.b.ins().splat(types::I32X4, index);
        let offsets: Vec<i64> = self.groups.iter().map(|group| group.offset).collect();
        let mut at = |offset: i64, step: u32| {
            let steps = std::array::from_fn(|lane| (offset as u32).wrapping_add(step * lane as u32));
            let steps = splat_bits(&mut self.b, types::I32X4, steps);
            let sum = self.b.ins().iadd(base, steps);
            Val::Num(self.b.ins().fcvt_from_sint(types::F32X4, sum))
        };
        if varies {
            Cell::Per(offsets.into_iter().map(|offset| at(offset, 1)).collect())
        } else {
            Cell::Shared(at(0, 0))
        }
    }

    /// `new` in the first `width` lanes, `old` in the others.
    pub(super) fn lower_lanes(&mut self, width: usize, new: Value, old: Value) -> Value {
        let bits = std::array::from_fn(|lane| if lane < width { u32::MAX } else { 0 });
        let mask = splat_bits(&mut self.b, types::F32X4, bits);
        self.b.ins().bitselect(mask, new, old)
    }

    /// Combines partial results pairwise, then their lanes; the result stands in every lane.
    pub(super) fn horizontal(&mut self, combine: Combine, sums: &[Value]) -> Value {
        let mut sum = fold(&mut Clif(&mut self.b), combine, sums);
        for order in [[2, 3, 0, 1], [1, 0, 3, 2]] {
            let other = self.permuted(sum, order);
            sum = combined(&mut Clif(&mut self.b), combine, sum, other);
        }
        sum
    }

    fn permuted(&mut self, value: Value, order: [u8; LANES]) -> Value {
        let bytes: Vec<u8> = order.iter().flat_map(|lane| (0..4).map(move |byte| 4 * lane + byte)).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(bytes));
        let value = cast(&mut self.b, types::I8X16, value);
        let value = self.b.ins().shuffle(value, value, mask);
        cast(&mut self.b, types::F32X4, value)
    }
}
