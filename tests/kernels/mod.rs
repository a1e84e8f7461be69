//! Kernels against plain reference loops.

mod conv;
mod gemm;
mod pool;
mod vecmath;
