//! Kernels against plain reference loops.

mod vecmath;
