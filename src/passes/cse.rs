//! Computes equal things once: nodes of one op with the same inputs and arguments become one.
//!
//! Random numbers are a function of the seed, the step, the example and the node's stream, and the stream is
//! an argument: so two draws are merged only where they are the same numbers by definition.

use std::collections::HashMap;

use super::{Pass, rewrite};
use crate::ir::kernel::{Kernel, Scalar};
use crate::ir::text;
use crate::ir::{Attr, Attrs, Computation, Graph, Node, NodeId};

/// The pass.
pub static PASS: Pass =
    Pass { name: "cse", help: "computes equal values once", required: false, run: merge_equal };

/// What two nodes have in common that have the same value.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    op: &'static str,
    inputs: Vec<NodeId>,
    attrs: Vec<Bits>,
}

/// An argument, floats by their bits: 0 and -0 are not merged.
#[derive(PartialEq, Eq, Hash)]
enum Bits {
    Int(i64),
    Ints(Vec<i64>),
    Float(u64),
    Text(String),
    Bool(bool),
    /// The text form of a loop's body, with the level of what it reads.
    Body(String),
}

fn bits(attrs: &Attrs) -> Vec<Bits> {
    let of = |attr: &Attr| match attr {
        Attr::Int(value) => Bits::Int(*value),
        Attr::Ints(values) => Bits::Ints(values.clone()),
        Attr::Float(value) => Bits::Float(value.to_bits()),
        Attr::Text(text) => Bits::Text(text.clone()),
        Attr::Bool(value) => Bits::Bool(*value),
        Attr::Body(body) => Bits::Body(text::print_body(body)),
    };
    attrs.iter().map(|(_, attr)| of(attr)).collect()
}

fn merge_equal(computation: Computation) -> Computation {
    let mut known: HashMap<Key, NodeId> = HashMap::new();
    let merged = rewrite::rebuild(computation, |b, node| {
        let swap = node.inputs.len() == 2 && node.inputs[0] > node.inputs[1] && commutes(&b.graph, &node);
        let mut inputs = node.inputs.clone();
        if swap {
            inputs.reverse();
        }
        let key = Key { op: node.op.name, inputs, attrs: bits(&node.attrs) };
        *known.entry(key).or_insert_with(|| rewrite::copy(b, node))
    });
    rewrite::drop_unneeded(merged)
}

/// Whether the order of two inputs makes no difference to any bit of the result.
fn commutes(graph: &Graph, node: &Node) -> bool {
    match graph.kernel_of(node) {
        Some(Kernel::Map(scalar)) => {
            matches!(scalar, Scalar::Add | Scalar::Mul | Scalar::Eq | Scalar::And | Scalar::Or)
        }
        _ => false,
    }
}
