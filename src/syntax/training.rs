//! The part of the syntax tree that `train` blocks are.

use super::ast::{Arg, Expr, Let, Seed, Selector};
use crate::base::{Ident, Span};

/// `train name after stage { ... }`
#[derive(Clone, Debug)]
pub struct Train {
    /// Its name, if any.
    pub name: Option<Ident>,
    /// The stage it follows, if written.
    pub after: Option<Ident>,
    /// Its statements.
    pub statements: Vec<TrainStatement>,
    /// From `train` to before the brace.
    pub header: Span,
    /// The whole item.
    pub span: Span,
}

/// A statement of a `train` block.
#[derive(Clone, Debug)]
pub enum TrainStatement {
    /// `batch 128 from digits.train in order drop last`
    Batch {
        /// How many.
        size: Expr,
        /// `data.split`.
        from: Expr,
        /// Not shuffled.
        in_order: bool,
        /// Without the last batch of an epoch where it has fewer examples.
        drop_last: bool,
        /// The whole statement.
        span: Span,
    },
    /// `let logits = ...`
    Let(Let),
    /// `minimize EXPR`
    Minimize {
        /// The objective.
        value: Expr,
        /// Whose parameters it trains, if not all.
        over: Option<Selector>,
        /// The whole statement.
        span: Span,
    },
    /// `optimizer adam(lr: 1e-3) for Net.**.weight`
    Optimizer {
        /// The call.
        value: Expr,
        /// Which parameters, if not all.
        selector: Option<Selector>,
        /// The whole statement.
        span: Span,
    },
    /// `epochs 10`
    Epochs {
        /// How many.
        count: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `steps 2000`
    Steps {
        /// How many.
        count: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `measure accuracy(logits, digits.label) on digits.test every 1 epoch as clean`
    Measure {
        /// What.
        value: Expr,
        /// `data.split`, if written.
        on: Option<Expr>,
        /// How often: the number, and whether it counts epochs (else steps).
        every: Option<(Expr, Unit)>,
        /// The name in reports.
        alias: Option<Ident>,
        /// The whole statement.
        span: Span,
    },
    /// `stop when valid.loss stalls for 3 epochs min_delta: 1e-3`
    Stop {
        /// When.
        when: Stalls,
        /// The whole statement.
        span: Span,
    },
    /// `sample Gpt prompt: "ROMEO:", length: 200 every 500 steps`
    Sample {
        /// Which model.
        model: Ident,
        /// What is asked of it.
        args: Vec<Arg>,
        /// How often: the number, and whether it counts epochs (else steps).
        every: Option<(Expr, Unit)>,
        /// The whole statement.
        span: Span,
    },
    /// `save best valid.accuracy`
    Save {
        /// What is watched.
        of: Watched,
        /// The whole statement.
        span: Span,
    },
    /// `reduce lr by 0.5 when valid.loss stalls for 2 epochs min_delta: 1e-3`
    Reduce {
        /// The factor.
        by: Expr,
        /// When.
        when: Stalls,
        /// The whole statement.
        span: Span,
    },
    /// `clip global_norm: 1.0 for Net.**.weight`
    Clip {
        /// What is limited.
        by: ClipBy,
        /// The limit.
        limit: Expr,
        /// Of which parameters' gradients, if not all.
        selector: Option<Selector>,
        /// The whole statement.
        span: Span,
    },
    /// `accumulate 4`
    Accumulate {
        /// The batches of one update.
        count: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `ema 0.999`
    Ema {
        /// How much of the average is kept.
        decay: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `swa from epoch 8 every 2 epochs`
    Swa {
        /// After which epoch or step the first weights are taken.
        from: (Expr, Unit),
        /// How often; after each of them where nothing is said.
        every: Option<(Expr, Unit)>,
        /// The whole statement.
        span: Span,
    },
    /// `seed 7`: this stage's own seed.
    Seed(Seed),
}

/// What `clip` limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipBy {
    /// Each element.
    Value,
    /// The length of each parameter's gradient.
    Norm,
    /// The length of all gradients together.
    GlobalNorm,
}

impl ClipBy {
    /// How it is written.
    pub fn name(self) -> &'static str {
        match self {
            ClipBy::Value => "value",
            ClipBy::Norm => "norm",
            ClipBy::GlobalNorm => "global_norm",
        }
    }
}

/// `valid.loss stalls for 3 epochs min_delta: 1e-3`
#[derive(Clone, Debug)]
pub struct Stalls {
    /// What is watched.
    pub of: Watched,
    /// For how long: the number, and what it counts.
    pub patience: (Expr, Unit),
    /// What counts as getting better.
    pub min_delta: Option<Expr>,
}

/// `valid.loss`, `highest test.accuracy`: something measured after an epoch or some steps.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Whether more is better, where the text says so.
    pub higher: Option<bool>,
    /// The split it is measured on.
    pub split: Ident,
    /// Its name.
    pub name: Ident,
    /// Both.
    pub span: Span,
}

/// What `every` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `epoch`, `epochs`
    Epochs,
    /// `step`, `steps`
    Steps,
}

impl Unit {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Epochs => "epochs",
            Unit::Steps => "steps",
        }
    }
}
