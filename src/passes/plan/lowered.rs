//! Every node with its kernel kind and its consumers: what the planner decides over.

use crate::base::Diagnostic;
use crate::ir::kernel::{Kernel, Scalar, Source};
use crate::ir::{Body, Computation, Lower, NodeId, Signature};

/// A computation whose ops have all been lowered to kernel kinds.
pub struct Lowered<'a> {
    /// The computation.
    pub computation: &'a Computation,
    /// The kernel kind of each node.
    pub kernels: Vec<Kernel>,
    /// Whether a root needs the node.
    pub needed: Vec<bool>,
    /// The needed nodes that use each node; one entry per use.
    pub users: Vec<Vec<NodeId>>,
    /// Whether the node is an output or the value of an update.
    pub wanted: Vec<bool>,
}

impl<'a> Lowered<'a> {
    /// Lowers every needed node.
    ///
    /// # Errors
    /// An op that still lowers to other ops: `decompose` has not run.
    pub fn new(computation: &'a Computation) -> Result<Lowered<'a>, Diagnostic> {
        let graph = &computation.graph;
        let mut needed = vec![false; graph.len()];
        let mut wanted = vec![false; graph.len()];
        for root in computation.roots() {
            needed[root.index()] = true;
            wanted[root.index()] = true;
        }
        let mut users = vec![Vec::new(); graph.len()];
        for (id, node) in graph.iter().rev() {
            if needed[id.index()] {
                for input in &node.inputs {
                    needed[input.index()] = true;
                    users[input.index()].push(id);
                }
            }
        }
        let mut kernels = Vec::with_capacity(graph.len());
        for (id, node) in graph.iter() {
            let types: Vec<_> = node.inputs.iter().map(|i| &graph[*i].ty).collect();
            let kernel = match node.op.lower {
                Lower::Kernel(lower) => lower(&Signature { inputs: &types, attrs: &node.attrs }, &node.ty),
                Lower::Ops(_) if needed[id.index()] => {
                    let message = format!("{id} = {} has not been decomposed", node.op.name);
                    return Err(Diagnostic::internal("plan", message).label(node.span, "this"));
                }
                Lower::Ops(_) => Kernel::Reshape,
            };
            if let Kernel::Scan(scan) = &kernel {
                Lowered::new(&Body::clone(&scan.body).into_computation())?;
            }
            kernels.push(kernel);
        }
        Ok(Lowered { computation, kernels, needed, users, wanted })
    }

    /// The kernel kind of a node.
    pub fn kernel(&self, id: NodeId) -> &Kernel {
        &self.kernels[id.index()]
    }

    /// The inputs of a node.
    pub fn inputs(&self, id: NodeId) -> &[NodeId] {
        &self.computation.graph[id].inputs
    }

    /// The shape of a node, of one example.
    pub fn shape(&self, id: NodeId) -> &[usize] {
        &self.computation.graph[id].ty.shape
    }

    /// Whether the node has a value for each example.
    pub fn each(&self, id: NodeId) -> bool {
        self.computation.graph[id].level == crate::ir::Level::Each
    }

    /// Whether the node is a number known at compile time, however it is reshaped or repeated.
    pub fn constant(&self, id: NodeId) -> Option<f64> {
        match self.kernel(id) {
            Kernel::Source(Source::Constant(value)) => Some(*value),
            Kernel::View(_) | Kernel::Reshape => {
                self.inputs(id).first().and_then(|input| self.constant(*input))
            }
            _ => None,
        }
    }
}

/// Whether computing it twice costs less than storing and loading it.
pub fn is_cheap(scalar: Scalar) -> bool {
    use Scalar::*;
    match scalar {
        Add | Sub | Mul | Min | Max | Neg | Abs | Lt | Le | Eq | And | Or | Not | Select | Trunc | Floor
        | Sign => true,
        Div | Pow | Exp | Log | Sqrt | Rsqrt | Tanh | Sigmoid | Erf | Sin | Cos => false,
    }
}
