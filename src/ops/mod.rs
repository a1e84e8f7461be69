//! Floor 3: the operations, one per file. This file only lists them.
//!
//! A file holds the op's record (`OP`) and a function of the op's name that appends it to a graph.
//! `docs/ADDING_AN_OP.md` leads through a new one.

mod common;
mod rules;

mod abs;
mod add;
mod argmax;
mod batch_sum;
mod broadcast;
mod cast;
mod compare;
mod concat;
mod constant;
mod contract;
mod div;
mod erf;
mod exp;
mod floor;
mod input;
mod iota;
mod log;
mod logic;
mod maximum;
mod mul;
mod neg;
mod pad;
mod pow;
mod reduce_max;
mod relu;
mod reshape;
mod reverse;
mod select;
mod sigmoid;
mod sin;
mod slice;
mod sqrt;
mod step;
mod stop_gradient;
mod sub;
mod sum;
mod tanh;
mod transpose;
mod variable;

pub use abs::{abs, sign};
pub use add::add;
pub use argmax::{argmax, argmin};
pub use batch_sum::batch_sum;
pub use broadcast::broadcast;
pub use cast::cast;
pub use compare::{eq, ge, gt, le, lt, ne};
pub use concat::concat;
pub use constant::{constant, constant_like};
pub use contract::{contract, matmul};
pub use div::div;
pub use erf::erf;
pub use exp::exp;
pub use floor::{floor, trunc};
pub use input::input;
pub use iota::iota;
pub use log::log;
pub use logic::{and, not, or};
pub use maximum::{maximum, minimum};
pub use mul::mul;
pub use neg::neg;
pub use pad::pad;
pub use pow::pow;
pub use reduce_max::{reduce_max, reduce_min};
pub use relu::relu;
pub use reshape::reshape;
pub use reverse::reverse;
pub use rules::{
    broadcast_like, broadcast_shapes, expand, offset, one_minus, scale, square, sum_to, zeros_like,
};
pub use select::select;
pub use sigmoid::sigmoid;
pub use sin::{cos, sin};
pub use slice::{slice, slice_axis};
pub use sqrt::{rsqrt, sqrt};
pub use step::{batch_size, step};
pub use stop_gradient::stop_gradient;
pub use sub::sub;
pub use sum::{mean, sum};
pub use tanh::tanh;
pub use transpose::transpose;
pub use variable::variable;

use crate::ir::Op;

/// Every op, in alphabetical order.
pub static ALL: &[&Op] = &[
    &abs::ABS,
    &add::OP,
    &logic::AND,
    &argmax::MAX,
    &argmax::MIN,
    &step::BATCH_SIZE,
    &batch_sum::OP,
    &broadcast::OP,
    &cast::OP,
    &concat::OP,
    &constant::OP,
    &contract::OP,
    &sin::COS,
    &div::OP,
    &compare::EQ,
    &erf::OP,
    &exp::OP,
    &floor::FLOOR,
    &input::OP,
    &iota::OP,
    &compare::LE,
    &log::OP,
    &compare::LT,
    &maximum::MAXIMUM,
    &sum::MEAN,
    &maximum::MINIMUM,
    &mul::OP,
    &neg::OP,
    &logic::NOT,
    &logic::OR,
    &pad::OP,
    &pow::OP,
    &reduce_max::MAX,
    &reduce_max::MIN,
    &relu::OP,
    &reshape::OP,
    &reverse::OP,
    &sqrt::RSQRT,
    &select::OP,
    &sigmoid::OP,
    &abs::SIGN,
    &sin::SIN,
    &slice::OP,
    &sqrt::SQRT,
    &step::STEP,
    &stop_gradient::OP,
    &sub::OP,
    &sum::SUM,
    &tanh::OP,
    &transpose::OP,
    &floor::TRUNC,
    &variable::OP,
];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static Op> {
    ALL.iter().find(|op| op.name == name).copied()
}
