//! What the tests of ops share: sample values, graphs of one op, a naive evaluator, reverse differentiation.
//!
//! The evaluator and the differentiation are deliberately not those of the compiler: they are small enough
//! to be seen to be right.

use std::collections::{HashMap, HashSet};

use nnc::ir::computation::VariableId;
use nnc::ir::op::Moment;
use nnc::ir::{Array, Builder, Case, Grad, Graph, Level, NodeId, Op, RefCall};
use nnc::ops;
use nnc::ty::{DType, Type};

/// Ops whose values are given, not computed; they need no cases.
pub const LEAVES: &[&str] = &["argument", "input", "variable"];

/// Every op with its cases, numbered.
pub fn all_cases() -> impl Iterator<Item = (&'static Op, usize, Case)> {
    ops::ALL.iter().flat_map(|op| (op.cases)().into_iter().enumerate().map(move |(i, case)| (*op, i, case)))
}

/// The step that the tests stand at.
pub const MOMENT: Moment = Moment { seed: 7, step: 3, example: 0, batch: 1 };

/// Numbers that look random and are the same in every run. Floats keep a distance from each other, so that
/// finite differences do not step over the kink where two of them are equal.
pub struct Noise {
    state: u64,
    used: HashSet<u64>,
}

/// How many different floats a range has.
const STEPS: f64 = 8192.0;

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise { state: seed, used: HashSet::new() }
    }

    /// In `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A place in a range that was not drawn before, never in its middle.
    fn fresh(&mut self) -> f64 {
        if self.used.len() > 4000 {
            self.used.clear();
        }
        loop {
            let step = (STEPS * self.uniform()).floor();
            if self.used.insert(step as u64) {
                return (step + 0.5) / STEPS;
            }
        }
    }

    /// A value of this type: floats (exact in f32) from the range, whole numbers within their bound.
    pub fn array(&mut self, ty: &Type, (low, high): (f64, f64)) -> Array {
        Array::from_fn(&ty.shape, |_| match ty.dtype {
            DType::F32 => f64::from((low + (high - low) * self.fresh()) as f32),
            DType::Bool => (2.0 * self.uniform()).floor(),
            DType::Index(bound) => (bound as f64 * self.uniform()).floor(),
        })
    }
}

/// A graph that applies an op to leaves of a case's types and levels.
pub struct Applied {
    pub builder: Builder,
    pub leaves: Vec<NodeId>,
    pub node: NodeId,
}

/// Builds the graph of a case.
pub fn apply(op: &'static Op, case: &Case) -> Applied {
    let mut builder = Builder::default();
    let leaves = leaves(&mut builder, case);
    let node = builder.try_add(op, &leaves, case.attrs.clone()).unwrap_or_else(|mismatch| {
        panic!("the case {case:?} of {} is refused: {}", op.name, mismatch.message)
    });
    Applied { builder, leaves, node }
}

/// The leaves of a case: variables where it is `Once`, fields of the batch where it is `Each`.
pub fn leaves(b: &mut Builder, case: &Case) -> Vec<NodeId> {
    let level = |i: usize| case.levels.get(i).copied().unwrap_or(Level::Each);
    let leaf = |(i, ty): (usize, &Type)| match (level(i), ty.dtype) {
        (Level::Once, DType::F32) => ops::variable(b, VariableId(i as u32), &ty.shape),
        _ => ops::input(b, i, ty),
    };
    case.inputs.iter().enumerate().map(leaf).collect()
}

/// A value for every node: leaves from the table, everything else by the reference of its op.
pub fn evaluate(graph: &Graph, leaves: &HashMap<NodeId, Array>) -> Vec<Array> {
    let mut values: Vec<Array> = Vec::with_capacity(graph.len());
    for (id, node) in graph.iter() {
        let value = match leaves.get(&id) {
            Some(value) => value.clone(),
            None => {
                let inputs: Vec<&Array> = node.inputs.iter().map(|input| &values[input.index()]).collect();
                (node.op.reference)(&RefCall {
                    inputs: &inputs,
                    attrs: &node.attrs,
                    ty: &node.ty,
                    moment: MOMENT,
                })
            }
        };
        assert_eq!(value.shape, node.ty.shape, "{} gives another shape than its rule says", node.op.name);
        values.push(value);
    }
    values
}

/// Appends the gradients of `sum(seed * of)` with respect to some nodes.
pub fn gradients(b: &mut Builder, of: NodeId, seed: NodeId, wrt: &[NodeId]) -> Vec<NodeId> {
    let mut gradients: HashMap<NodeId, NodeId> = HashMap::from([(of, seed)]);
    for id in b.graph.ids().filter(|id| *id <= of).rev() {
        let (Some(g), Grad::Rule(rule)) = (gradients.get(&id).copied(), b.graph[id].op.grad) else {
            continue;
        };
        let parts = rule(b, id, g);
        let inputs = b.graph[id].inputs.clone();
        assert_eq!(parts.len(), inputs.len(), "the gradient rule of {}", b.graph[id].op.name);
        for (input, part) in inputs.into_iter().zip(parts) {
            let Some(part) = part else { continue };
            assert_eq!(b.shape(input), b.shape(part), "the gradient rule of {}", b.graph[id].op.name);
            let sum = match gradients.get(&input) {
                Some(other) => ops::add(b, *other, part),
                None => part,
            };
            gradients.insert(input, sum);
        }
    }
    wrt.iter()
        .map(|id| match gradients.get(id) {
            Some(gradient) => *gradient,
            None => ops::constant_like(b, *id, 0.0),
        })
        .collect()
}

/// The central difference of a function, of fourth order.
pub fn difference(mut f: impl FnMut(f64) -> f64) -> f64 {
    let h = 1e-4;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

/// Whether two numbers agree to this relative error (absolute below 1).
pub fn close(x: f64, y: f64, tolerance: f64) -> bool {
    (x - y).abs() <= tolerance * x.abs().max(y.abs()).max(1.0)
}
