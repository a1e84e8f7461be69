//! Kernels against plain reference loops.

mod conv;
mod conv_pool;
mod gemm;
mod pool;
mod sparse;
mod transpose;
mod vecmath;
mod winograd;
