//! Graphs: differentiation over levels, the text form, the law of the IR, passes; by hand and at random.

mod autodiff;
mod batch;
mod compiled;
mod convolutions;
mod harness;
mod interp;
mod passes;
mod properties;
mod random;
mod sums;
mod text;
mod verify;
