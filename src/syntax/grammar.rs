//! The parser that pest generates from `grammar/nn.pest`, and the small tools for walking what it matched.

use pest::iterators::{Pair, Pairs};
use pest_derive::Parser;

use crate::base::Diagnostic;

/// The generated parser.
#[derive(Parser)]
#[grammar = "../grammar/nn.pest"]
pub struct NnParser;

/// A matched rule.
pub type Node<'i> = Pair<'i, Rule>;

/// A part of the tree, or the diagnostic that prevents it.
pub type Built<T> = Result<T, Box<Diagnostic>>;

/// The parts of a node in order, without punctuation and keywords.
pub struct Parts<'i> {
    inner: Pairs<'i, Rule>,
}

impl<'i> Parts<'i> {
    /// The parts of `node`.
    pub fn of(node: Node<'i>) -> Parts<'i> {
        Parts { inner: node.into_inner() }
    }

    /// The next part, if there is one.
    pub fn next(&mut self) -> Option<Node<'i>> {
        self.inner.by_ref().find(|pair| !is_punctuation(pair.as_rule()))
    }

    /// The next part, whatever follows from the grammar.
    pub fn take(&mut self) -> Built<Node<'i>> {
        self.next().ok_or_else(|| mismatch("a part is missing"))
    }

    /// The next part if it is a `rule`.
    pub fn maybe(&mut self, rule: Rule) -> Option<Node<'i>> {
        let mut ahead = self.inner.clone();
        let found = ahead.find(|pair| !is_punctuation(pair.as_rule()))?;
        if found.as_rule() != rule {
            return None;
        }
        self.inner = ahead;
        Some(found)
    }
}

/// The grammar and the code that reads it have grown apart: a fault of nnc.
pub fn mismatch(what: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::internal("the parser", what))
}

/// Rules that only mark a place and carry nothing into the tree.
fn is_punctuation(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        assign
            | colon
            | comma
            | arrow
            | fat
            | open_paren
            | close_paren
            | open_bracket
            | close_bracket
            | open_brace
            | close_brace
            | pipe
            | to
            | kw_use
            | kw_let
            | kw_seed
            | kw_data
            | kw_split
            | kw_tokens
            | kw_window
            | kw_stride
            | kw_train
            | kw_param
            | kw_update
            | kw_for
            | kw_in
            | kw_if
            | kw_else
            | kw_scan
            | kw_with
            | kw_yield
            | kw_batch
            | kw_from
            | kw_order
            | kw_drop
            | kw_last
            | kw_minimize
            | kw_optimizer
            | kw_epochs
            | kw_steps
            | kw_measure
            | kw_sample
            | kw_on
            | kw_every
            | kw_as
            | kw_over
            | kw_stop
            | kw_when
            | kw_stalls
            | kw_min_delta
            | kw_save
            | kw_reduce
            | kw_lr
            | kw_by
            | kw_clip
            | kw_accumulate
            | kw_ema
            | kw_swa
            | kw_best
            | EOI
    )
}
