//! The gradient of a `scan`: a `scan` in the other direction.
//!
//! A step of it computes the forward step once more from what the forward loop kept of it, and then the
//! gradients of what the step was given. What is costly to compute twice is kept: the forward loop gets further
//! columns in its rows. The sum over the steps of what a value from outside receives is never carried: where it is
//! a sum of products, the factors are given to the outside and one product adds over all steps.

use std::collections::HashMap;
use std::sync::Arc;

use super::{argument, concat, contract, reshape, scan, slice_axis, stacked, sum, zeros_like};
use crate::ir::body::argument as argument_of;
use crate::ir::kernel::{Contraction, Scalar, Source};
use crate::ir::{Body, Builder, Grad, Kernel, Level, NodeId};
use crate::ty::{DType, Shape, Type};

/// The gradients of the inputs.
pub fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let attrs = &b.graph[node].attrs;
    let (sequences, reverse) = (attrs.get_int("sequences") as usize, attrs.get_bool("reverse"));
    let forward = attrs.get_body("body").clone();
    let inputs = b.graph[node].inputs.clone();
    let carries = forward.carries.len();
    let step = Step::new(b, &forward, &inputs, sequences, g);

    // The forward loop with what the backward steps read of it.
    let mut rows = forward.rows.clone();
    let kept: Vec<usize> = step.kept.iter().chain(&forward.carries).map(|id| place(&mut rows, *id)).collect();
    let extended = if rows.len() == forward.rows.len() {
        node
    } else {
        scan(b, &inputs, sequences, reverse, Arc::new(Body { rows, ..(*forward).clone() }))
    };
    let kept: Vec<NodeId> = kept.into_iter().map(|row| stacked(b, extended, row)).collect();
    let (kept, after) = kept.split_at(step.kept.len());
    let before: Vec<NodeId> =
        (0..carries).map(|j| shifted(b, inputs[sequences + j], after[j], reverse)).collect();

    let mut outer: Vec<NodeId> = inputs[..sequences].to_vec();
    outer.extend(before);
    outer.extend(kept);
    outer.push(g);
    let backward_sequences = outer.len();
    for j in 0..carries {
        outer.push(zeros_like(b, inputs[sequences + j]));
    }
    outer.extend(&inputs[sequences + carries..]);
    if step.body.rows.is_empty() {
        return vec![None; inputs.len()];
    }
    let backward = scan(b, &outer, backward_sequences, !reverse, Arc::new(step.body.clone()));

    let mut gradients = vec![None; inputs.len()];
    for (input, found) in step.found {
        gradients[input] = Some(match found {
            Found::Stack(row) => stacked(b, backward, row),
            Found::Last(row) => {
                let all = stacked(b, backward, row);
                let count = b.shape(all)[0];
                let last = slice_axis(b, all, 0, if reverse { count - 1 } else { 0 }, 1);
                let shape = b.shape(inputs[input]).clone();
                reshape(b, last, &shape)
            }
            Found::Sums(parts) => {
                let mut total = None;
                for part in parts {
                    let part = part.over_steps(b, backward, &outer, backward_sequences);
                    total = Some(total.map_or(part, |total| super::add(b, total, part)));
                }
                match total {
                    Some(total) => total,
                    None => continue,
                }
            }
        });
    }
    gradients
}

/// The place of a node in a row, at its end if it has none yet.
fn place(rows: &mut Vec<NodeId>, id: NodeId) -> usize {
    rows.iter().position(|row| *row == id).unwrap_or_else(|| {
        rows.push(id);
        rows.len() - 1
    })
}

/// What a carry was before each step, from its first value and what it was after each.
fn shifted(b: &mut Builder, first: NodeId, after: NodeId, reverse: bool) -> NodeId {
    let (shape, count) = (b.shape(after).clone(), b.shape(after)[0]);
    let one: Vec<usize> = [1].into_iter().chain(shape[1..].iter().copied()).collect();
    let first = reshape(b, first, &Shape::of(&one));
    if count == 1 {
        // At the level of the loop, as with more steps.
        let zero = zeros_like(b, after);
        let none = super::mul(b, after, zero);
        return if b.graph[first].level == b.graph[after].level { first } else { super::add(b, first, none) };
    }
    let most = slice_axis(b, after, 0, usize::from(reverse), count - 1);
    if reverse { concat(b, &[most, first], 0) } else { concat(b, &[first, most], 0) }
}

/// How the gradient of an input of the loop is made of the backward loop's rows.
enum Found {
    /// One part per step.
    Stack(usize),
    /// What the last step gives.
    Last(usize),
    /// A sum over the steps.
    Sums(Vec<Part>),
}

/// A part of the gradient of a value from outside.
enum Part {
    /// One of these per step.
    Whole(usize),
    /// A sum of products of two factors.
    Product(Contraction, [Factor; 2]),
}

/// A factor of a product.
enum Factor {
    /// In the rows.
    Row(usize),
    /// The argument of the backward step: a sequence, or the same in all steps.
    Argument(usize),
}

impl Part {
    fn over_steps(&self, b: &mut Builder, backward: NodeId, outer: &[NodeId], sequences: usize) -> NodeId {
        match self {
            Part::Whole(row) => {
                let all = stacked(b, backward, *row);
                sum(b, all, &[0])
            }
            Part::Product(spec, factors) => {
                let mut labels = Vec::new();
                let mut values = Vec::new();
                for (factor, own) in factors.iter().zip([&spec.a, &spec.b]) {
                    let (value, steps) = match factor {
                        Factor::Row(row) => (stacked(b, backward, *row), true),
                        Factor::Argument(index) => (outer[*index], *index < sequences),
                    };
                    let names = steps.then(|| "t".to_string()).into_iter();
                    labels
                        .push(names.chain(own.iter().map(|l| format!("l{l}"))).collect::<Vec<_>>().join(" "));
                    values.push(value);
                }
                let out: Vec<String> = spec.out.iter().map(|l| format!("l{l}")).collect();
                contract(
                    b,
                    values[0],
                    values[1],
                    &format!("{}, {} -> {}", labels[0], labels[1], out.join(" ")),
                )
            }
        }
    }
}

/// The backward step, and what is made of it.
struct Step {
    body: Body,
    /// Nodes of the forward body whose values are kept.
    kept: Vec<NodeId>,
    /// For inputs of the loop.
    found: Vec<(usize, Found)>,
}

impl Step {
    /// The arguments of the backward step: the forward sequences, the carries before the step, what is kept,
    /// the row's gradient; the carries' gradients; what stands outside.
    fn new(outer: &Builder, forward: &Body, inputs: &[NodeId], sequences: usize, g: NodeId) -> Step {
        let carries = forward.carries.len();
        let level = inputs.iter().map(|input| outer.graph[*input].level).max().unwrap_or(Level::Once);
        let inner = |input: usize| {
            let ty = outer.ty(inputs[input]);
            if input < sequences { Type::new(ty.dtype, Shape::of(&ty.shape[1..])) } else { ty.clone() }
        };
        // First with everything computed once more; arguments of what is kept are numbered later.
        let mut b = Builder::default();
        let mut map = HashMap::new();
        let mut given = vec![None; inputs.len()];
        for (input, given) in given.iter_mut().enumerate() {
            let carry = (sequences..sequences + carries).contains(&input);
            let own = if carry { level } else { outer.graph[inputs[input]].level };
            *given = Some(argument(&mut b, input, &inner(input), own));
        }
        let given: Vec<NodeId> = given.into_iter().flatten().collect();
        forward.arguments().for_each(|(id, index)| {
            map.insert(id, given[index]);
        });
        let (row, row_level) = (Type::f32(Shape::of(&outer.ty(g).shape[1..])), outer.graph[g].level);
        let g = argument(&mut b, ROW, &row, row_level);
        let adjoints: Vec<NodeId> =
            (0..carries).map(|j| argument(&mut b, ADJOINT + j, &inner(sequences + j), level)).collect();
        forward.copy_into(&mut b, &mut map);
        let known = b.graph.len();

        let mut seeds: Vec<(NodeId, NodeId)> =
            forward.carries.iter().zip(&adjoints).map(|(next, adjoint)| (map[next], *adjoint)).collect();
        let (_, starts) = forward.layout();
        for (row, start) in forward.rows.iter().zip(starts) {
            let shape = forward.graph[*row].ty.shape.clone();
            let part = slice_axis(&mut b, g, 0, start, shape.elements());
            seeds.push((map[row], reshape(&mut b, part, &shape)));
        }
        let gradients = pullback(&mut b, &seeds, &given, known);

        let mut body = Body::default();
        let mut found = Vec::new();
        for (input, gradient) in gradients.into_iter().enumerate() {
            let carry = (sequences..sequences + carries).contains(&input);
            if carry {
                let gradient = gradient.unwrap_or_else(|| at_level(&mut b, given[input], level));
                body.carries.push(gradient);
                found.push((input, Found::Last(place(&mut body.rows, gradient))));
            } else if let Some(gradient) = gradient {
                if input < sequences {
                    found.push((input, Found::Stack(place(&mut body.rows, gradient))));
                } else {
                    let mut parts = Vec::new();
                    collect(&mut b, gradient, &mut body.rows, &mut parts);
                    found.push((input, Found::Sums(parts)));
                }
            }
        }
        body.graph = b.graph;
        let numbers = Numbers { sequences, carries, level };
        let kept = keep(&mut body, forward, &map, known, &numbers, &mut found);
        Step { body, kept, found }
    }
}

/// Numbers of arguments while the backward step is made.
const ROW: usize = 1 << 20;
const ADJOINT: usize = 1 << 21;

struct Numbers {
    sequences: usize,
    carries: usize,
    /// The level of the loop.
    level: Level,
}

/// Zeros in the shape of a node, per example where the loop is.
fn at_level(b: &mut Builder, like: NodeId, level: Level) -> NodeId {
    let zero = zeros_like(b, like);
    if b.graph[zero].level == level { zero } else { super::mul(b, like, zero) }
}

/// The parts of a gradient: a product for each of its terms that is one, and the sum of the others. What they are made
/// of gets a place in the rows.
fn collect(b: &mut Builder, gradient: NodeId, rows: &mut Vec<NodeId>, parts: &mut Vec<Part>) {
    let mut found = Vec::new();
    terms(b, gradient, &mut found);
    let (products, others): (Vec<NodeId>, Vec<NodeId>) =
        found.into_iter().partition(|term| matches!(b.graph.kernel(*term), Some(Kernel::Contract(_))));
    for term in &products {
        let (Some(Kernel::Contract(spec)), &[x, y]) = (b.graph.kernel(*term), &b.graph[*term].inputs[..])
        else {
            continue;
        };
        let factor = |rows: &mut Vec<NodeId>, id| match argument_of(&b.graph, id) {
            Some(index) if index < ROW => Factor::Argument(index),
            _ => Factor::Row(place(rows, id)),
        };
        let factors = [factor(rows, x), factor(rows, y)];
        parts.push(Part::Product(spec, factors));
    }
    let rest = match products.is_empty() {
        true => Some(gradient),
        false => others.into_iter().reduce(|sum, term| super::add(b, sum, term)),
    };
    parts.extend(rest.map(|rest| Part::Whole(place(rows, rest))));
}

/// What a sum consists of.
fn terms(b: &Builder, sum: NodeId, found: &mut Vec<NodeId>) {
    match (b.graph.kernel(sum), &b.graph[sum].inputs[..]) {
        (Some(Kernel::Map(Scalar::Add)), [x, y]) => {
            terms(b, *x, found);
            terms(b, *y, found);
        }
        _ => found.push(sum),
    }
}

/// Decides which values of the forward step are kept and which are computed once more, and gives the arguments
/// their numbers. Returns the nodes of the forward body that are kept.
fn keep(
    body: &mut Body,
    forward: &Body,
    map: &HashMap<NodeId, NodeId>,
    known: usize,
    numbers: &Numbers,
    found: &mut [(usize, Found)],
) -> Vec<NodeId> {
    let mut needed = vec![false; body.graph.len()];
    body.carries.iter().chain(&body.rows).for_each(|id| needed[id.index()] = true);
    let mut kept: Vec<NodeId> = Vec::new();
    for (id, node) in body.graph.iter().rev() {
        if !needed[id.index()] {
            continue;
        }
        if id.index() < known && is_costly(body, id) {
            kept.push(id);
        } else {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    kept.reverse();
    let old = std::mem::take(&mut body.graph);
    let before = numbers.sequences + numbers.carries;
    let sequences = before + kept.len() + 1;
    let number = |index: usize| match index {
        ROW => before + kept.len(),
        index if index >= ADJOINT => sequences + index - ADJOINT,
        index if index < before => index,
        index => sequences + numbers.carries + index - before,
    };
    let level = |id: NodeId| old[id].level;
    let mut b = Builder::default();
    let mut moved: HashMap<NodeId, NodeId> = HashMap::new();
    for (i, id) in kept.iter().enumerate() {
        // Rows of a loop stand at its level.
        let made = argument(&mut b, before + i, &old[*id].ty, numbers.level);
        moved.insert(*id, made);
    }
    for (id, node) in old.iter() {
        if !needed[id.index()] || moved.contains_key(&id) {
            continue;
        }
        let made = match argument_of(&old, id) {
            Some(index) => argument(&mut b, number(index), &node.ty, level(id)),
            None => {
                let inputs: Vec<NodeId> = node.inputs.iter().map(|input| moved[input]).collect();
                b.add(node.op, &inputs, node.attrs.clone())
            }
        };
        moved.insert(id, made);
    }
    body.graph = b.graph;
    body.carries.iter_mut().chain(&mut body.rows).for_each(|id| *id = moved[id]);
    for (_, found) in found.iter_mut() {
        let Found::Sums(parts) = found else { continue };
        for part in parts {
            let Part::Product(_, factors) = part else { continue };
            for factor in factors {
                if let Factor::Argument(index) = factor {
                    *index = number(*index);
                }
            }
        }
    }
    let origin: HashMap<NodeId, NodeId> = map.iter().map(|(from, to)| (*to, *from)).collect();
    debug_assert!(kept.iter().all(|id| origin[id].index() < forward.graph.len()));
    kept.iter().map(|id| origin[id]).collect()
}

/// Whether computing a value of the forward step once more costs more than keeping it.
fn is_costly(body: &Body, id: NodeId) -> bool {
    use Scalar::*;
    let node = &body.graph[id];
    if node.ty.dtype != DType::F32 {
        return false;
    }
    match body.graph.kernel(id) {
        Some(Kernel::Map(scalar)) => {
            matches!(scalar, Div | Pow | Exp | Log | Sqrt | Rsqrt | Tanh | Sigmoid | Erf | Sin | Cos)
        }
        Some(
            Kernel::Source(
                Source::Argument(_)
                | Source::Input(_)
                | Source::Variable(_)
                | Source::Constant(_)
                | Source::Step
                | Source::BatchSize,
            )
            | Kernel::View(_)
            | Kernel::Reshape
            | Kernel::Iota(_)
            | Kernel::Pad { .. }
            | Kernel::Concat(_),
        ) => false,
        Some(
            Kernel::Reduce(..)
            | Kernel::Contract(_)
            | Kernel::BatchSum
            | Kernel::Batch
            | Kernel::Example
            | Kernel::Leaf(_)
            | Kernel::Scan(_),
        )
        | None => true,
    }
}

/// The gradients at `wrt` of a step whose results have these gradients. Examples are not added up: whoever
/// uses the loop's gradient does that. Nodes from `known` on are not walked.
fn pullback(
    b: &mut Builder,
    seeds: &[(NodeId, NodeId)],
    wrt: &[NodeId],
    known: usize,
) -> Vec<Option<NodeId>> {
    let mut depends = vec![false; known];
    wrt.iter().filter(|id| b.ty(**id).dtype == DType::F32).for_each(|id| depends[id.index()] = true);
    for (id, node) in b.graph.iter().take(known) {
        let passes = matches!(node.op.grad, Grad::Rule(_));
        depends[id.index()] |= passes && node.inputs.iter().any(|input| depends[input.index()]);
    }
    let mut adjoint: Vec<Option<NodeId>> = vec![None; known];
    let reach = |b: &mut Builder, adjoint: &mut Vec<Option<NodeId>>, to: NodeId, part: NodeId| {
        let at = to.index();
        adjoint[at] = Some(match adjoint[at] {
            Some(before) => super::add(b, before, part),
            None => part,
        });
    };
    for (to, part) in seeds.iter().filter(|(to, _)| depends[to.index()]) {
        reach(b, &mut adjoint, *to, *part);
    }
    for index in (0..known).rev() {
        let id = NodeId(index as u32);
        let (Some(part), Grad::Rule(rule)) = (adjoint[index], b.graph[id].op.grad) else { continue };
        let inputs = b.graph[id].inputs.clone();
        if !inputs.iter().any(|input| depends[input.index()]) {
            continue;
        }
        let parts = rule(b, id, part);
        for (input, part) in inputs.into_iter().zip(parts) {
            if let Some(part) = part.filter(|_| depends[input.index()]) {
                reach(b, &mut adjoint, input, part);
            }
        }
    }
    wrt.iter().map(|id| adjoint[id.index()].filter(|_| depends[id.index()])).collect()
}
