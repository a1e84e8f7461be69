//! Floor 6: running plans. A [`Program`] is the machine code of a plan with its memory and its worker threads;
//! a [`Store`] holds the variables that programs work on.

mod deal;
mod engine;
mod gate;
mod inputs;
mod kernel;
mod leaf;
mod memory;
mod places;
mod product;
mod program;
mod schedule;
mod store;
mod whole;

pub use engine::Cost;
pub use inputs::{Fill, Inputs, Values};
pub use program::{Program, arena_bytes};
pub use store::Store;
pub use whole::in_one_call;
