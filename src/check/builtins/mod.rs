//! The functions that the language has without a definition in `.nn`: each wraps ops of the IR.

mod args;
mod arrays;
mod create;
mod einsum;
mod gradient;
mod lists;
mod maths;
mod order;
mod random;
mod rearrange;
mod reduce;
mod windows;

pub use args::Args;
pub use gradient::reaches;

use super::checker::Checker;
use super::value::{Eval, Value};

/// One function.
pub struct Builtin {
    /// Name and arguments: `sum(x, axis = all, keep = false)`. `...xs` takes any number of arguments, `**sizes`
    /// any names.
    pub signature: &'static str,
    /// Documentation; the first line is a summary.
    pub doc: &'static str,
    /// Gives a layer: in a pipeline the input goes to the result, not to this call.
    pub makes_layer: bool,
    /// Evaluates a call.
    pub run: for<'a> fn(&mut Checker<'a>, &Args<'a>) -> Eval<Value<'a>>,
}

impl Builtin {
    /// A function of tensors or numbers.
    pub const fn new(
        signature: &'static str,
        doc: &'static str,
        run: for<'a> fn(&mut Checker<'a>, &Args<'a>) -> Eval<Value<'a>>,
    ) -> Builtin {
        Builtin { signature, doc, makes_layer: false, run }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.signature.split('(').next().unwrap_or_default()
    }
}

static TABLES: &[&[Builtin]] = &[
    maths::TABLE,
    reduce::TABLE,
    order::TABLE,
    einsum::TABLE,
    rearrange::TABLE,
    arrays::TABLE,
    create::TABLE,
    random::TABLE,
    windows::TABLE,
    gradient::TABLE,
    lists::TABLE,
];

/// Every function.
pub fn all() -> impl Iterator<Item = &'static Builtin> {
    TABLES.iter().copied().flatten()
}

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Builtin> {
    all().find(|builtin| builtin.name() == name)
}
