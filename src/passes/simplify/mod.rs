//! Algebra that keeps values: each rule replaces one node by something simpler of the same type and level.
//!
//! [`RULES`] is the table. What counts as the same value: equal numbers for all finite inputs, where a zero
//! may change its sign and sums may be taken in another order or about another mean. Nothing is folded that could
//! hide an infinity or a NaN: `x * 0` and `x - x` stay.

mod arithmetic;
mod facts;
mod folding;
mod pads;
mod pooling;
mod reductions;
mod spread;
mod sums;
mod views;

use super::{Pass, rewrite};
use crate::ir::{Builder, Computation, NodeId};
use facts::Facts;

/// The pass.
pub static PASS: Pass =
    Pass { name: "simplify", help: "replaces nodes by simpler ones of equal value", required: false, run };

/// A rule: given a node that has just been appended, what can stand in its place.
struct Rule {
    /// Its name, as tests and people call it.
    name: &'static str,
    /// What it does, as a formula.
    help: &'static str,
    apply: fn(&mut Site, NodeId) -> Option<NodeId>,
}

/// The rules, in the order in which they are tried.
static RULES: &[Rule] = &[
    Rule { name: "fold", help: "f(1, 2) of constants is a constant", apply: folding::fold },
    Rule { name: "constant", help: "a moved constant is a repeated one", apply: folding::moved_constant },
    Rule { name: "add", help: "x + 0 = x; x + (-y) = x - y", apply: arithmetic::add },
    Rule { name: "sub", help: "x - 0 = x; 0 - x = -x; x - (-y) = x + y", apply: arithmetic::sub },
    Rule { name: "mul", help: "x * 1 = x; x * -1 = -x", apply: arithmetic::mul },
    Rule { name: "div", help: "x / 1 = x; x / 2^n = x * 2^-n", apply: arithmetic::div },
    Rule { name: "pow", help: "x ^ 1 = x; x ^ 2 = x * x", apply: arithmetic::pow },
    Rule { name: "twice", help: "-(-x) = x; not not x = x", apply: arithmetic::twice },
    Rule { name: "select", help: "a known condition, or equal alternatives", apply: arithmetic::select },
    Rule { name: "logic", help: "x and true = x; x or false = x", apply: arithmetic::logic },
    Rule { name: "identity", help: "a move of nothing, a list of one", apply: views::identity },
    Rule { name: "reshape", help: "a reshape of a reshape is one", apply: views::reshape },
    Rule { name: "view", help: "two moves in a row as one", apply: views::view },
    Rule { name: "leading", help: "a repeat adds leading axes itself", apply: views::leading },
    Rule { name: "hoist", help: "f(repeat x, repeat y) = repeat f(x, y)", apply: views::hoist },
    Rule { name: "repeated", help: "the sum of n equal terms is n times one", apply: reductions::repeated },
    Rule { name: "merged", help: "sums over merged axes are sums over the axes", apply: reductions::merged },
    Rule {
        name: "spread",
        help: "squares about the batch's mean by way of each example's",
        apply: spread::spread,
    },
    Rule { name: "apart", help: "the sum of c x + y over the batch, part by part", apply: sums::apart },
    Rule {
        name: "parted",
        help: "the batch's sum of two products is that of each, which the product takes itself",
        apply: reductions::parted,
    },
    Rule { name: "pool", help: "pool(f(x)) = f(pool(x)) for a ReLU or a bias f", apply: pooling::forward },
    Rule {
        name: "pool-gradient",
        help: "maxima of x + bias stand where those of x do",
        apply: pooling::backward,
    },
    Rule { name: "pool-mask", help: "a ReLU's mask goes before the pool's gradient", apply: pooling::masked },
    Rule {
        name: "pool-total",
        help: "the sum of a pool's gradient is that of its input",
        apply: pooling::total,
    },
    Rule { name: "beside", help: "parts side by side in zeros are a concatenation", apply: pads::beside },
    Rule { name: "single", help: "a reduction over extents of 1 is a reshape", apply: reductions::single },
];

/// Where rules work: the graph under construction, and what is known of its nodes.
struct Site<'a> {
    b: &'a mut Builder,
    facts: &'a mut Facts,
}

/// A rule may make room for another one: most graphs settle in two sweeps.
const SWEEPS: usize = 6;
/// How many rules may follow each other at one node.
const STEPS: usize = 32;

fn run(computation: Computation) -> Computation {
    let mut computation = computation;
    for _ in 0..SWEEPS {
        let (next, changed) = sweep(computation);
        computation = rewrite::drop_unneeded(next);
        if !changed {
            break;
        }
    }
    computation
}

fn sweep(computation: Computation) -> (Computation, bool) {
    let (mut facts, mut changed) = (Facts::default(), false);
    let next = rewrite::rebuild(computation, |b, node| {
        let mut id = rewrite::copy(b, node);
        for _ in 0..STEPS {
            facts.learn(&b.graph);
            let Some(simpler) = improve(&mut Site { b, facts: &mut facts }, id) else { break };
            (id, changed) = (simpler, true);
        }
        id
    });
    (next, changed)
}

/// What the first rule that fits puts in the place of a node.
fn improve(site: &mut Site, id: NodeId) -> Option<NodeId> {
    RULES.iter().find_map(|rule| {
        let simpler = (rule.apply)(site, id)?;
        debug_assert!(simpler != id, "the rule `{}` ({}) goes round in circles", rule.name, rule.help);
        let (old, new) = (&site.b.graph[id], &site.b.graph[simpler]);
        // A result that is read per example stays per example.
        (old.ty == new.ty && old.level == new.level).then_some(simpler)
    })
}
