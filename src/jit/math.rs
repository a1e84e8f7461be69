//! Elementary functions as Cranelift code: the steps of `kernels::vecmath`, so equal to the bit.

use cranelift::codegen::ir::ConstantData;
use cranelift::prelude::*;

use super::body::cast;
use super::schedule::LANES;
use crate::ir::kernel::Scalar;
use crate::kernels::arith::Arith;
use crate::kernels::vecmath;

/// Emits each step as a vector instruction.
struct Clif<'a, 'b>(&'a mut FunctionBuilder<'b>);

/// `x ^ y` in every lane.
pub(super) fn pow(b: &mut FunctionBuilder, x: Value, y: Value) -> Value {
    vecmath::pow_steps(&mut Clif(b), x, y)
}

/// A function of one number in every lane; what is one machine instruction stands in `body`.
pub(super) fn function(b: &mut FunctionBuilder, scalar: Scalar, x: Value) -> Value {
    let mut clif = Clif(b);
    match scalar {
        Scalar::Exp => vecmath::exp_steps(&mut clif, x),
        Scalar::Log => vecmath::log_steps(&mut clif, x),
        Scalar::Tanh => vecmath::tanh_steps(&mut clif, x),
        Scalar::Sigmoid => vecmath::sigmoid_steps(&mut clif, x),
        Scalar::Erf => vecmath::erf_steps(&mut clif, x),
        Scalar::Sin => vecmath::sin_steps(&mut clif, x),
        Scalar::Cos => vecmath::cos_steps(&mut clif, x),
        Scalar::Rsqrt => vecmath::rsqrt_steps(&mut clif, x),
        other => unreachable!("{other:?} is not an elementary function"),
    }
}

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
