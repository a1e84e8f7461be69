//! nnc: a compiler for machine-learning experiments written as one text file.
//!
//! The way of the data stands in [`driver`]; `docs/ARCHITECTURE.md` is the map.

pub mod base;
pub mod check;
pub mod cli;
pub mod driver;
pub mod exec;
pub mod interp;
pub mod ir;
pub mod jit;
pub mod kernels;
pub mod ops;
pub mod passes;
pub mod readers;
pub mod syntax;
pub mod train;
pub mod ty;
