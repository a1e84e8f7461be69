//! The syntax tree of `scan`.

use super::ast::{Block, Expr};
use crate::base::Ident;

/// A loop over the first axis of sequences.
#[derive(Clone, Debug)]
pub struct Scan {
    /// `xt in x`: the name of a step's part, and the sequence.
    pub parts: Vec<(Ident, Expr)>,
    /// From the last step to the first.
    pub reverse: bool,
    /// `h = zeros(8)`: what is carried, and its first value.
    pub carries: Vec<(Ident, Expr)>,
    /// One step.
    pub body: Block,
}
