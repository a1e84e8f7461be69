//! The only way to add a node: runs the op's shape rule and level rule, keeps the place in the text.

use std::sync::Arc;

use super::{Arity, Attr, Attrs, Body, Graph, Level, LevelRule, Mismatch, Node, NodeId, Op, Signature};
use crate::base::{Span, limits};
use crate::ty::{Shape, Type};

/// Appends nodes to a graph.
#[derive(Debug, Default)]
pub struct Builder {
    /// What has been built.
    pub graph: Graph,
    /// Given to every node that is added.
    pub span: Place,
    /// Given to every node that is added: the path of the layer.
    pub scope: String,
}

/// A span that defaults to [`Span::NONE`].
#[derive(Clone, Copy, Debug)]
pub struct Place(pub Span);

impl Default for Place {
    fn default() -> Place {
        Place(Span::NONE)
    }
}

impl Builder {
    /// Goes on with a graph.
    pub fn on(graph: Graph) -> Builder {
        Builder { graph, ..Builder::default() }
    }

    /// The type of a node.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.graph[id].ty
    }

    /// The shape of a node.
    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.graph[id].ty.shape
    }

    /// Takes back the nodes from the `len`-th on; nothing may refer to them any more.
    pub fn truncate(&mut self, len: usize) {
        self.graph.nodes.truncate(len);
    }

    /// Adds a node for user-written text.
    ///
    /// # Errors
    /// What does not fit, by the op's arity, attributes, shape rule or the limits.
    pub fn try_add(&mut self, op: &'static Op, inputs: &[NodeId], attrs: Attrs) -> Result<NodeId, Mismatch> {
        let attrs = with_levels(&self.graph, inputs, attrs);
        let (ty, level) = check(op, &self.graph, inputs, &attrs)?;
        if self.graph.len() >= limits::NODES {
            return Err(Mismatch::of(&[], format!("the graph has more than {} nodes", limits::NODES)));
        }
        let node = Node {
            op,
            inputs: inputs.to_vec(),
            attrs,
            ty,
            level,
            span: self.span.0,
            scope: self.scope.clone(),
        };
        self.graph.nodes.push(node);
        Ok(NodeId(self.graph.len() as u32 - 1))
    }

    /// Adds a node that a rule of the compiler knows to fit.
    ///
    /// # Panics
    /// When it does not fit: a fault of that rule.
    pub fn add(&mut self, op: &'static Op, inputs: &[NodeId], attrs: Attrs) -> NodeId {
        match self.try_add(op, inputs, attrs) {
            Ok(id) => id,
            Err(mismatch) => {
                let types: Vec<String> = inputs.iter().map(|i| self.ty(*i).to_string()).collect();
                panic!("{}({}): {}", op.name, types.join(", "), mismatch.message)
            }
        }
    }
}

/// Runs an op's rules over inputs that stand in a graph.
pub(super) fn check(
    op: &Op,
    graph: &Graph,
    inputs: &[NodeId],
    attrs: &Attrs,
) -> Result<(Type, Level), Mismatch> {
    let fits = match op.arity {
        Arity::Exactly(n) => inputs.len() == n,
        Arity::AtLeast(n) => inputs.len() >= n,
    };
    if !fits {
        return Err(Mismatch::of(
            &[],
            format!("{} takes {:?} inputs, not {}", op.name, op.arity, inputs.len()),
        ));
    }
    let names_fit = attrs.iter().count() == op.attrs.len()
        && op.attrs.iter().all(|spec| attrs.get(spec.name).map(Attr::kind) == Some(spec.kind));
    if !names_fit {
        return Err(Mismatch::of(&[], format!("{} has other attributes than {attrs:?}", op.name)));
    }
    let types: Vec<&Type> = inputs.iter().map(|id| &graph[*id].ty).collect();
    let ty = (op.shape)(&Signature { inputs: &types, attrs })?;
    let joined = inputs.iter().map(|id| graph[*id].level).max().unwrap_or(Level::Once);
    let level = match op.level {
        LevelRule::Join => joined,
        LevelRule::Once => Level::Once,
        LevelRule::Each => Level::Each,
        LevelRule::Attr if attrs.get_bool("each") => Level::Each,
        LevelRule::Attr => Level::Once,
    };
    check_bodies(graph, inputs, attrs)?;
    Ok((ty, level))
}

/// The level of an argument of a loop's body: that of the loop's input, and that of the loop for a carry.
fn argument_level(graph: &Graph, inputs: &[NodeId], attrs: &Attrs, body: &Body, argument: usize) -> Level {
    let level = |id: &NodeId| graph[*id].level;
    let top = || inputs.iter().map(level).max().unwrap_or(Level::Once);
    let first = match attrs.get("sequences") {
        Some(Attr::Int(n)) => usize::try_from(*n).unwrap_or(0),
        _ => 0,
    };
    let carry = (first..first + body.carries.len()).contains(&argument);
    if carry { top() } else { inputs.get(argument).map_or_else(top, level) }
}

/// Gives the arguments of loops' bodies the levels that the inputs of the loop have.
fn with_levels(graph: &Graph, inputs: &[NodeId], attrs: Attrs) -> Attrs {
    let fits = |body: &Body| {
        let level =
            |(id, argument)| body.graph[id].level == argument_level(graph, inputs, &attrs, body, argument);
        body.arguments().all(level)
    };
    if attrs.iter().all(|(_, attr)| !matches!(attr, Attr::Body(body) if !fits(body))) {
        return attrs;
    }
    attrs.iter().fold(attrs.clone(), |made, (name, attr)| match attr {
        Attr::Body(body) => {
            let moved = body.at_levels(|argument| argument_level(graph, inputs, &attrs, body, argument));
            made.set(name, Attr::Body(Arc::new(moved)))
        }
        _ => made,
    })
}

/// What [`with_levels`] has made true.
fn check_bodies(graph: &Graph, inputs: &[NodeId], attrs: &Attrs) -> Result<(), Mismatch> {
    for (_, attr) in attrs.iter() {
        let Attr::Body(body) = attr else { continue };
        for (id, argument) in body.arguments() {
            let (found, wanted) =
                (body.graph[id].level, argument_level(graph, inputs, attrs, body, argument));
            if found != wanted {
                let message = format!("argument {argument} of the body stands at {found:?}, not {wanted:?}");
                return Err(Mismatch::of(&[], message));
            }
        }
    }
    Ok(())
}
