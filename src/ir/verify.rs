//! The law of the IR, and the check that a computation keeps it. Each pass is followed by this check.
//!
//! 1. A node uses only nodes before it.
//! 2. Its inputs are as many as its op takes; its arguments have the names and kinds that its op declares.
//! 3. Its type is what the op's shape rule gives, its level what the op's level rule gives.
//! 4. A `Once` value never depends on an `Each` value except through a sum over the batch
//!    or a batch of all values.
//! 5. All nodes that read one variable, or one field of the batch, agree on its type.
//! 6. Outputs and updates name nodes that exist; no two outputs have one name; a variable is updated at most
//!    once, by a `Once` value of the variable's type.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::builder::check;
use super::computation::VariableId;
use super::kernel::{Kernel, Source};
use super::{Attr, Body, Computation, Graph, Level, Node, NodeId};
use crate::base::Span;
use crate::ty::{DType, Type};

/// A broken law.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The node that breaks it, where there is one.
    pub node: Option<NodeId>,
    /// The source text of that node.
    pub span: Span,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{node}: {}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

/// Checks a computation.
///
/// # Errors
/// The first broken law.
pub fn verify(computation: &Computation) -> Result<(), Fault> {
    let graph = &computation.graph;
    let mut sources = Sources::default();
    for (id, node) in graph.iter() {
        let fault = |reason| Fault { node: Some(id), span: node.span, reason };
        verify_node(graph, id, node).map_err(fault)?;
        sources.agree(graph, id, node).map_err(fault)?;
    }
    verify_roots(computation, &sources.variables)
}

/// Checks a computation, and that its variables have these types.
///
/// # Errors
/// The first broken law.
pub fn verify_variables(computation: &Computation, variables: &[Type]) -> Result<(), Fault> {
    verify(computation)?;
    for (id, node) in computation.graph.iter() {
        let Some(Kernel::Source(Source::Variable(variable))) = computation.graph.kernel(id) else { continue };
        let declared = variables.get(variable.0 as usize);
        if declared != Some(&node.ty) {
            let reason = match declared {
                Some(ty) => format!("variable {} is {ty}, not {}", variable.0, node.ty),
                None => format!("there is no variable {}", variable.0),
            };
            return Err(Fault { node: Some(id), span: node.span, reason });
        }
    }
    for update in &computation.updates {
        let ty = &computation.graph[update.value].ty;
        if variables.get(update.variable.0 as usize) != Some(ty) {
            let reason = format!("{ty} is written to variable {}, which has another type", update.variable.0);
            return Err(Fault { node: Some(update.value), span: Span::NONE, reason });
        }
    }
    Ok(())
}

/// Laws 1 to 4.
fn verify_node(graph: &Graph, id: NodeId, node: &Node) -> Result<(), String> {
    let name = node.op.name;
    if let Some(later) = node.inputs.iter().find(|input| **input >= id) {
        return Err(format!("{name} uses {later}, which does not stand before it"));
    }
    let (ty, level) = check(node.op, graph, &node.inputs, &node.attrs)
        .map_err(|mismatch| format!("{name}: {}", mismatch.message))?;
    if ty != node.ty {
        return Err(format!("{name} gives {ty}, but the node says {}", node.ty));
    }
    if level != node.level {
        return Err(format!("{name} stands at {level:?}, but the node says {:?}", node.level));
    }
    for (_, attr) in node.attrs.iter() {
        let Attr::Body(body) = attr else { continue };
        verify(&Body::clone(body).into_computation()).map_err(|fault| format!("in its body: {fault}"))?;
    }
    let each = node.inputs.iter().find(|input| graph[**input].level == Level::Each);
    match each {
        Some(each)
            if level == Level::Once
                && !matches!(graph.kernel(id), Some(Kernel::BatchSum | Kernel::Batch)) =>
        {
            Err(format!("{name} is the same for all examples, but {each} differs between them"))
        }
        _ => Ok(()),
    }
}

/// The types at which variables and inputs are read (law 5).
#[derive(Default)]
struct Sources {
    variables: HashMap<VariableId, Type>,
    inputs: HashMap<usize, Type>,
    arguments: HashMap<usize, Type>,
}

impl Sources {
    fn agree(&mut self, graph: &Graph, id: NodeId, node: &Node) -> Result<(), String> {
        if !node.inputs.is_empty() {
            return Ok(());
        }
        let (what, known) = match graph.kernel(id) {
            Some(Kernel::Source(Source::Variable(variable))) => {
                let known = self.variables.entry(variable).or_insert_with(|| node.ty.clone());
                (format!("variable {}", variable.0), known)
            }
            Some(Kernel::Source(Source::Input(index))) => {
                (format!("input {index}"), self.inputs.entry(index).or_insert_with(|| node.ty.clone()))
            }
            Some(Kernel::Source(Source::Argument(index))) => {
                (format!("argument {index}"), self.arguments.entry(index).or_insert_with(|| node.ty.clone()))
            }
            _ => return Ok(()),
        };
        if *known != node.ty {
            return Err(format!("{what} is read as {} here and as {known} before", node.ty));
        }
        Ok(())
    }
}

/// Law 6.
fn verify_roots(computation: &Computation, variables: &HashMap<VariableId, Type>) -> Result<(), Fault> {
    let graph = &computation.graph;
    let at = |node: Option<NodeId>, reason: String| {
        let span = node.filter(|id| id.index() < graph.len()).map_or(Span::NONE, |id| graph[id].span);
        Err(Fault { node, span, reason })
    };
    if let Some(missing) = computation.roots().find(|id| id.index() >= graph.len()) {
        return at(None, format!("{missing} is an output or an update, but there is no such node"));
    }
    let mut names = HashSet::new();
    if let Some((name, node)) = computation.outputs.iter().find(|(name, _)| !names.insert(name)) {
        return at(Some(*node), format!("there are two outputs `{name}`"));
    }
    let mut updated = HashSet::new();
    for update in &computation.updates {
        let (id, node) = (update.variable, &graph[update.value]);
        if !updated.insert(id) {
            return at(Some(update.value), format!("variable {} is updated twice", id.0));
        }
        if node.level != Level::Once || node.ty.dtype != DType::F32 {
            let reason = format!("variable {} cannot take {:?} {}", id.0, node.level, node.ty);
            return at(Some(update.value), reason);
        }
        if let Some(ty) = variables.get(&id).filter(|ty| **ty != node.ty) {
            return at(Some(update.value), format!("variable {} is {ty}, its update {}", id.0, node.ty));
        }
    }
    Ok(())
}
