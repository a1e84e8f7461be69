//! `scan`: a loop over the first axis of sequences.
//!
//! One step is elaborated into the graph that is under construction, with placeholders for what changes from step to
//! step. What depends on them becomes the loop's body; the rest stays where it is, and is computed once.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::checker::Checker;
use super::scope::{Frame, Scope};
use super::value::{Eval, Reported, Value};
use crate::base::Span;
use crate::ir::kernel::{Distribution, Leaf, Source};
use crate::ir::{Body, Builder, Graph, Kernel, Level, NodeId};
use crate::ops;
use crate::syntax::ast::{Expr, Scan};
use crate::ty::{Shape, Type};

/// A step that is being elaborated.
pub struct Step<'a> {
    /// The body that the `scan` stands in.
    frame: Rc<Frame>,
    /// What the step gives, and where that is said.
    given: Option<(Value<'a>, Span)>,
}

impl<'a> Checker<'a> {
    /// The value of `scan`: what the steps give, one after the other along a new first axis.
    pub fn scan(&mut self, scan: &'a Scan) -> Eval<Value<'a>> {
        if self.step.is_some() {
            let problem = self
                .problem("nested-scan", "a `scan` in a step of a `scan` is not possible", "the inner one")
                .help("scan over the inner axis first, or reshape both axes into one");
            return Err(self.report(problem));
        }
        let (sequences, count) = self.sequences(scan)?;
        let firsts = self.firsts(scan)?;
        let mark = self.g.b.graph.len();
        let scope = Scope::inside(&self.scope);
        let level = |c: &Self, nodes: &[NodeId]| nodes.iter().map(|id| c.g.b.graph[*id].level).max();
        let carried = level(self, &sequences).max(level(self, &firsts)).unwrap_or(Level::Once);
        let mut places = Vec::new();
        for (index, ((name, _), node)) in scan.parts.iter().zip(&sequences).enumerate() {
            let ty = self.ty(*node).clone();
            let ty = Type::new(ty.dtype, Shape::of(&ty.shape[1..]));
            let own = self.g.b.graph[*node].level;
            places.push(self.placeholder(&ty, own));
            scope.define(&name.name, Value::Tensor(places[index]));
        }
        for (j, ((name, _), node)) in scan.carries.iter().zip(&firsts).enumerate() {
            let ty = self.ty(*node).clone();
            places.push(self.placeholder(&ty, carried));
            scope.define(&name.name, Value::Tensor(places[sequences.len() + j]));
        }

        self.step = Some(Step { frame: self.frame.clone(), given: None });
        let inner = Scope::inside(&scope);
        let value = self.scoped(inner.clone(), |c| c.block(&scan.body));
        let given = self.step.take().and_then(|step| step.given);
        if !matches!(value?, Value::Nothing) {
            let span = scan.body.span.unwrap_or(self.here);
            let problem = self
                .problem_at(span, "no-effect", "the value of a step is not used", "this step")
                .help("write `yield` before what the step gives");
            return Err(self.report(problem));
        }
        let Some((given, span)) = given else {
            let problem = self
                .problem("no-yield", "the steps of this `scan` give nothing", "no `yield` in it")
                .help("`yield h` gives the value of `h` after each step");
            return Err(self.report(problem));
        };
        let mut nexts = Vec::new();
        for (j, (name, first)) in scan.carries.iter().enumerate() {
            let place = places[sequences.len() + j];
            nexts.push(self.next(&name.name, name.span, first.span, &inner, place)?);
        }
        let rows = self.at(span, |c| {
            let values = match &given {
                Value::List(values) => values.as_ref().clone(),
                value => vec![value.clone()],
            };
            let nodes = values.iter().map(|value| {
                let node = c.tensor(value)?;
                c.as_numbers(node)
            });
            nodes.collect::<Eval<Vec<NodeId>>>()
        })?;
        let made = self.make(mark, &places, [&sequences, &firsts], &nexts, &rows, scan.reverse)?;
        let mut stacks = Vec::new();
        for (row, node) in rows.iter().enumerate() {
            let mut extents = vec![count as i64];
            extents.extend(self.shape(*node).iter().map(|n| *n as i64));
            self.checked_shape(&extents)?;
            stacks.push(Value::Tensor(ops::stacked(self.build(), made, row)));
        }
        match (given, stacks.pop()) {
            (Value::List(_), Some(last)) => {
                stacks.push(last);
                Ok(Value::list(stacks))
            }
            (_, Some(one)) => Ok(one),
            (_, None) => self.error("no-yield", "`yield` gives an empty list", "in this `scan`"),
        }
    }

    /// What changes from step to step, while the step is elaborated. Its number is its own: placeholders of other loops
    /// stand in the same graph.
    fn placeholder(&mut self, ty: &Type, level: Level) -> NodeId {
        let number = self.g.b.graph.len();
        ops::argument(self.build(), number, ty, level)
    }

    /// `yield e`
    pub fn yielded(&mut self, value: &'a Expr, span: Span) -> Eval<()> {
        let new = self.eval(value)?;
        let frame = self.frame.clone();
        let twice = match &mut self.step {
            Some(step) if Rc::ptr_eq(&step.frame, &frame) => match &step.given {
                Some((_, before)) => Some(*before),
                None => {
                    step.given = Some((new, span));
                    return Ok(());
                }
            },
            _ => None,
        };
        let problem = match twice {
            Some(before) => self
                .problem_at(span, "yield-twice", "a step has two `yield`s", "the second one")
                .label(before, "the first one")
                .help("give several values as a list: `yield [a, b]`"),
            None => self
                .problem_at(span, "no-scan", "`yield` stands outside of a `scan`", "not in a step")
                .help("`scan xt in x with h = zeros(8) { let h = ..; yield h }`"),
        };
        Err(self.report(problem))
    }

    /// The sequences and their common length.
    fn sequences(&mut self, scan: &'a Scan) -> Eval<(Vec<NodeId>, usize)> {
        let mut nodes: Vec<NodeId> = Vec::new();
        for (_, expr) in &scan.parts {
            let value = self.eval(expr)?;
            let node = self.at(expr.span, |c| c.tensor(&value))?;
            let found = self.ty(node).to_string();
            let Some(length) = self.shape(node).first().copied() else {
                let title = "a `scan` runs over the first axis of a tensor";
                return self.error_at(
                    expr.span,
                    "not-a-list",
                    title,
                    &format!("this is {found}, a single number"),
                );
            };
            if let Some(first) = nodes.first()
                && self.shape(*first)[0] != length
            {
                let (other, place) = (self.ty(*first).to_string(), scan.parts[0].1.span);
                let title =
                    format!("the sequences of a `scan` have {} and {length} steps", self.shape(*first)[0]);
                let problem = self
                    .problem_at(expr.span, "shape-mismatch", title, &format!("{found} here"))
                    .label(place, format!("{other} here"))
                    .help("cut or pad one of them along its first axis");
                return Err(self.report(problem));
            }
            nodes.push(node);
        }
        let count = nodes.first().map_or(1, |node| self.shape(*node)[0]);
        Ok((nodes, count))
    }

    /// The first values of the carries.
    fn firsts(&mut self, scan: &'a Scan) -> Eval<Vec<NodeId>> {
        let mut nodes = Vec::new();
        for (_, expr) in &scan.carries {
            let value = self.eval(expr)?;
            nodes.push(self.at(expr.span, |c| {
                let node = c.tensor(&value)?;
                c.as_numbers(node)
            })?);
        }
        Ok(nodes)
    }

    /// What a carry is after a step.
    fn next(
        &mut self,
        name: &str,
        declared: Span,
        first: Span,
        scope: &Rc<Scope<'a>>,
        place: NodeId,
    ) -> Eval<NodeId> {
        let value = match scope.get(name) {
            Some(Value::Poison) | None => return Err(Reported),
            Some(value) => value,
        };
        let ty = self.ty(place).clone();
        let node = self.at(declared, |c| {
            let node = c.tensor(&value)?;
            c.as_numbers(node)
        })?;
        if node == place {
            let problem = self
                .problem_at(
                    declared,
                    "no-next",
                    format!("`{name}` has no next value"),
                    "carried from step to step",
                )
                .help(format!(
                    "give it one in the step: `let {name} = ..`; what does not change need not be carried"
                ));
            return Err(self.report(problem));
        }
        let node = if self.shape(node).rank() == 0 { self.broadcast(node, &ty.shape)? } else { node };
        if *self.ty(node) != ty {
            let found = self.ty(node).to_string();
            let title = format!("`{name}` is {ty} before a step and {found} after it");
            let problem = self
                .problem_at(declared, "shape-mismatch", title, "carried from step to step")
                .label(first, format!("its first value is {ty}"));
            let problem = self.with_origin(problem, node, "the next value");
            return Err(self.report(problem));
        }
        Ok(node)
    }

    /// The loop whose step are the nodes from `mark` on that depend on the placeholders.
    fn make(
        &mut self,
        mark: usize,
        places: &[NodeId],
        [sequences, firsts]: [&[NodeId]; 2],
        nexts: &[NodeId],
        rows: &[NodeId],
        reverse: bool,
    ) -> Eval<NodeId> {
        let roots: Vec<NodeId> = nexts.iter().chain(rows).copied().collect();
        let found = Found::new(&self.g.b.graph, mark, places, &roots);
        if let Some(sum) = found.moving.iter().find(|id| {
            matches!(self.g.b.graph.kernel(**id), Some(Kernel::BatchSum | Kernel::Batch | Kernel::Example))
        }) {
            let span = self.g.b.graph[*sum].span;
            let problem = self
                .problem_at(
                    span,
                    "batch-in-scan",
                    "examples meet in a step of a `scan`",
                    "a sum over the batch",
                )
                .help("take `batch_mean(..)` of what the `scan` gives");
            return Err(self.report(problem));
        }
        let state = self.g.updates.iter().find(|update| found.depends[update.value.index()]);
        if let Some(update) = state {
            let span = self.g.b.graph[update.value].span;
            let problem = self
                .problem_at(
                    span,
                    "update-in-scan",
                    "a state gets a new value in each step",
                    "depends on the step",
                )
                .help("carry it: `with name = ..`, and update the state with what the `scan` gives at last");
            return Err(self.report(problem));
        }
        let count = self.shape(sequences[0])[0];
        let mut inputs: Vec<NodeId> = sequences.to_vec();
        for id in &found.random {
            inputs.push(self.random_sequence(*id, count));
        }
        let all = inputs.len();
        inputs.extend(firsts);
        inputs.extend(&found.captured);
        let level = |id: &NodeId| self.g.b.graph[*id].level;
        let loop_level = inputs.iter().map(level).max().unwrap_or(Level::Once);

        let graph = &self.g.b.graph;
        let mut b = Builder::default();
        let mut map: HashMap<NodeId, NodeId> = HashMap::new();
        let (parts, carries) = places.split_at(sequences.len());
        let captured = all + firsts.len();
        let arguments =
            (parts.iter().chain(&found.random).enumerate().map(|(i, id)| (i, *id, level(&inputs[i]))))
                .chain(carries.iter().enumerate().map(|(j, id)| (all + j, *id, loop_level)))
                .chain(found.captured.iter().enumerate().map(|(k, id)| (captured + k, *id, level(id))));
        for (index, id, level) in arguments {
            let made = ops::argument(&mut b, index, &graph[id].ty, level);
            map.insert(id, made);
        }
        for id in &found.inside {
            if map.contains_key(id) {
                continue;
            }
            let node = &graph[*id];
            let inputs: Vec<NodeId> = node.inputs.iter().map(|input| map[input]).collect();
            b.span.0 = node.span;
            b.scope.clone_from(&node.scope);
            map.insert(*id, b.add(node.op, &inputs, node.attrs.clone()));
        }
        let moved = |ids: &[NodeId]| ids.iter().map(|id| map[id]).collect::<Vec<_>>();
        let body = Body { carries: moved(nexts), rows: moved(rows), graph: b.graph };
        self.op("scan", &inputs, ops::scan_attrs(all, reverse, Arc::new(body)))
    }

    /// Random numbers of their own for each step.
    fn random_sequence(&mut self, id: NodeId, count: usize) -> NodeId {
        let (node, kernel) = (self.g.b.graph[id].clone(), self.g.b.graph.kernel(id));
        let shape: Vec<usize> = [count].into_iter().chain(node.ty.shape.iter().copied()).collect();
        let b = self.build();
        match kernel {
            Some(Kernel::Leaf(Leaf::Random { distribution: Distribution::Normal, stream })) => {
                ops::random_normal(b, &Shape::of(&shape), stream, node.level)
            }
            Some(Kernel::Leaf(Leaf::Random { distribution: Distribution::Uniform, stream })) => {
                ops::random_uniform(b, &Shape::of(&shape), stream, node.level)
            }
            _ => id,
        }
    }
}

/// What a step is made of.
struct Found {
    /// For each node of the graph, whether it depends on the step.
    depends: Vec<bool>,
    /// The needed nodes that depend on the step, in order.
    moving: Vec<NodeId>,
    /// Those and the constants that they use.
    inside: Vec<NodeId>,
    /// Random numbers that were made in the step.
    random: Vec<NodeId>,
    /// What the step uses from outside.
    captured: Vec<NodeId>,
}

impl Found {
    fn new(graph: &Graph, mark: usize, places: &[NodeId], roots: &[NodeId]) -> Found {
        let is_random = |id: NodeId| matches!(graph.kernel(id), Some(Kernel::Leaf(Leaf::Random { .. })));
        let mut depends = vec![false; graph.len()];
        for (id, node) in graph.iter().skip(mark) {
            let source = places.contains(&id) || is_random(id);
            depends[id.index()] = source || node.inputs.iter().any(|input| depends[input.index()]);
        }
        let mut needed: HashSet<NodeId> = HashSet::new();
        let mut open: Vec<NodeId> = roots.to_vec();
        let (mut random, mut captured) = (Vec::new(), Vec::new());
        while let Some(id) = open.pop() {
            if !needed.insert(id) {
                continue;
            }
            if depends[id.index()] && is_random(id) {
                random.push(id);
            } else if depends[id.index()] || is_constant(graph, id) {
                open.extend(&graph[id].inputs);
            } else {
                captured.push(id);
            }
        }
        random.sort();
        captured.sort();
        let mut inside: Vec<NodeId> = needed.into_iter().filter(|id| !captured.contains(id)).collect();
        inside.sort();
        let moving = inside.iter().copied().filter(|id| depends[id.index()]).collect();
        Found { depends, moving, inside, random, captured }
    }
}

/// Whether a node is made of known numbers alone.
fn is_constant(graph: &Graph, id: NodeId) -> bool {
    match graph.kernel(id) {
        Some(Kernel::Source(Source::Constant(_)) | Kernel::Iota(_)) => true,
        Some(Kernel::View(_) | Kernel::Reshape) => is_constant(graph, graph[id].inputs[0]),
        _ => false,
    }
}
