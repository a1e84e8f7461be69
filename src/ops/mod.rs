//! Floor 3: the operations, one per file. This file only lists them.
//!
//! A file holds the op's record (`OP`) and a function of the op's name that appends it to a graph.
//! `docs/ADDING_AN_OP.md` leads through a new one.

mod common;
mod rules;
mod window;
pub mod winograd2d;

mod abs;
mod add;
mod argmax;
mod argsort;
mod argument;
mod batch;
mod batch_sum;
mod broadcast;
mod cast;
mod compare;
mod concat;
mod constant;
mod contract;
mod conv2d;
mod conv_pool2d;
mod cumsum;
mod div;
mod erf;
mod exp;
mod floor;
mod gather;
mod input;
mod iota;
mod log;
mod logic;
mod max_pool2d;
mod maximum;
mod mul;
mod neg;
mod one_hot;
mod pad;
mod pow;
mod random;
mod reduce_max;
mod relu;
mod reshape;
mod reverse;
mod scan;
mod scan_gradient;
mod select;
mod sigmoid;
mod sin;
mod slice;
mod sqrt;
mod step;
mod stop_gradient;
mod sub;
mod sum;
mod sum_pool2d;
mod tanh;
mod transpose;
mod variable;

pub use abs::{abs, sign};
pub use add::add;
pub use argmax::{argmax, argmin};
pub use argsort::argsort;
pub use argument::argument;
pub use batch::{batch, example};
pub use batch_sum::batch_sum;
pub use broadcast::broadcast;
pub use cast::cast;
pub use compare::{eq, ge, gt, le, lt, ne};
pub use concat::concat;
pub use constant::{constant, constant_like};
pub use contract::{contract, matmul};
pub use conv_pool2d::{conv_pool2d, conv_pool2d_grad};
pub use conv2d::{conv2d, conv2d_input_grad, conv2d_weight_grad, same_padding};
pub use cumsum::cumsum;
pub use div::div;
pub use erf::erf;
pub use exp::exp;
pub use floor::{floor, trunc};
pub use gather::{gather, scatter_add};
pub use input::input;
pub use iota::iota;
pub use log::log;
pub use logic::{and, not, or};
pub use max_pool2d::{max_pool2d, max_pool2d_grad, max_pool2d_pick, settings as pool_settings};
pub use maximum::{maximum, minimum};
pub use mul::mul;
pub use neg::neg;
pub use one_hot::one_hot;
pub use pad::pad;
pub use pow::pow;
pub use random::{random_normal, random_uniform};
pub use reduce_max::{reduce_max, reduce_min};
pub use relu::relu;
pub use reshape::reshape;
pub use reverse::reverse;
pub use rules::{
    broadcast_like, broadcast_shapes, expand, offset, one_minus, scale, square, sum_to, zeros_like,
};
pub use scan::{attrs as scan_attrs, scan, stacked};
pub use select::select;
pub use sigmoid::sigmoid;
pub use sin::{cos, sin};
pub use slice::{slice, slice_axis};
pub use sqrt::{rsqrt, sqrt};
pub use step::{batch_size, step};
pub use stop_gradient::stop_gradient;
pub use sub::sub;
pub use sum::{mean, sum};
pub use sum_pool2d::{sum_pool2d, sum_pool2d_grad};
pub use tanh::tanh;
pub use transpose::transpose;
pub use variable::variable;
pub use window::Windows;

use crate::ir::Op;

/// Every op, in alphabetical order.
pub static ALL: &[&Op] = &[
    &abs::ABS,
    &add::OP,
    &logic::AND,
    &argmax::MAX,
    &argmax::MIN,
    &argsort::OP,
    &argument::OP,
    &batch::BATCH,
    &step::BATCH_SIZE,
    &batch_sum::OP,
    &broadcast::OP,
    &cast::OP,
    &concat::OP,
    &constant::OP,
    &contract::OP,
    &conv2d::OP,
    &conv2d::INPUT_GRAD,
    &conv2d::WEIGHT_GRAD,
    &conv_pool2d::OP,
    &conv_pool2d::BIAS_GRAD,
    &conv_pool2d::INPUT_GRAD,
    &conv_pool2d::WEIGHT_GRAD,
    &sin::COS,
    &cumsum::OP,
    &div::OP,
    &compare::EQ,
    &erf::OP,
    &batch::EXAMPLE,
    &exp::OP,
    &floor::FLOOR,
    &gather::GATHER,
    &input::OP,
    &iota::OP,
    &compare::LE,
    &log::OP,
    &compare::LT,
    &max_pool2d::OP,
    &max_pool2d::GRAD,
    &max_pool2d::PICK,
    &maximum::MAXIMUM,
    &sum::MEAN,
    &maximum::MINIMUM,
    &mul::OP,
    &neg::OP,
    &logic::NOT,
    &one_hot::OP,
    &logic::OR,
    &pad::OP,
    &pow::OP,
    &random::NORMAL,
    &random::UNIFORM,
    &reduce_max::MAX,
    &reduce_max::MIN,
    &relu::OP,
    &reshape::OP,
    &reverse::OP,
    &sqrt::RSQRT,
    &scan::OP,
    &gather::SCATTER_ADD,
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
    &sum_pool2d::OP,
    &sum_pool2d::GRAD,
    &tanh::OP,
    &transpose::OP,
    &floor::TRUNC,
    &variable::OP,
    &winograd2d::OP,
    &winograd2d::WEIGHT_GRAD,
];

/// The op of this name.
pub fn find(name: &str) -> Option<&'static Op> {
    ALL.iter().find(|op| op.name == name).copied()
}
