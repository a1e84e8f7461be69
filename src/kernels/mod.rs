//! Floor 1: hand-written kernels on raw slices; knows no IR.

pub mod arith;
pub mod checked;
pub mod conv;
mod conv_gradient;
mod depthwise;
pub mod gemm;
pub mod isa;
pub mod peak;
pub mod pool;
pub mod random;
pub mod rows;
pub mod scratch;
pub mod simd;
pub mod tile;
pub mod vecmath;

pub use scratch::Scratch;
