//! Floor 3: the operations, one per file. This file only lists them.
//!
//! A file holds the op's record (`OP`) and a function of the op's name that appends it to a graph.
//! `docs/ADDING_AN_OP.md` leads through a new one.

mod common;

mod add;
mod batch_sum;
mod broadcast;
mod constant;
mod input;
mod mul;
mod tanh;
mod variable;

pub use add::add;
pub use batch_sum::batch_sum;
pub use broadcast::broadcast;
pub use constant::{constant, constant_like};
pub use input::input;
pub use mul::mul;
pub use tanh::tanh;
pub use variable::variable;

use crate::ir::Op;

/// Every op, in alphabetical order.
pub static ALL: &[&Op] = &[
    &add::OP,
    &batch_sum::OP,
    &broadcast::OP,
    &constant::OP,
    &input::OP,
    &mul::OP,
    &tanh::OP,
    &variable::OP,
];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static Op> {
    ALL.iter().find(|op| op.name == name).copied()
}
