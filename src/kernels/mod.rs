//! Floor 1: hand-written kernels on raw slices; knows no IR.

pub mod arith;
pub mod isa;
pub mod random;
pub mod vecmath;
