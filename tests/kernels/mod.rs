//! Kernels against plain reference loops.

mod gemm;
mod vecmath;
