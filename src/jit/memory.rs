//! Loads and stores of groups of lanes: contiguous, strided, repeated; floats and indices; slots.

use cranelift::prelude::*;

use super::body::{Cell, Val};
use super::emit::{Emitter, Group};
use super::math::cast;
use super::schedule::{LANES, Lanes};

impl Emitter<'_> {
    /// The step of an access along the lanes, in elements.
    fn lane_stride(&self, strides: &[i64]) -> i64 {
        match self.schedule.lanes {
            Lanes::Output(dim) | Lanes::Reduced(dim) => strides[dim],
            Lanes::None => 0,
        }
    }

    /// An address and a constant to add to it.
    fn place(&mut self, pointer: Value, elements: i64) -> (Value, i32) {
        match i32::try_from(4 * elements) {
            Ok(bytes) if bytes < i32::MAX - 64 => (pointer, bytes),
            _ => (self.b.ins().iadd_imm_s(pointer, 4 * elements), 0),
        }
    }

    /// One load, of what every lane shares or of each group.
    pub(super) fn load(&mut self, load: usize, varies: bool) -> Cell<Value, Value> {
        let read = &self.loops.loads[load];
        let pointer = self.pointers[load];
        let slots = if read.sum_slots { self.slots } else { None };
        let stride = self.lane_stride(&read.strides);
        let index = read.index;
        let mut values = self.raw(pointer, stride, varies);
        if let Some((bytes, count)) = slots {
            let one = self.b.ins().iconst(types::I64, 1);
            (_, values) = self.counted([one, count], 1, values, |e, slot, sums| {
                let offset = e.b.ins().imul(slot, bytes);
                let pointer = e.b.ins().iadd(pointer, offset);
                let values = e.raw(pointer, stride, varies);
                sums.iter().zip(values).map(|(sum, value)| e.b.ins().fadd(*sum, value)).collect()
            });
        }
        let values = values.into_iter().map(|value| {
            Val::Num(if index {
                let whole = cast(&mut self.b, types::I32X4, value);
                self.b.ins().fcvt_from_sint(types::F32X4, whole)
            } else {
                value
            })
        });
        let values: Vec<Val<Value, Value>> = values.collect();
        if varies { Cell::Per(values) } else { Cell::Shared(values[0]) }
    }

    fn raw(&mut self, pointer: Value, stride: i64, varies: bool) -> Vec<Value> {
        if varies {
            self.groups.clone().into_iter().map(|group| self.gather(pointer, stride, group)).collect()
        } else {
            let element = self.b.ins().load(types::F32, element(), pointer, 0);
            vec![self.b.ins().splat(types::F32X4, element)]
        }
    }

    fn gather(&mut self, pointer: Value, stride: i64, group: Group) -> Value {
        let (base, offset) = self.place(pointer, group.offset * stride);
        if stride == 1 && group.width == LANES {
            return self.b.ins().load(types::F32X4, element(), base, offset);
        }
        let pair = stride == 1 && group.width >= 2;
        let mut vector = if pair {
            let two = self.b.ins().load(types::F64, element(), base, offset);
            let two = self.b.ins().scalar_to_vector(types::F64X2, two);
            cast(&mut self.b, types::F32X4, two)
        } else {
            let first = self.b.ins().load(types::F32, element(), base, offset);
            self.b.ins().scalar_to_vector(types::F32X4, first)
        };
        for lane in if pair { 2 } else { 1 }..group.width {
            let (base, offset) = self.place(pointer, (group.offset + lane as i64) * stride);
            let value = self.b.ins().load(types::F32, element(), base, offset);
            vector = self.b.ins().insertlane(vector, value, lane as u8);
        }
        vector
    }

    /// One store, for every group.
    pub(super) fn store(&mut self, store: usize) {
        let write = &self.loops.stores[store];
        let pointer = self.pointers[self.loops.loads.len() + store];
        let stride = self.lane_stride(&write.strides);
        for (g, group) in self.groups.clone().into_iter().enumerate() {
            let (mut a, body) = self.parts();
            let mut value = body.operand(&mut a, write.value, g);
            if write.index {
                let whole = self.b.ins().fcvt_to_sint_sat(types::I32X4, value);
                value = cast(&mut self.b, types::F32X4, whole);
            }
            if let (true, Some(keep)) = (write.slot, self.keep) {
                let old = self.gather(pointer, stride, group);
                let old = cast(&mut self.b, types::I32X4, old);
                let old = self.b.ins().band(old, keep);
                let old = cast(&mut self.b, types::F32X4, old);
                value = self.b.ins().fadd(old, value);
            }
            self.scatter(pointer, stride, group, value);
        }
    }

    fn scatter(&mut self, pointer: Value, stride: i64, group: Group, value: Value) {
        if stride == 1 && group.width == LANES {
            let (base, offset) = self.place(pointer, group.offset);
            self.b.ins().store(element(), value, base, offset);
            return;
        }
        for lane in 0..group.width {
            let (base, offset) = self.place(pointer, (group.offset + lane as i64) * stride);
            let value = self.b.ins().extractlane(value, lane as u8);
            self.b.ins().store(element(), value, base, offset);
        }
    }
}

/// Addresses are right by the plan, and 4-byte aligned at least.
fn element() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}
