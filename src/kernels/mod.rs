//! Floor 1: hand-written kernels on raw slices; knows no IR.

pub mod arith;
mod background;
mod blank;
pub mod bytes;
pub mod checked;
pub mod checked_conv_pool;
pub mod conv;
mod conv_gradient;
pub mod conv_pool;
mod conv_pool_gradient;
pub mod denormals;
mod depthwise;
pub mod gemm;
mod input_classes;
pub mod isa;
pub mod lumps;
mod maxima;
mod patch;
pub mod peak;
pub mod pool;
pub mod products;
pub mod random;
pub mod rows;
mod rowsum;
pub mod scratch;
pub mod simd;
#[cfg(target_arch = "x86_64")]
mod simd_x86;
pub mod sparse;
pub mod tile;
pub mod transpose;
pub mod vecmath;
mod windows;
pub mod winograd;
mod winograd_lines;
pub mod winograd_plain;
pub mod winograd_weights;

pub use scratch::Scratch;
