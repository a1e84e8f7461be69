//! Arithmetic as Cranelift code, each step one or two vector instructions.

use cranelift::codegen::ir::{ConstantData, Endianness};
use cranelift::prelude::*;

use super::schedule::LANES;
use crate::kernels::arith::Arith;

/// Emits each step as a vector instruction.
pub(super) struct Clif<'a, 'b>(pub &'a mut FunctionBuilder<'b>);

/// These bits in every lane.
pub(super) fn splat_bits(b: &mut FunctionBuilder, ty: Type, bits: [u32; LANES]) -> Value {
    let bytes: Vec<u8> = bits.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    let constant = b.func.dfg.constants.insert(ConstantData::from(bytes));
    b.ins().vconst(ty, constant)
}

impl Arith for Clif<'_, '_> {
    type F = Value;
    type I = Value;
    type M = Value;
    fn number(&mut self, x: f32) -> Value {
        splat_bits(self.0, types::F32X4, [x.to_bits(); LANES])
    }
    fn integer(&mut self, x: i32) -> Value {
        splat_bits(self.0, types::I32X4, [x as u32; LANES])
    }
    fn add(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fadd(a, b)
    }
    fn sub(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fsub(a, b)
    }
    fn mul(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fmul(a, b)
    }
    fn div(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fdiv(a, b)
    }
    fn fma(&mut self, a: Value, b: Value, c: Value) -> Value {
        self.0.ins().fma(a, b, c)
    }
    fn sqrt(&mut self, a: Value) -> Value {
        self.0.ins().sqrt(a)
    }
    fn floor(&mut self, a: Value) -> Value {
        self.0.ins().floor(a)
    }
    fn lt(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fcmp(FloatCC::LessThan, a, b)
    }
    fn le(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fcmp(FloatCC::LessThanOrEqual, a, b)
    }
    fn eq(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().fcmp(FloatCC::Equal, a, b)
    }
    fn int_eq(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().icmp(IntCC::Equal, a, b)
    }
    fn select(&mut self, m: Value, then: Value, other: Value) -> Value {
        let m = cast(self.0, types::F32X4, m);
        self.0.ins().bitselect(m, then, other)
    }
    fn neg(&mut self, a: Value) -> Value {
        self.0.ins().fneg(a)
    }
    fn trunc(&mut self, a: Value) -> Value {
        self.0.ins().trunc(a)
    }
    // With these operands a comparison and a selection are one machine instruction.
    fn max(&mut self, a: Value, b: Value) -> Value {
        let mask = self.lt(b, a);
        self.select(mask, a, b)
    }
    fn min(&mut self, a: Value, b: Value) -> Value {
        let mask = self.lt(a, b);
        self.select(mask, a, b)
    }
    fn nonzero(&mut self, a: Value) -> Value {
        let zero = self.number(0.0);
        self.0.ins().fcmp(FloatCC::NotEqual, a, zero)
    }
    fn both(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().band(a, b)
    }
    fn either(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().bor(a, b)
    }
    fn not(&mut self, a: Value) -> Value {
        self.0.ins().bnot(a)
    }
    fn indicator(&mut self, a: Value) -> Value {
        let one = self.integer(1f32.to_bits() as i32);
        let bits = self.0.ins().band(a, one);
        self.of_bits(bits)
    }
    fn bits(&mut self, a: Value) -> Value {
        cast(self.0, types::I32X4, a)
    }
    fn of_bits(&mut self, a: Value) -> Value {
        cast(self.0, types::F32X4, a)
    }
    fn convert(&mut self, a: Value) -> Value {
        self.0.ins().fcvt_from_sint(types::F32X4, a)
    }
    fn int_add(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().iadd(a, b)
    }
    fn int_sub(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().isub(a, b)
    }
    fn and(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().band(a, b)
    }
    fn xor(&mut self, a: Value, b: Value) -> Value {
        self.0.ins().bxor(a, b)
    }
    fn shl(&mut self, a: Value, by: u8) -> Value {
        self.0.ins().ishl_imm_u(a, i64::from(by))
    }
    fn sar(&mut self, a: Value, by: u8) -> Value {
        self.0.ins().sshr_imm_u(a, i64::from(by))
    }
}

/// The same bits as another type of vector.
pub(super) fn cast(b: &mut FunctionBuilder, ty: Type, value: Value) -> Value {
    let flags = MemFlagsData::new().with_endianness(Endianness::Little);
    b.ins().bitcast(ty, flags, value)
}
