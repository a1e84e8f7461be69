//! Kernels against plain reference loops.

mod conv;
mod gemm;
mod vecmath;
